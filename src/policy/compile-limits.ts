import type { Limit } from "../core/policy.ts";
import { parseDuration } from "./duration.ts";
import type { Report, ValuePath } from "./problem.ts";
import type { PolicySource } from "./schema.ts";
import { suggestOrList } from "./suggest.ts";

const SHORTEST_MS = 100;
const LONGEST_MS = 30 * 86_400_000;

export function compileLimits(
  source: PolicySource,
  context: { readonly environments: ReadonlySet<string>; readonly report: Report },
): readonly Limit[] {
  const { environments, report } = context;
  return source.limits.map((stated, index): Limit => {
    const path = ["limits", index];
    if (source.limits.findIndex((other) => other.name === stated.name) < index) {
      report([...path, "name"], `The limit "${stated.name}" stands twice; each needs a name of its own.`);
    }
    for (const plan of Object.keys(stated.plan_points)) {
      if (!source.plans.includes(plan)) {
        report(
          [...path, "plan_points", plan],
          `There is no plan "${plan}" in plans.${suggestOrList(plan, source.plans)}`,
          "key",
        );
      }
    }
    for (const [place, environment] of stated.environments.entries()) {
      if (!environments.has(environment)) {
        report(
          [...path, "environments", place],
          `No key type has the environment "${environment}".${suggestOrList(environment, environments)}`,
        );
      }
    }
    checkDescriptor(stated, path, report);
    const windowMs = parseDuration(stated.window);
    if (!isLength(windowMs)) report([...path, "window"], "A window is from 100ms to 30d.");
    const blockMs = stated.block === undefined ? 0 : parseDuration(stated.block);
    if (stated.block !== undefined && !isLength(blockMs)) {
      report([...path, "block"], "A block is from 100ms to 30d; leave it out for none.");
    }
    return {
      name: stated.name,
      per: stated.per,
      descriptor: new Map(Object.entries(stated.descriptor ?? {})),
      points: stated.points,
      planPoints: new Map(Object.entries(stated.plan_points)),
      environments: stated.environments,
      windowMs,
      shape: stated.shape,
      blockMs,
      shadow: stated.shadow,
      warnAt: stated.warn_at,
    };
  });
}

/** A limit per descriptor counts what a gateway sends, which tells of no key, plan or environment. */
function checkDescriptor(stated: PolicySource["limits"][number], path: ValuePath, report: Report): void {
  const { per, descriptor } = stated;
  if (per !== "descriptor") {
    if (descriptor !== undefined) {
      report([...path, "descriptor"], "Only a limit with per: descriptor has a descriptor.", "key");
    }
    return;
  }
  if (descriptor === undefined || Object.keys(descriptor).length === 0) {
    report(
      [...path, descriptor === undefined ? "per" : "descriptor"],
      'A limit per descriptor says which it counts, such as descriptor: {remote_address: "*"}.',
    );
  }
  const keys = Object.keys(descriptor ?? {})
    .sort()
    .join();
  if (keys === "key_id" || keys === "key_id,workspace_id") {
    report(
      [...path, "descriptor"],
      "Descriptors of key_id, or of key_id and workspace_id, are charged what a check of that key is; write the limit per key or per workspace, or give the descriptor another entry.",
    );
  }
  for (const [field, isStated] of [
    ["plan_points", Object.keys(stated.plan_points).length > 0],
    ["environments", stated.environments.length > 0],
  ] as const) {
    if (!isStated) continue;
    report([...path, field], `A limit per descriptor has no ${field}: no descriptor tells of them.`, "key");
  }
}

function isLength(ms: number): boolean {
  return ms >= SHORTEST_MS && ms <= LONGEST_MS;
}

/**
 * The limit that a cost can never pass, for keys of any environment and workspaces of any plan;
 * undefined when there is one for whom it can.
 */
export function limitBelow(
  cost: number,
  context: { readonly limits: readonly Limit[]; readonly environments: ReadonlySet<string> },
): Limit | undefined {
  let below: Limit | undefined;
  for (const environment of context.environments) {
    below = context.limits.find(
      (limit) =>
        limit.per !== "descriptor" &&
        limit.shadow !== true &&
        (limit.environments.length === 0 || limit.environments.includes(environment)) &&
        cost > Math.max(limit.points, ...limit.planPoints.values()),
    );
    if (below === undefined) return undefined;
  }
  return below;
}
