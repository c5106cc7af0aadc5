import { LONGEST_DEBT_US } from "./bounds.ts";
import type { Instant, Shape } from "./shape.ts";

/** How far the bucket was drained by its last charge, in points × the window's microseconds. */
export interface GcraSpent {
  readonly atUs: number;
  readonly level: number;
  /** What flows back a microsecond, in the level's unit: the limit's points at the last charge. */
  readonly rate: number;
}

/**
 * The shape "bucket": a bucket of `points` that refills smoothly, all of it in one window. An interval of
 * the window's length can hold up to twice the points: a full bucket and what flowed back meanwhile.
 *
 * This is the generic cell rate algorithm (ITU-T I.371) in the form of its leaky bucket. What GCRA keeps,
 * the theoretical arrival time, is `atUs + level / rate`; kept as a level in units of a point divided by
 * the window's microseconds it is a whole number, so that nothing is rounded while points × window in
 * microseconds is below 2^53 (150 million points a minute); above, by less than one part in 10^15. When
 * a workspace's plan changes the points, what was spent stays spent, and the next charge sets the rate.
 */
export const gcra: Shape<GcraSpent> = {
  nothing: { atUs: 0, level: 0, rate: 0 },

  fits(spent, at, cost) {
    return levelNow(spent, at) + cost * at.windowUs <= at.points * at.windowUs;
  },

  exceeds(spent, at, cost) {
    return !this.fits(spent, at, cost);
  },

  remaining(spent, at) {
    return Math.max(0, Math.floor((at.points * at.windowUs - levelNow(spent, at)) / at.windowUs));
  },

  untilFits(spent, at, cost) {
    if (cost > at.points) return this.untilFull(spent, at);
    const excess = levelNow(spent, at) + cost * at.windowUs - at.points * at.windowUs;
    return excess <= 0 ? 0 : Math.ceil(excess / spent.rate);
  },

  untilFull(spent, at) {
    const level = levelNow(spent, at);
    return level === 0 ? 0 : Math.ceil(level / spent.rate);
  },

  charge(spent, at, cost) {
    const level = Math.min(levelNow(spent, at) + cost * at.windowUs, at.points * LONGEST_DEBT_US);
    return { atUs: at.nowUs, level, rate: at.points };
  },
};

function levelNow(spent: GcraSpent, at: Instant): number {
  return Math.max(0, spent.level - (at.nowUs - spent.atUs) * spent.rate);
}
