import type { Violation } from "./checker.ts";
import type { Decision } from "./history.ts";

export interface Reported {
  readonly tookMs: number;
  readonly history: readonly Decision[];
  readonly faults: Readonly<Record<string, number>>;
  readonly violations: readonly Violation[];
  readonly keysWithoutExpiry: readonly string[];
}

/** Violations that are shown. */
const SHOWN = 20;

/** For people: what happened in a run, and which rules were broken. */
export function report({ tookMs, history, faults, violations, keysWithoutExpiry }: Reported): string[] {
  const total = Object.values(faults).reduce((sum, count) => sum + count, 0);
  return [
    `decisions          ${history.length} in ${(tookMs / 1000).toFixed(1)} s`,
    ...counted(history).map(([what, count]) => `  ${what.padEnd(24)} ${count}`),
    `faults             ${total}`,
    ...Object.entries(faults).map(([kind, count]) => `  ${kind.padEnd(24)} ${count}`),
    `keys that never expire ${keysWithoutExpiry.length}`,
    `violations         ${violations.length}`,
    ...violations.slice(0, SHOWN).map(({ rule, bucket, detail, decision }) => {
      const { sentMs, answeredMs, ...rest } = decision;
      return `  ${rule} ${bucket}: ${detail}\n    ${sentMs.toFixed(1)}–${answeredMs.toFixed(1)} ${JSON.stringify(rest)}`;
    }),
  ];
}

function counted(history: readonly Decision[]): [what: string, count: number][] {
  const counts = new Map<string, number>();
  for (const { answer } of history) {
    const what = answer.kind === "undecided" ? answer.why : `${answer.outcome} by ${answer.by}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}
