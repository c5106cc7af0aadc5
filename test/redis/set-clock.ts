import type { Redis } from "ioredis";
import {
  createRedisBuckets,
  type RedisBuckets,
  type RedisBucketsOptions,
} from "../../src/redis/redis-buckets.ts";
import { assembleTakeScript } from "../../src/redis/take-script.ts";

const CLOCK_KEY = "test-clock";

/**
 * The suite's zero: so far ahead of the server's own clock that no key expires by it, and the script
 * alone decides what has ended.
 */
const zeroMs = Date.now() + 400 * 24 * 3600 * 1000;

export interface SetClockBuckets {
  readonly store: RedisBuckets;
  /** Milliseconds from the suite's zero; to the microsecond. */
  setClock(ms: number): Promise<void>;
}

/**
 * Redis buckets whose script reads a clock that the test sets, instead of Redis's, and that leaps on by
 * `leapMs` with each call.
 */
export function createSetClockBuckets(
  redis: Redis,
  { leapMs = 0, ...options }: RedisBucketsOptions & { leapMs?: number } = {},
): SetClockBuckets {
  const script = assembleTakeScript(`tonumber(redis.call('INCRBY', '${CLOCK_KEY}', '${leapMs * 1000}'))`);
  return {
    // Without a bound on the wait: the clock that a late call is told by stands still, or leaps.
    store: createRedisBuckets(redis, { budgetMs: 1e9, ...options, script }),
    async setClock(ms) {
      await redis.set(CLOCK_KEY, (zeroMs * 1000 + Math.round(ms * 1000)).toFixed(0));
    },
  };
}
