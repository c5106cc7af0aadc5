import type { Gate } from "../core/policy.ts";
import { type PolicyChange, settingChange } from "./change.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";

/** A gate that more workspaces pass gives; a plan's rank is that in its own policy. */
export function gateChanges(
  about: string,
  gates: {
    readonly old: Gate;
    readonly now: Gate;
    readonly before: CompiledPolicy;
    readonly after: CompiledPolicy;
  },
): PolicyChange[] {
  const { old, now, before, after } = gates;
  const quote = (name: string) => (name === "" ? "none" : `"${name}"`);
  return [
    ...settingChange(about, {
      name: "the required plan",
      old: old.plan,
      now: now.plan,
      spell: quote,
      kind: () => (after.plans.indexOf(now.plan) < before.plans.indexOf(old.plan) ? "gives" : "takes"),
    }),
    ...settingChange(about, {
      name: "the required feature",
      old: old.feature,
      now: now.feature,
      spell: quote,
      kind: () => (now.feature === "" ? "gives" : "takes"),
    }),
  ];
}
