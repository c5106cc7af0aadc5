// npm run bench [-- --seconds 5 --rounds 3 --only tollgate,hello]: CPU and latency of a Check beside a bare
// hello on the same transport and beside a naive server, each a process of its own. docs/performance.md says
// how to read it.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { inRepository } from "../test/support/repository.ts";
import type { LoadBounds } from "./load/load-client.ts";
import { startLoadProcess } from "./load/load-process.ts";
import { type Measurement, measure, medianRun } from "./measure.ts";
import { addedCpuGoalUs, addedCpuUs, reportTable } from "./report.ts";
import { createStoreCounter } from "./store-counts.ts";
import { keyCount, subjects } from "./subjects.ts";

const connections = 4;
const inFlight = 50;
/** However fast the server: a bound on the memory that the latencies take. */
const maxCallsPerRun = 5_000_000;

const options = readOptions();
const warmUp: LoadBounds = { minMs: 2000, minCalls: 3 * keyCount, maxMs: 60_000, maxCalls: maxCallsPerRun };
const run: LoadBounds = {
  minMs: options.seconds * 1000,
  minCalls: 0,
  maxMs: options.seconds * 1000,
  maxCalls: maxCallsPerRun,
};

const bench: Awaited<ReturnType<typeof prepare>>[] = [];
let failed = false;
try {
  for (const name of options.only) bench.push(await prepare(name));
  // In turn and not one after the other: a busy minute of the machine falls on all of them.
  for (let round = 1; round <= options.rounds; round++) {
    for (const entry of bench) {
      const measurement = await measure(entry.subject, { ...entry, bounds: run });
      entry.runs.push(measurement);
      say(
        `round ${round}, ${entry.subject.name}: ${measurement.cpuPerCallUs.toFixed(1)} µs, ${measurement.callsPerSecond.toFixed(0)} calls/s`,
      );
      if ((measurement.recordReads ?? 0) > 0) {
        failed = true;
        say(`  ${measurement.recordReads} look-ups in Postgres, though every key is cached`);
      }
      if (measurement.failures > 0) {
        failed = true;
        say(
          `  ${measurement.failures} of ${measurement.calls} calls failed: ${JSON.stringify(measurement.statuses)}`,
        );
      }
    }
  }
  await report();
} finally {
  for (const { load, counter } of bench) {
    load.stop();
    await counter.close();
  }
  await Promise.all(bench.map(({ subject }) => subject.stop()));
}
if (failed) process.exitCode = 1;

/** Starts the server and its load process, and warms both up. */
async function prepare(name: string) {
  say(`starting ${name}`);
  const start = subjects[name];
  if (start === undefined) throw new Error(`there is no ${name}`);
  const subject = await start();
  const load = await startLoadProcess({ ...subject.job, connections, inFlight });
  const counter = await createStoreCounter({
    redisUrl: subject.redis?.url,
    postgresUrl: subject.postgresUrl,
  });
  const warm = await load.run(warmUp);
  say(`warmed up ${subject.name} with ${warm.calls} calls: ${JSON.stringify(warm.statuses)}`);
  await counter.forget();
  const runs: Measurement[] = [];
  return { name, subject, load, counter, runs };
}

async function report(): Promise<void> {
  const medians = bench.map((entry) => ({ name: entry.subject.name, run: medianRun(entry.runs) }));
  const runOf = (name: string) => medians[bench.findIndex((entry) => entry.name === name)]?.run;
  const hello = runOf("hello");
  const tollgate = runOf("tollgate");
  process.stdout.write(`\n${reportTable(medians, hello)}\n`);
  const added = {
    aboveConnectHelloUs: addedCpuUs(tollgate, hello),
    aboveHttp2HelloUs: addedCpuUs(tollgate, runOf("http2-hello")),
  };
  if (added.aboveConnectHelloUs !== undefined) {
    const floor = added.aboveHttp2HelloUs?.toFixed(1) ?? "(not measured)";
    process.stdout.write(
      `\nTollgate's CPU above the bare Connect hello: ${added.aboveConnectHelloUs.toFixed(1)} µs a call (the goal: at most ${addedCpuGoalUs}); above bare node:http2: ${floor} µs.\n`,
    );
  }
  const folder = inRepository("bench", "results");
  mkdirSync(folder, { recursive: true });
  const file = inRepository("bench", "results", `${new Date().toISOString().replaceAll(":", "-")}.json`);
  const statements = Object.fromEntries(
    await Promise.all(bench.map(async (entry) => [entry.name, await entry.counter.statements()] as const)),
  );
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    platform: process.platform,
  };
  const runs = Object.fromEntries(bench.map((entry) => [entry.name, entry.runs]));
  writeFileSync(
    file,
    `${JSON.stringify({ machine, options, connections, inFlight, keyCount, added, runs, statements }, null, 2)}\n`,
  );
  say(`\nall runs, and every SQL statement during them: ${file}`);
}

function readOptions(): { seconds: number; rounds: number; only: string[] } {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "5" },
      rounds: { type: "string", default: "3" },
      only: { type: "string", default: Object.keys(subjects).join(",") },
    },
  });
  const only = values.only.split(",").map((name) => name.trim());
  const unknown = only.filter((name) => subjects[name] === undefined);
  if (unknown.length > 0)
    throw new Error(`--only takes ${Object.keys(subjects).join(", ")}, not ${unknown.join(", ")}`);
  return { seconds: positive("seconds", values.seconds), rounds: positive("rounds", values.rounds), only };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw new Error(`--${name} takes a number above 0, not ${text}`);
  return name === "rounds" ? Math.ceil(value) : value;
}

/** Progress goes to stderr, so that stdout holds the table alone. */
function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
