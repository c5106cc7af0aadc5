import { type BenchOptions, runBounds, warmUpBounds } from "./bench-options.ts";
import { startLoadProcess } from "./load/load-process.ts";
import { type Measurement, measure, medianRun } from "./measure.ts";
import { addedCpuGoalUs, addedCpuUs, reportTable } from "./report.ts";
import { writeResultFile } from "./result-file.ts";
import { say } from "./say.ts";
import { createStoreCounter } from "./store-counts.ts";
import { subjects } from "./subjects.ts";
import { keyCount } from "./tollgate-with-keys.ts";

const connections = 4;
const inFlight = 50;

type Entry = Awaited<ReturnType<typeof prepare>>;

/** Measures a Check beside other servers and prints the table; answers whether every call succeeded as it should. */
export async function runCheckBench(options: BenchOptions): Promise<boolean> {
  const bench: Entry[] = [];
  try {
    for (const name of options.only) bench.push(await prepare(name));
    let isSound = true;
    // In turn and not one after the other: a busy minute of the machine falls on all of them.
    for (let round = 1; round <= options.rounds; round++) {
      for (const entry of bench) {
        const measurement = await measure(entry.subject, { ...entry, bounds: runBounds(options) });
        entry.runs.push(measurement);
        say(
          `round ${round}, ${entry.subject.name}: ${measurement.cpuPerCallUs.toFixed(1)} µs, ${measurement.callsPerSecond.toFixed(0)} calls/s`,
        );
        const faults = faultsOf(measurement);
        for (const fault of faults) say(`  ${fault}`);
        if (faults.length > 0) isSound = false;
      }
    }
    await report(bench, options);
    return isSound;
  } finally {
    for (const { load, counter } of bench) {
      load.stop();
      await counter.close();
    }
    await Promise.all(bench.map(({ subject }) => subject.stop()));
  }
}

/** Starts the server and its load process, and warms both up. */
async function prepare(name: string) {
  say(`starting ${name}`);
  const start = subjects[name];
  if (start === undefined) throw new Error(`there is no ${name}`);
  const subject = await start();
  const load = await startLoadProcess({ protocol: "grpc", ...subject.job, connections, inFlight });
  const counter = await createStoreCounter({
    redisUrl: subject.redis?.url,
    postgresUrl: subject.postgresUrl,
  });
  const warm = await load.run(warmUpBounds);
  say(`warmed up ${subject.name} with ${warm.calls} calls: ${JSON.stringify(warm.statuses)}`);
  await counter.forget();
  const runs: Measurement[] = [];
  return { name, subject, load, counter, runs };
}

function faultsOf({ recordReads = 0, failures, calls, statuses }: Measurement): string[] {
  return [
    ...(recordReads > 0 ? [`${recordReads} look-ups in Postgres, though every key is cached`] : []),
    ...(failures > 0 ? [`${failures} of ${calls} calls failed: ${JSON.stringify(statuses)}`] : []),
  ];
}

async function report(bench: readonly Entry[], options: BenchOptions): Promise<void> {
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
  const statements = Object.fromEntries(
    await Promise.all(bench.map(async (entry) => [entry.name, await entry.counter.statements()] as const)),
  );
  const runs = Object.fromEntries(bench.map((entry) => [entry.name, entry.runs]));
  const file = writeResultFile({ options, connections, inFlight, keyCount, added, runs, statements });
  say(`\nall runs, and every SQL statement during them: ${file}`);
}
