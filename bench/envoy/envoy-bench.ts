import { type BenchOptions, runBounds, warmUpBounds } from "../bench-options.ts";
import type { LoadBounds } from "../load/load-client.ts";
import { type LoadProcess, startLoadProcess } from "../load/load-process.ts";
import { writeResultFile } from "../result-file.ts";
import { say } from "../say.ts";
import { keyCount } from "../tollgate-with-keys.ts";
import { type EnvoyMeasurement, measureBehindEnvoy } from "./envoy-measurement.ts";
import { envoyRow, envoyTable } from "./envoy-report.ts";
import type { EnvoySubject } from "./envoy-subject.ts";
import { envoySubjects } from "./envoy-subjects.ts";
import { untilServes } from "./until-serves.ts";

const path = "/items";
const inFlight = 64;
/** What the one caller's requests are warmed up with: the service is warm already. */
const shortBounds: LoadBounds = { minMs: 1000, minCalls: 0, maxMs: 1000, maxCalls: keyCount };

interface Entry {
  readonly key: string;
  readonly subject: EnvoySubject;
  readonly busy: Point;
  readonly alone: Point;
}

/** One number of requests in flight. */
interface Point {
  readonly load: LoadProcess;
  readonly runs: EnvoyMeasurement[];
}

/** Measures requests through Envoy and prints the table; answers whether every request was decided and answered. */
export async function runEnvoyBench(options: BenchOptions): Promise<boolean> {
  const bench: Entry[] = [];
  try {
    for (const name of options.only) bench.push(await prepare(name));
    let isSound = true;
    // In turn and not one after the other: a busy minute of the machine falls on all of them.
    for (let round = 1; round <= options.rounds; round++) {
      for (const point of ["busy", "alone"] as const) {
        for (const entry of bench) {
          const run = await measureBehindEnvoy(entry.subject, {
            load: entry[point].load,
            bounds: runBounds(options),
          });
          entry[point].runs.push(run);
          say(
            `round ${round}, ${point}, ${entry.subject.name}: ${run.requestsPerSecond.toFixed(0)} requests/s, p50 ${run.p50Ms.toFixed(3)} ms, p99 ${run.p99Ms.toFixed(3)} ms`,
          );
          for (const fault of run.faults) say(`  ${fault}`);
          if (run.faults.length > 0) isSound = false;
        }
      }
    }
    report(bench, options);
    return isSound;
  } finally {
    for (const { busy, alone } of bench) {
      busy.load.stop();
      alone.load.stop();
    }
    await Promise.all(bench.map(({ subject }) => subject.stop()));
  }
}

async function prepare(key: string): Promise<Entry> {
  say(`starting ${key}`);
  const start = envoySubjects[key];
  if (start === undefined) throw new Error(`there is no ${key}`);
  const subject = await start();
  const { headers, envoy } = subject;
  await untilServes({ url: envoy.url, path, headers: headers[0] ?? {} });
  const job = { protocol: "http", url: envoy.url, path, headers } as const;
  const busy = await startLoadProcess({ ...job, connections: inFlight });
  const alone = await startLoadProcess({ ...job, connections: 1 });
  const warm = await busy.run(warmUpBounds);
  await alone.run(shortBounds);
  say(`warmed up ${subject.name} with ${warm.calls} requests: ${JSON.stringify(warm.statuses)}`);
  return { key, subject, busy: { load: busy, runs: [] }, alone: { load: alone, runs: [] } };
}

function report(bench: readonly Entry[], options: BenchOptions): void {
  const rows = bench.map(({ subject, busy, alone }) =>
    envoyRow({ name: subject.name, busy: busy.runs, alone: alone.runs }),
  );
  const bare = rows[bench.findIndex(({ key }) => key === "bare")];
  process.stdout.write(`\n${envoyTable(rows, bare)}\n`);
  const runs = Object.fromEntries(
    bench.map(({ key, busy, alone }) => [key, { busy: busy.runs, alone: alone.runs }]),
  );
  const file = writeResultFile({ behind: "envoy", options, inFlight, keyCount, rows, runs });
  say(`\nall runs: ${file}`);
}
