/**
 * What Redis's clock shows, estimated from its replies, and never later than it is: a reply of time r that
 * was received at m says that at m the clock showed at least r.
 */
export interface RedisClock {
  /** Whether there was a reply. */
  readonly known: boolean;
  /** Redis's time at `nowMs` of the monotonic clock, in microseconds; -Infinity before the first reply. */
  at(nowMs: number): number;
  /** Takes in a reply: the time it carried, and when (monotonic) its call was sent and it was received. */
  observe(redisUs: number, moments: { sentMs: number; receivedMs: number }): void;
}

export function createRedisClock(): RedisClock {
  let aheadUs = Number.NEGATIVE_INFINITY;
  return {
    get known() {
      return aheadUs !== Number.NEGATIVE_INFINITY;
    },
    at: (nowMs) => nowMs * 1000 + aheadUs,
    observe(redisUs, { sentMs, receivedMs }) {
      const least = redisUs - receivedMs * 1000;
      const most = redisUs - sentMs * 1000;
      // A slow reply loosens nothing; one that contradicts what was held (the clock was set back) replaces it.
      if (least > aheadUs || aheadUs > most) aheadUs = least;
    },
  };
}
