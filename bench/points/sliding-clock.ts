import type { Redis } from "ioredis";
import { SUB_WINDOWS } from "../../src/points/sliding.ts";
import { assembleTakeScript, type Script } from "../../src/redis/take-script.ts";
import { windowMs } from "./take-of.ts";

const clockKey = "bench-clock";
/** Far more than what is done at one time lasts. */
const clockLastsS = 300;

/** The script on a clock that the bench moves on, a sub-window of `sliding` at a time. */
export interface SlidingClock {
  readonly script: Script;
  beginSubWindow(): Promise<void>;
}

export function createSlidingClock(client: Redis): SlidingClock {
  let clockMs = 0;
  return {
    script: assembleTakeScript(`tonumber(redis.call('GET', '${clockKey}'))`),
    async beginSubWindow() {
      // Redis drops keys by its own clock, so that this one must not fall behind it.
      clockMs = Math.max(clockMs + windowMs / SUB_WINDOWS, Date.now());
      await client.set(clockKey, (clockMs * 1000).toFixed(0), "EX", clockLastsS);
    },
  };
}
