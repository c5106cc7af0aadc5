import type { Limit } from "../core/policy.ts";
import { compareMaps, type PolicyChange, settingChange } from "./change.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { formatDuration } from "./duration.ts";
import { describeDescriptor, describeLimit } from "./limit-text.ts";

export function limitChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const { dropped, added, kept } = compareMaps(byName(before), byName(after));
  return [
    ...dropped.map((name): PolicyChange => {
      const { shadow } = byName(before).get(name) as Limit;
      const kind = shadow === true ? "changes" : "gives";
      return { kind, about: `limits.${name}`, message: "there is no such limit any more" };
    }),
    ...added.map((name): PolicyChange => {
      const limit = byName(after).get(name) as Limit;
      const kind = limit.shadow === true ? "changes" : "takes";
      return { kind, about: `limits.${name}`, message: `a new limit: ${describeLimit(limit)}` };
    }),
    ...kept.flatMap(({ name, old, now }) => keptLimit(`limits.${name}`, old, now)),
  ];
}

/** What refused nothing, or will refuse nothing, gives and takes by that alone. */
function keptLimit(about: string, old: Limit, now: Limit): PolicyChange[] {
  const changes = limitSettings(about, old, now);
  const [was, is] = [old.shadow === true, now.shadow === true];
  return [
    ...settingChange(about, {
      name: "shadow",
      old: was,
      now: is,
      spell: String,
      kind: () => (is ? "gives" : "takes"),
    }),
    ...(was || is ? changes.map((change): PolicyChange => ({ ...change, kind: "changes" })) : changes),
  ];
}

function byName(policy: CompiledPolicy): ReadonlyMap<string, Limit> {
  return new Map(policy.limits.map((limit) => [limit.name, limit]));
}

function limitSettings(about: string, old: Limit, now: Limit): PolicyChange[] {
  const plans = [...new Set([...old.planPoints.keys(), ...now.planPoints.keys()])];
  const pointsOf = (name: string, was: number, is: number) =>
    settingChange(about, {
      name,
      old: was,
      now: is,
      spell: String,
      kind: () => (is > was ? "gives" : "takes"),
    });
  return [
    ...settingChange(about, {
      name: "per",
      old: old.per,
      now: now.per,
      spell: String,
      kind: () => "changes",
    }),
    ...settingChange(about, {
      name: "the descriptor",
      old: old.descriptor,
      now: now.descriptor,
      spell: (descriptor) => (descriptor.size === 0 ? "none" : describeDescriptor(descriptor)),
      kind: () => "changes",
    }),
    ...pointsOf("the points", old.points, now.points),
    ...plans.flatMap((plan) =>
      pointsOf(
        `the points on plan "${plan}"`,
        old.planPoints.get(plan) ?? old.points,
        now.planPoints.get(plan) ?? now.points,
      ),
    ),
    ...settingChange(about, {
      name: "the window",
      old: old.windowMs,
      now: now.windowMs,
      spell: formatDuration,
      kind: (was, is) => (is < was ? "gives" : "takes"),
    }),
    ...settingChange(about, {
      name: "the shape",
      old: old.shape,
      now: now.shape,
      spell: String,
      kind: () => (now.shape === "sliding" ? "takes" : old.shape === "sliding" ? "gives" : "changes"),
    }),
    ...settingChange(about, {
      name: "the block",
      old: old.blockMs,
      now: now.blockMs,
      spell: (ms) => (ms === 0 ? "none" : formatDuration(ms)),
      kind: (was, is) => (is < was ? "gives" : "takes"),
    }),
    ...settingChange(about, {
      name: "the share to warn at",
      old: old.warnAt,
      now: now.warnAt,
      spell: String,
      kind: () => "changes",
    }),
    ...settingChange(about, {
      name: "the environments",
      old: old.environments,
      now: now.environments,
      spell: (environments) => [...environments].sort().join(", ") || "all",
      kind: (was, is) => (is.length === 0 ? "takes" : was.length === 0 ? "gives" : "changes"),
    }),
  ];
}
