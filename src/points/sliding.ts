import { MOST_POINTS } from "./bounds.ts";
import type { Instant, Shape } from "./shape.ts";

/**
 * Charges that lie close together, counted as one. A sub-window begins with its first charge and takes
 * in those that follow within a sixtieth of the window.
 */
export interface SubWindow {
  readonly firstUs: number;
  readonly lastUs: number;
  readonly points: number;
}

/** Oldest first. At most 64 of them count at any time. */
export type SlidingSpent = readonly SubWindow[];

/**
 * The exact shape: in any interval of the window's length (half open: a charge at t counts before
 * t + window, and no longer at t + window) at most `points` are admitted. A sub-window counts in full
 * until its last charge is out, so the rounding is towards refusing only, and by at most 1/60 of the
 * window: an earlier charge of the same sub-window counts that much too long.
 *
 * Why it never admits more: take the last charge admitted in some interval, at s. Each earlier charge in
 * that interval lies after s - window, hence so does the last charge of its sub-window; it was counted.
 */
export const sliding: Shape<SlidingSpent> = {
  nothing: [],

  fits(spent, at, cost) {
    return sum(counting(spent, at)) + cost <= at.points;
  },

  exceeds(spent, at, cost) {
    const certain = counting(spent, at).filter((sub) => sub.firstUs + at.windowUs > at.nowUs);
    return sum(certain) + cost > at.points;
  },

  remaining(spent, at) {
    return Math.max(0, at.points - sum(counting(spent, at)));
  },

  untilFits(spent, at, cost) {
    const subs = counting(spent, at);
    let excess = sum(subs) + cost - at.points;
    if (excess <= 0) return 0;
    for (const sub of subs) {
      excess -= sub.points;
      if (excess <= 0) return sub.lastUs + at.windowUs - at.nowUs;
    }
    return this.untilFull(spent, at);
  },

  untilFull(spent, at) {
    const last = counting(spent, at).at(-1);
    return last === undefined ? 0 : last.lastUs + at.windowUs - at.nowUs;
  },

  charge(spent, at, cost) {
    const subs = counting(spent, at);
    const last = subs.at(-1);
    if (last === undefined || at.nowUs >= last.firstUs + subWindowUs(at.windowUs)) {
      return [...subs, { firstUs: at.nowUs, lastUs: at.nowUs, points: Math.min(cost, MOST_POINTS) }];
    }
    const points = Math.min(last.points + cost, MOST_POINTS);
    return [...subs.slice(0, -1), { ...last, lastUs: at.nowUs, points }];
  },
};

function subWindowUs(windowUs: number): number {
  return Math.floor(windowUs / 60);
}

function counting(spent: SlidingSpent, at: Instant): SlidingSpent {
  return spent.filter((sub) => sub.lastUs + at.windowUs > at.nowUs);
}

function sum(subs: SlidingSpent): number {
  return subs.reduce((total, sub) => total + sub.points, 0);
}
