import type { CheckResponse } from "../gen/tollgate/v1/authorization_service_pb.ts";
import {
  DegradedCause,
  DenyReason,
  type PointsState,
  type Principal,
} from "../gen/tollgate/v1/decision_pb.ts";
import { formatFacts, printable, type Terminal } from "./terminal.ts";

/** A decision for people: the outcome, who is calling, the points, and with explain the steps. */
export function decisionLines(answer: CheckResponse, terminal: Pick<Terminal, "style">): string[] {
  const reason = reasonName(answer.reason);
  const outcome = answer.allowed
    ? terminal.style("green", "✓ allowed")
    : `${terminal.style("red", `✗ denied ${reason}`)} (${answer.httpStatus}) ${printable(answer.message)}`;
  const facts = formatFacts([
    ...(answer.principal === undefined ? [] : principalFacts(answer.principal)),
    ...answer.limits.map(
      (state) => [`limit ${state.limitName}`, `${pointsText(state)}${shadowText(state)}`] as const,
    ),
    ["retry after", answer.retryAfterMs === 0 ? "" : secondsText(answer.retryAfterMs)],
    ["scopes that would do", answer.requiredScopes.join(" ")],
    [
      "would be denied",
      answer.shadowReason === DenyReason.UNSPECIFIED ? "" : reasonName(answer.shadowReason),
    ],
    ["degraded", answer.degraded.map((cause) => degradedName(cause)).join(" ")],
  ]);
  const steps = answer.steps.map(
    ({ name, passed, detail }) =>
      `${passed ? terminal.style("green", "✓") : terminal.style("red", "✗")} ${name.padEnd(15)} ${printable(detail)}`,
  );
  return [outcome, ...(facts === "" ? [] : [facts]), ...steps];
}

/** `POINTS_EXCEEDED`; empty when allowed. */
export function reasonName(reason: DenyReason): string {
  return reason === DenyReason.UNSPECIFIED ? "" : nameOf(DenyReason, reason);
}

function degradedName(cause: DegradedCause): string {
  return nameOf(DegradedCause, cause).toLowerCase();
}

function nameOf(names: Readonly<Record<string, number>>, value: number): string {
  return Object.entries(names).find(([, known]) => known === value)?.[0] ?? String(value);
}

function principalFacts(it: Principal): readonly (readonly [string, string])[] {
  return [
    ["api", it.api],
    ["key", it.keyName === "" ? it.keyId : `${it.keyId} (${it.keyName})`],
    ["workspace", it.workspaceId],
    ["acts as", it.userId],
    ["role", it.role],
    ["plan", it.plan],
    ["permissions", it.permissions.join(" ")],
    ["locations", it.allLocations ? "all" : it.locationIds.join(" ")],
  ];
}

function pointsText(it: PointsState): string {
  const blocked = it.blockedMs === 0 ? "" : `, blocked for ${secondsText(it.blockedMs)}`;
  const reset = it.resetMs === 0 ? "" : `, all back in ${secondsText(it.resetMs)}`;
  return `${it.remaining} of ${it.limit} left in ${it.windowSeconds} s, this costs ${it.cost}${blocked}${reset}`;
}

function shadowText({ shadow, shadowReason }: PointsState): string {
  if (!shadow) return "";
  return shadowReason === DenyReason.UNSPECIFIED
    ? "; in shadow"
    : `; in shadow, would be denied ${reasonName(shadowReason)}`;
}

/** Whole seconds, rounded up. */
function secondsText(ms: number): string {
  return `${Math.ceil(ms / 1000)} s`;
}
