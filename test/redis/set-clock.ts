import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import {
  createRedisBuckets,
  type RedisBuckets,
  type RedisBucketsOptions,
} from "../../src/redis/redis-buckets.ts";
import { assembleTakeScript } from "../../src/redis/take-script.ts";

export const CLOCK_KEY = "test-clock";

/**
 * The suite's zero: so far ahead of the server's own clock that no key expires by it, and the script
 * alone decides what has ended.
 */
export const zeroMs: number = Date.now() + 400 * 24 * 3600 * 1000;

export interface SetClockBuckets {
  readonly store: RedisBuckets;
  /** Milliseconds from the suite's zero; to the microsecond. */
  setClock(ms: number): Promise<void>;
}

export interface SetClockOptions extends RedisBucketsOptions {
  /** How far the clock leaps on with each call. */
  readonly leapMs?: number;
  /** Makes another script of the script's source. */
  readonly edit?: (source: string) => string;
}

/** Redis buckets whose script reads a clock that the test sets, instead of Redis's. */
export function createSetClockBuckets(
  redis: Redis,
  { leapMs = 0, edit = (source) => source, ...options }: SetClockOptions = {},
): SetClockBuckets {
  const clock = `tonumber(redis.call('INCRBY', '${CLOCK_KEY}', '${leapMs * 1000}'))`;
  const source = edit(assembleTakeScript(clock).source);
  const script = { source, sha1: createHash("sha1").update(source).digest("hex") };
  return {
    // Without a bound on the wait: the clock that a late call is told by stands still, or leaps.
    store: createRedisBuckets(redis, { budgetMs: 1e9, ...options, script }),
    async setClock(ms) {
      await redis.set(CLOCK_KEY, (zeroMs * 1000 + Math.round(ms * 1000)).toFixed(0));
    },
  };
}
