import type { Redis } from "ioredis";
import { cpuSeconds } from "../cpu-seconds.ts";
import type { LoadBounds } from "../load/load-client.ts";
import type { PointsSubject } from "./points-subject.ts";
import { readRedisInfo } from "./redis-info.ts";

/** One run. Times are in microseconds a decision. */
export interface PointsMeasurement {
  readonly decisions: number;
  readonly decisionsPerSecond: number;
  /** CPU of the whole Redis process. */
  readonly redisCpuUs: number;
  /** Of the commands alone, by Redis's own clock. */
  readonly commandUs: number;
  /** Commands that clients sent, a decision. */
  readonly commands: number;
  /** What makes the figures worthless, in words; none in a good run. */
  readonly faults: readonly string[];
}

export async function measurePoints(
  subject: PointsSubject,
  { redis, bounds }: { redis: Redis; bounds: LoadBounds },
): Promise<PointsMeasurement> {
  const before = await readCosts(subject, redis);
  const { calls, elapsedMs, statuses, unexpected } = await subject.load.run(bounds);
  const after = await readCosts(subject, redis);
  const refused = calls - (statuses[subject.admitted] ?? 0) + unexpected;
  return {
    decisions: calls,
    decisionsPerSecond: (calls * 1000) / elapsedMs,
    redisCpuUs: ((after.cpu - before.cpu) * 1e6) / calls,
    commandUs: (after.commandUs - before.commandUs) / calls,
    commands: (after.calls - before.calls) / calls,
    faults:
      refused === 0 ? [] : [`${refused} of ${calls} were not given their point: ${JSON.stringify(statuses)}`],
  };
}

async function readCosts(subject: PointsSubject, redis: Redis) {
  const info = await readRedisInfo(redis, subject.commands);
  return { ...info, cpu: await cpuSeconds(subject.redis.pid) };
}
