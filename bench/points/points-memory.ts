import type { Redis } from "ioredis";
import { type RedisInfo, readRedisInfo } from "./redis-info.ts";

/** What buckets, or remembered request_ids, take. */
export interface PointsMemory {
  readonly entries: number;
  /** Of all of Redis's memory that came with them, tables of keys and expiries too. */
  readonly bytesEach: number;
  /** The largest of a sample: `MEMORY USAGE`, which leaves out the tables and the expiry. */
  readonly largestBytes: number;
  /** What makes the figures worthless, in words; none in a good run. */
  readonly faults: readonly string[];
}

const sampledKeys = 1000;
/** What PTTL says of a key that has gone meanwhile, and of one that never does. */
const gone = -2;
const never = -1;

/** `before`: without those entries. `latestExpiryMs`: no key may stay for longer. */
export async function measureMemory(
  redis: Redis,
  { entries, before, latestExpiryMs }: { entries: number; before: RedisInfo; latestExpiryMs: number },
): Promise<PointsMemory> {
  const full = await readRedisInfo(redis, []);
  const sample = await sampleOfKeys(redis);
  const sizes = await Promise.all(sample.map((key) => redis.memory("USAGE", key, "SAMPLES", 0)));
  const left = (await Promise.all(sample.map((key) => redis.pttl(key)))).filter((ms) => ms !== gone);
  const faults: string[] = [];
  if (full.keys - before.keys < entries)
    faults.push(`of ${entries} keys ${full.keys - before.keys} are there`);
  if (full.expiringKeys !== full.keys) faults.push(`${full.keys - full.expiringKeys} keys never expire`);
  if (left.includes(never) || Math.max(0, ...left) > latestExpiryMs) {
    faults.push(`of ${left.length} keys one expires in ${Math.max(...left)} ms, or one never does`);
  }
  return {
    entries,
    bytesEach: (full.usedBytes - before.usedBytes) / entries,
    largestBytes: Math.max(...sizes.map(Number)),
    faults,
  };
}

/** SCAN goes by the keys' hashes: any part of it is a fair sample. */
async function sampleOfKeys(redis: Redis): Promise<string[]> {
  const [, keys] = await redis.scan(0, "COUNT", sampledKeys);
  return keys;
}
