import { Redis } from "ioredis";
import { type BenchOptions, runBounds } from "../bench-options.ts";
import { writeResultFile } from "../result-file.ts";
import { say } from "../say.ts";
import { measurePoints, type PointsMeasurement } from "./points-measurement.ts";
import { measureMemory, type PointsMemory } from "./points-memory.ts";
import type { PointsPart } from "./points-part.ts";
import { pointsTable } from "./points-report.ts";
import { inFlight, loadedBuckets, type PointsSubject } from "./points-subject.ts";
import { pointsSubjects } from "./points-subjects.ts";
import { readRedisInfo } from "./redis-info.ts";

/** Of a window of a minute; envoyproxy/ratelimit adds up to five. */
const latestExpiryMs = 10 * 60_000;

interface Entry {
  readonly subject: PointsSubject;
  /** To ask Redis about itself. */
  readonly redis: Redis;
  readonly memory: PointsMemory;
  readonly runs: PointsMeasurement[];
}

/** Measures what a limit costs in Redis and prints the table; answers whether every decision was as expected. */
export async function runPointsBench(options: BenchOptions): Promise<boolean> {
  const bench: Entry[] = [];
  const parts: Record<string, PointsPart> = {};
  try {
    // Alone on the machine, before the others run.
    for (const name of options.only) {
      const measured = pointsSubjects[name];
      if (measured === undefined || "start" in measured) continue;
      say(`measuring ${name}`);
      parts[name] = await measured.measure();
    }
    for (const name of options.only) {
      const measured = pointsSubjects[name];
      if (measured !== undefined && "start" in measured) bench.push(await prepare(name, measured.start));
    }
    // In turn and not one after the other: a busy minute of the machine falls on all of them.
    for (let round = 1; round <= options.rounds; round++) {
      for (const { subject, redis, runs } of bench) {
        await subject.warmUp();
        const run = await measurePoints(subject, { redis, bounds: runBounds(options) });
        runs.push(run);
        say(
          `round ${round}, ${subject.name}: ${run.decisionsPerSecond.toFixed(0)} decisions/s, Redis ${run.redisCpuUs.toFixed(2)} µs each`,
        );
      }
    }
    const rows = bench.map(({ subject, memory, runs }) => ({ name: subject.name, memory, runs }));
    const tables = [
      ...(rows.length > 0 ? [pointsTable(rows)] : []),
      ...Object.values(parts).map(({ table }) => table),
    ];
    for (const table of tables) process.stdout.write(`\n${table}\n`);
    const file = writeResultFile({ of: "points", options, inFlight, loadedBuckets, rows, parts });
    say(`\nall runs: ${file}`);
    const measured = [
      ...rows.flatMap(({ name, memory, runs }) => [memory, ...runs].map(({ faults }) => ({ name, faults }))),
      ...Object.entries(parts).map(([name, { faults }]) => ({ name, faults })),
    ];
    const faults = measured.flatMap(({ name, faults }) => faults.map((fault) => `${name}: ${fault}`));
    for (const fault of faults) say(fault);
    return faults.length === 0;
  } finally {
    for (const { redis } of bench) redis.disconnect();
    await Promise.all(bench.map(({ subject }) => subject.stop()));
  }
}

async function prepare(name: string, start: () => Promise<PointsSubject>): Promise<Entry> {
  say(`starting ${name}`);
  const subject = await start();
  const redis = new Redis(subject.redis.url);
  const empty = await readRedisInfo(redis, []);
  const buckets = await subject.fill();
  const memory = await measureMemory(redis, { entries: buckets, before: empty, latestExpiryMs });
  say(`${subject.name}: ${buckets} buckets of ${memory.bytesEach.toFixed(0)} bytes`);
  // So many that end during the rounds would cost Redis more than the decisions do.
  await redis.flushall();
  return { subject, redis, memory, runs: [] };
}
