// npm run test:exact [-- --seed 1 --decisions 200000 --on-outage deny --budget-ms 50]: asks three servers for points while faults
// happen, once for each on_outage, and judges what they answered. Exits 1 when a rule was broken.
import { parseArgs } from "node:util";
import { startPostgres } from "../support/postgres.ts";
import { type ExactRun, exactRun } from "./exact-run.ts";
import type { Decision } from "./history.ts";

/** Violations that are printed. */
const SHOWN = 20;

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    decisions: { type: "string", default: "200000" },
    "budget-ms": { type: "string", default: "50" },
    "on-outage": { type: "string", default: "deny,local" },
  },
});
const seed = whole("seed", values.seed);
const decisions = whole("decisions", values.decisions);

for (const onOutage of values["on-outage"].split(",")) {
  if (onOutage !== "deny" && onOutage !== "local") throw new Error("--on-outage takes deny, local or both");
  process.stdout.write(`\non_outage: ${onOutage}, seed ${seed}\n`);
  const postgres = await startPostgres();
  const startMs = performance.now();
  try {
    const run = await exactRun({
      seed,
      onOutage,
      decisions,
      clients: 64,
      subjects: 50,
      databaseUrl: postgres.url,
      budgetMs: whole("budget-ms", values["budget-ms"]),
      clientPauseMs: 100,
      faultPauseMs: 600,
      kills: 0.1,
    });
    print(run, performance.now() - startMs);
    if (run.violations.length > 0 || run.keysWithoutExpiry.length > 0) process.exitCode = 1;
  } finally {
    await postgres.stop();
  }
}

function print({ history, faults, violations, keysWithoutExpiry }: ExactRun, tookMs: number): void {
  const total = Object.values(faults).reduce((sum, count) => sum + count, 0);
  const lines = [
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
  process.stdout.write(`${lines.join("\n")}\n`);
}

function counted(history: readonly Decision[]): [what: string, count: number][] {
  const counts = new Map<string, number>();
  for (const { answer } of history) {
    const what = answer.kind === "undecided" ? answer.why : `${answer.outcome} by ${answer.by}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}

function whole(name: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${name} takes a whole number, not ${text}`);
  return Number(text);
}
