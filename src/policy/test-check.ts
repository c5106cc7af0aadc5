import type { CheckInput, Decision, HttpTarget } from "../core/decision.ts";
import { denyReasons } from "../core/deny-reason.ts";
import { policyByHost } from "../core/policy-set.ts";
import type { TestStep } from "./test-file.ts";
import { type Action, NO_DETAIL, type Outcome, StepError } from "./test-outcome.ts";
import { CALLER, deadline, issuedKey, type TestWorld } from "./test-world.ts";

/** The checks that a step asks for. `caseKey` is the key of steps that name none. */
export function checksOf(world: TestWorld, step: TestStep, caseKey: string | undefined): readonly Action[] {
  const secret = secretOf(world, step, caseKey);
  if (step.permission !== undefined) {
    const input = checkInput(step, {
      target: { permission: step.permission },
      secret,
      api: world.policy.api,
    });
    return [{ label: step.permission, run: () => check(world, input) }];
  }
  return [step.request ?? []].flat().map((line) => {
    const input = checkInput(step, { ...httpTarget(world, line), secret });
    return { label: line, run: () => check(world, input) };
  });
}

/** Only `key` and `secret` are credentials; what a cookie holds is never read. */
function secretOf(world: TestWorld, step: TestStep, caseKey: string | undefined): string {
  if (step.secret !== undefined) return step.secret;
  if (step.cookie !== undefined && step.key === undefined) return "";
  const name = step.key ?? caseKey;
  return name === undefined ? "" : issuedKey(world, name).secret;
}

/** The request as a gateway would pass it on; without an origin, by the policy's name. */
function httpTarget(world: TestWorld, line: string): { target: CheckInput["target"]; api: string } {
  const [method = "", location = ""] = line.split(" ");
  const absolute = location.startsWith("/") ? (world.origin ?? "") + location : location;
  if (absolute.startsWith("/")) {
    return { target: { http: { method, path: absolute, scheme: "https", host: "" } }, api: world.policy.api };
  }
  const parts = /^(https?):\/\/([^/]+)(\/.*)$/.exec(absolute);
  if (parts === null)
    throw new StepError(`${JSON.stringify(location)} is neither a path nor a URL with one.`);
  const [, scheme = "", host = "", path = ""] = parts;
  // With one policy loaded the service would take it for any host; a gateway in front of several would not.
  if (policyByHost(world.policies, host) === undefined)
    throw new StepError(`The policy has no host "${host}".`);
  return { target: { http: { method, path, scheme, host } }, api: "" };
}

function checkInput(
  step: TestStep,
  of: { readonly target: CheckInput["target"]; readonly secret: string; readonly api: string },
): CheckInput {
  return {
    api: of.api,
    key: of.secret,
    target: of.target,
    workspaceId: step.workspace ?? "",
    locationIds: step.locations ?? [],
    points: step.points,
    requestId: step.request_id ?? "",
    mode: step.mode ?? "enforce",
    explain: false,
    clientIp: step.client_ip ?? "",
  };
}

async function check(world: TestWorld, input: CheckInput): Promise<Outcome> {
  const decision = await world.authorizer.check(input, CALLER, deadline());
  const route = "http" in input.target ? routeOf(world, input.target.http) : undefined;
  return outcomeOfDecision(decision, route, async () => {
    // A peek changes nothing, and says at which step it would stop now.
    const told = await world.authorizer.check({ ...input, explain: true, mode: "peek" }, CALLER, deadline());
    return told.steps.at(-1)?.detail ?? "";
  });
}

function routeOf(world: TestWorld, http: HttpTarget): string | undefined {
  const [path = ""] = http.path.split("?");
  return world.policy.routes.match(http.method, path)?.template;
}

function outcomeOfDecision(
  decision: Decision,
  route: string | undefined,
  explain: () => Promise<string>,
): Outcome {
  const { principal, points, reason } = decision;
  return {
    reason,
    status: reason === undefined ? 200 : denyReasons[reason].httpStatus,
    route,
    cost: points?.cost,
    limit: points?.limit,
    remaining: points?.remaining,
    window: points === undefined ? undefined : points.windowSeconds * 1000,
    retry_after: decision.retryAfterMs,
    blocked: points?.blockedMs,
    workspace: principal?.workspaceId,
    user: principal?.userId,
    role: principal?.role,
    plan: principal?.plan,
    environment: principal?.environment,
    permissions: principal?.permissions,
    locations: principal?.allLocations === true ? "all" : principal?.locationIds,
    metadata: principal?.metadata,
    required_scopes: decision.requiredScopes,
    shadow_reason: decision.shadowReason,
    detail: reason === undefined ? NO_DETAIL : explain,
  };
}
