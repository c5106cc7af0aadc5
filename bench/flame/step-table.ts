import { markdownTable } from "../markdown-table.ts";
import type { Frame } from "./frame-tree.ts";
import { type Step, steps } from "./steps.ts";

/** Microseconds of CPU a Check, by step; of all steps, in their order. */
export function costByStep(root: Frame): ReadonlyMap<Step, number> {
  const costs = new Map((Object.keys(steps) as Step[]).map((step) => [step, 0]));
  const add = ({ step, selfUs, children }: Frame) => {
    costs.set(step, (costs.get(step) ?? 0) + selfUs);
    children.forEach(add);
  };
  add(root);
  return costs;
}

/** A Markdown table. */
export function stepTable(root: Frame): string {
  const row = (name: string, us: number) => [name, us.toFixed(2), ((us / root.totalUs) * 100).toFixed(1)];
  const rows = [...costByStep(root)].map(([step, us]) => row(steps[step], us));
  return markdownTable(["step", "CPU µs/Check", "%"], [...rows, row("all", root.totalUs)]);
}
