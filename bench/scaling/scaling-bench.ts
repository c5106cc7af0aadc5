import { type BenchOptions, runBounds, warmUpBoundsOf } from "../bench-options.ts";
import { type LoadProcess, startLoadProcess } from "../load/load-process.ts";
import { faultsOf, type Measurement, measure } from "../measure.ts";
import { machineLine, writeResultFile } from "../result-file.ts";
import { say } from "../say.ts";
import { createStoreCounter, type StoreCounter } from "../store-counts.ts";
import { type ScalingRow, scalingTable } from "./scaling-report.ts";
import { type Side, scalings } from "./scalings.ts";

interface MeasuredSide {
  readonly side: Side;
  readonly load: LoadProcess;
  readonly counter: StoreCounter;
  readonly runs: Measurement[];
}

/** Measures a Check at two sizes of each thing and prints the table; answers whether every call succeeded. */
export async function runScalingBench(options: BenchOptions): Promise<boolean> {
  const rows: ScalingRow[] = [];
  const faults: string[] = [];
  // One after the other: a million keys of one are not to slow the stores of another.
  for (const name of options.only) rows.push(await measureScaling(name, options, faults));
  const table = scalingTable(rows);
  process.stdout.write(`\n${table}\n\n${machineLine()}\n`);
  say(`\nall runs: ${writeResultFile({ of: "scaling", options, table, rows })}`);
  for (const fault of faults) say(fault);
  return faults.length === 0;
}

async function measureScaling(name: string, options: BenchOptions, faults: string[]): Promise<ScalingRow> {
  say(`starting ${name}`);
  const start = scalings[name];
  if (start === undefined) throw new Error(`there is no ${name}`);
  const scaling = await start();
  const sides: MeasuredSide[] = [];
  try {
    for (const side of [scaling.small, scaling.large]) sides.push(await prepare(side));
    for (let round = 1; round <= options.rounds; round++) {
      // In turn: a busy minute of the machine falls on both.
      for (const { side, runs, load, counter } of sides) {
        const run = await measure(side.subject, { load, counter, phase: runBounds(options) });
        runs.push(run);
        say(
          `round ${round}, ${side.size}: ${run.cpuPerCallUs.toFixed(1)} µs, ${run.callsPerSecond.toFixed(0)} calls/s`,
        );
        faults.push(...faultsOf(run).map((fault) => `${side.size}: ${fault}`));
      }
    }
    const [small, large] = sides.map(({ side, runs }) => ({ size: side.size, runs }));
    if (small === undefined || large === undefined) throw new Error("there are two sides");
    return { small, large };
  } finally {
    for (const { load, counter } of sides) {
      load.stop();
      await counter.close();
    }
    await scaling.stop();
  }
}

async function prepare(side: Side): Promise<MeasuredSide> {
  const { subject, connections, inFlight } = side;
  const load = await startLoadProcess({ protocol: "grpc", ...subject.job, connections, inFlight });
  const counter = await createStoreCounter({
    redisUrl: subject.redis?.url,
    postgresUrl: subject.postgresUrl,
  });
  const warm = await load.run(warmUpBoundsOf(side.keys));
  say(`warmed up ${side.size} with ${warm.calls} calls: ${JSON.stringify(warm.statuses)}`);
  await counter.forget();
  return { side, load, counter, runs: [] };
}
