import { type BenchOptions, leadInBounds, runBounds, warmUpBounds } from "./bench-options.ts";
import { startLoadProcess } from "./load/load-process.ts";
import { faultsOf, type Measurement, measure } from "./measure.ts";
import { type Row, reportTable } from "./report.ts";
import { machineLine, writeResultFile } from "./result-file.ts";
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
        const run = await measureRound(entry, options);
        say(
          `round ${round}, ${entry.subject.name}: ${run.saturated.cpuPerCallUs.toFixed(1)} µs, ${run.saturated.callsPerSecond.toFixed(0)} calls/s`,
        );
        const faults = Object.values(run).flatMap(faultsOf);
        for (const fault of faults) say(`  ${fault}`);
        if (faults.length > 0) isSound = false;
        entry.rounds.push(run);
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
  const rounds: Round[] = [];
  return { name, subject, load, counter, rounds };
}

type Phase = "saturated" | "half" | "alone";
type Round = Readonly<Record<Phase, Measurement>>;

async function measureRound({ subject, load, counter }: Entry, options: BenchOptions): Promise<Round> {
  // Idle for minutes while others were measured, it has dropped what it had compiled.
  await load.run(leadInBounds);
  const bounds = runBounds(options);
  const saturated = await measure(subject, { load, counter, phase: bounds });
  const callsPerSecond = saturated.callsPerSecond / 2;
  const half = await measure(subject, { load, counter, phase: { ...bounds, callsPerSecond } });
  const alone = await measure(subject, { load, counter, phase: { ...bounds, inFlight: 1 } });
  return { saturated, half, alone };
}

async function report(bench: readonly Entry[], options: BenchOptions): Promise<void> {
  const rows: Row[] = bench.map(({ subject, rounds }) => ({
    name: subject.name,
    saturated: rounds.map(({ saturated }) => saturated),
    half: rounds.map(({ half }) => half),
    alone: rounds.map(({ alone }) => alone),
  }));
  const table = reportTable(rows, rows[bench.findIndex(({ name }) => name === "tollgate")]);
  process.stdout.write(`\n${table}\n\n${machineLine()}\n`);
  const statements = Object.fromEntries(
    await Promise.all(bench.map(async (entry) => [entry.name, await entry.counter.statements()] as const)),
  );
  const runs = Object.fromEntries(bench.map((entry) => [entry.name, entry.rounds]));
  const file = writeResultFile({ options, connections, inFlight, keyCount, table, runs, statements });
  say(`\nall runs, and every SQL statement during them: ${file}`);
}
