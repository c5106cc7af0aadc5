import { childrenOf } from "../../test/support/children-of.ts";
import { type BenchOptions, runBounds, warmUpBoundsOf } from "../bench-options.ts";
import { checkMessages, checkPath } from "../check-messages.ts";
import { startLoadProcess } from "../load/load-process.ts";
import { markdownTable } from "../markdown-table.ts";
import { faultsOf, type Measurement, measure } from "../measure.ts";
import { median } from "../median.ts";
import { machineLine, writeResultFile } from "../result-file.ts";
import { say } from "../say.ts";
import { createStoreCounter } from "../store-counts.ts";
import type { Subject } from "../subject.ts";
import { keyCount, startTollgateWithKeys } from "../tollgate-with-keys.ts";
import { holdToShare } from "./cpu-share.ts";

/** Of a core, for each worker: so that Redis and the load have enough of two cores however many workers there are. */
const SHARE = 0.3;
const load = { connections: 8, inFlight: 50 };
/** So often each key is asked for that hardly one has missed a worker. */
const CHANCES = 8;

/** How many workers, by their name on the command line. */
export const workerCounts: Readonly<Record<string, number>> = { one: 1, two: 2 };

type Entry = Awaited<ReturnType<typeof prepare>>;

/** Measures what a second worker brings where there is processor for it; answers whether every call succeeded. */
export async function runWorkersBench(options: BenchOptions): Promise<boolean> {
  const bench: Entry[] = [];
  const faults: string[] = [];
  try {
    for (const name of options.only) bench.push(await prepare(workerCounts[name] ?? 1));
    for (let round = 1; round <= options.rounds; round++) {
      for (const { subject, process, counter, runs } of bench) {
        const run = await measure(subject, { load: process, counter, phase: runBounds(options) });
        runs.push(run);
        say(`round ${round}, ${subject.name}: ${run.callsPerSecond.toFixed(0)} calls/s`);
        faults.push(...faultsOf(run).map((fault) => `${subject.name}: ${fault}`));
      }
    }
    const table = workersTable(bench);
    process.stdout.write(`\n${table}\n\n${machineLine()}\n`);
    say(`\nall runs: ${writeResultFile({ of: "workers", options, load, share: SHARE, table })}`);
    for (const fault of faults) say(fault);
    return faults.length === 0;
  } finally {
    for (const entry of bench) await entry.stop();
  }
}

async function prepare(workers: number) {
  say(`starting ${workers} of them`);
  const { server, redis, postgresUrl, keys, stop } = await startTollgateWithKeys({
    args: workers === 1 ? [] : ["--workers", String(workers)],
  });
  const subject: Subject = {
    name: workers === 1 ? "one process" : `--workers ${workers}`,
    pid: server.pid,
    redis,
    postgresUrl,
    job: {
      url: server.url,
      path: checkPath,
      headers: { authorization: `Bearer ${server.adminToken}` },
      messages: checkMessages(keys, () => ({ case: "permission", value: "items.read" })),
      // CheckResponse.allowed is true.
      expectedPrefix: "0801",
    },
    stop,
  };
  const process = await startLoadProcess({ protocol: "grpc", ...subject.job, ...load });
  const counter = await createStoreCounter({ redisUrl: redis.url, postgresUrl });
  const warm = await process.run(warmUpBoundsOf(keyCount * workers * CHANCES));
  say(`warmed up ${subject.name} with ${warm.calls} calls: ${JSON.stringify(warm.statuses)}`);
  await counter.forget();
  const serving = workers === 1 ? [server.pid] : childrenOf(server.pid);
  const shares = serving.map((pid) => holdToShare(pid, SHARE));
  const runs: Measurement[] = [];
  return {
    subject,
    process,
    counter,
    runs,
    async stop() {
      process.stop();
      await counter.close();
      await stop();
      for (const share of shares) share.takeAway();
    },
  };
}

function workersTable(bench: readonly Entry[]): string {
  const rows = bench.map(({ subject, runs }) => ({
    name: subject.name,
    callsPerSecond: median(runs.map((run) => run.callsPerSecond)),
    cpuPerCallUs: median(runs.map((run) => run.cpuPerCallUs)),
    p50Ms: median(runs.map((run) => run.p50Ms)),
    loadShare: median(runs.map((run) => run.loadCpuShare)),
  }));
  const [first] = rows;
  return markdownTable(
    ["server", "calls/s", "× the first", "CPU µs/call", "p50 ms", "load's core %"],
    rows.map((row) => [
      row.name,
      row.callsPerSecond.toFixed(0),
      (row.callsPerSecond / (first?.callsPerSecond ?? Number.NaN)).toFixed(2),
      row.cpuPerCallUs.toFixed(1),
      row.p50Ms.toFixed(2),
      (100 * row.loadShare).toFixed(0),
    ]),
  );
}
