// npm run test:exact [-- --seed 1 --decisions 200000 --on-outage deny --budget-ms 50]: asks three servers for points while faults
// happen, once for each on_outage, and judges what they answered. Exits 1 when a rule was broken.
// With --workers 2 each server is of two processes; then only --on-outage deny, since local shares are each process's.
// With --cluster: in a Redis Cluster whose slots move and whose masters change, first by consent, then killed.
// With --losses [--times 5]: measures what Redis itself loses, in a cluster and alone.
import { parseArgs } from "node:util";
import { startPostgres } from "../support/postgres.ts";
import { type ClusterRun, clusterRun } from "./cluster-run.ts";
import { exactRun } from "./exact-run.ts";
import { measureLosses } from "./measure-losses.ts";
import { type Reported, report } from "./report.ts";
import type { OnOutage } from "./subjects.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
    cluster: { type: "boolean", default: false },
    losses: { type: "boolean", default: false },
    times: { type: "string", default: "5" },
    decisions: { type: "string" },
    "budget-ms": { type: "string", default: "50" },
    workers: { type: "string", default: "1" },
    "on-outage": { type: "string", default: "deny,local" },
  },
});
const seed = whole("seed", values.seed);
const workers = whole("workers", values.workers);
const decisions = whole("decisions", values.decisions ?? (values.cluster ? "60000" : "200000"));

if (values.losses) await measureLosses({ times: whole("times", values.times) });
for (const onOutage of values.losses ? [] : values["on-outage"].split(",")) {
  if (onOutage !== "deny" && onOutage !== "local") throw new Error("--on-outage takes deny, local or both");
  if (values.cluster) {
    await runInCluster({ onOutage, killsMasterEvery: 0 });
    await runInCluster({ onOutage, killsMasterEvery: 20 });
  } else {
    await runWith({
      title: `on_outage: ${onOutage}`,
      run: (databaseUrl) => runOnOneRedis(onOutage, databaseUrl),
    });
  }
}

interface Ran extends Omit<Reported, "tookMs"> {
  /** On top of the report. */
  readonly lines?: readonly string[];
}

async function runWith({
  title,
  run,
}: {
  title: string;
  run: (databaseUrl: string) => Promise<Ran>;
}): Promise<void> {
  process.stdout.write(`\n${title}, seed ${seed}\n`);
  const postgres = await startPostgres();
  const startMs = performance.now();
  try {
    const { lines = [], ...ran } = await run(postgres.url);
    const tookMs = performance.now() - startMs;
    process.stdout.write(`${[...report({ ...ran, tookMs }), ...lines].join("\n")}\n`);
    if (ran.violations.length > 0 || ran.keysWithoutExpiry.length > 0) process.exitCode = 1;
  } finally {
    await postgres.stop();
  }
}

function runOnOneRedis(onOutage: OnOutage, databaseUrl: string): Promise<Ran> {
  return exactRun({ ...runOptions(onOutage, databaseUrl), clients: 64, subjects: 50, kills: 0.1, workers });
}

async function runInCluster({
  onOutage,
  killsMasterEvery,
}: {
  onOutage: OnOutage;
  killsMasterEvery: number;
}): Promise<void> {
  const isKilled = killsMasterEvery > 0;
  await runWith({
    title: `on_outage: ${onOutage}, masters ${isKilled ? "killed, their replicas 50 ms behind" : "change by consent"}`,
    async run(databaseUrl) {
      const ran = await clusterRun({
        ...runOptions(onOutage, databaseUrl),
        clients: 32,
        subjects: 96,
        killsMasterEvery,
        replicasBehindMs: isKilled ? 50 : 0,
        // Longer than a cluster takes to notice, or nothing that was lost would count any more.
        windows: isKilled ? 5 : 1,
      });
      const { history, violations, keysWithoutExpiry } = ran;
      return { history, violations, keysWithoutExpiry, ...summary(ran) };
    },
  });
}

function summary({ faults, cutReplies, byLoss, beyondLoss }: ClusterRun): Pick<Ran, "faults" | "lines"> {
  const counts: Record<string, number> = { "cut reply": cutReplies };
  for (const { kind } of faults) counts[kind] = (counts[kind] ?? 0) + 1;
  const moved = faults.reduce((sum, { keys = 0 }) => sum + keys, 0);
  const killed = counts["killed master"] ?? 0;
  const ofKills = [
    `broken by what Redis lost with ${killed} masters: ${byLoss.length} answers`,
    `decisions that no loss could excuse: ${beyondLoss}`,
  ];
  const lines = [`keys that moved    ${moved}`, ...(killed > 0 ? ofKills : [])];
  return { faults: counts, lines };
}

function runOptions(onOutage: OnOutage, databaseUrl: string) {
  const budgetMs = whole("budget-ms", values["budget-ms"]);
  return { seed, onOutage, decisions, databaseUrl, budgetMs, clientPauseMs: 100, faultPauseMs: 600 };
}

function whole(name: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${name} takes a whole number, not ${text}`);
  return Number(text);
}
