import type { Gate } from "../core/policy.ts";
import type { Report, ValuePath } from "./problem.ts";
import type { PolicySource } from "./schema.ts";
import { suggestOrList } from "./suggest.ts";

/** The gate at `path`; its plan must be one of `plans`. */
export function compileGate(
  gate: PolicySource["requires"],
  context: { readonly path: ValuePath; readonly plans: readonly string[]; readonly report: Report },
): Gate {
  const { path, plans, report } = context;
  if (gate.plan !== undefined && !plans.includes(gate.plan)) {
    report([...path, "plan"], `There is no plan "${gate.plan}" in plans.${suggestOrList(gate.plan, plans)}`);
  }
  return { plan: gate.plan ?? "", feature: gate.feature ?? "" };
}
