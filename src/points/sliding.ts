import { MOST_POINTS } from "./bounds.ts";
import type { Instant, Shape } from "./shape.ts";

/** The least number of sub-windows in a window. */
export const SUB_WINDOWS = 60;

/** The most ticks in a sub-window: so those of a minute or an hour are whole, and a byte counts them. */
export const TICKS = 250;

/** Charges that lie close together, counted as one. */
export interface SubWindow {
  /** When it begins, which may be before its first charge. */
  readonly firstUs: number;
  /** Its last charge. Once a later sub-window has begun: rounded up to a tick of it. */
  readonly lastUs: number;
  readonly points: number;
}

export interface SlidingSpent {
  /** When the first sub-window began; all begin a multiple of their length later. */
  readonly startUs: number;
  /** Oldest first, none without points. At most 64 of them count at any time. */
  readonly subs: readonly SubWindow[];
}

/**
 * The exact shape: in any interval of the window's length (half open: a charge at t counts before
 * t + window, and no longer at t + window) at most `points` are admitted.
 *
 * From the first charge of an unused bucket, time is cut into sub-windows of a sixtieth of the window (or
 * less, by up to a tick: their length is whole ticks, and a tick whole microseconds). A sub-window counts
 * in full until its last charge is out. Of one that is over, that is kept in ticks of 1/250 of it, rounded
 * up, so that Redis keeps it in six bytes; of the newest to the microsecond.
 *
 * Why it never admits more: take the last charge admitted in some interval, at s. Each earlier charge in
 * that interval lies after s - window, hence so does what its sub-window has as its last charge; it was
 * counted.
 *
 * Why it never refuses what would fit a window longer by a sixtieth: a sub-window's last charge, rounded up,
 * is at most the sub-window's end, and so at most a sixtieth of the window after each of its charges.
 */
export const sliding: Shape<SlidingSpent> = {
  nothing: { startUs: 0, subs: [] },

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
    const { nowUs } = at;
    const { tickUs, lengthUs } = subWindowOf(at.windowUs);
    const subs = counting(spent, at);
    const newest = subs.at(-1);
    if (newest === undefined) {
      const points = Math.min(cost, MOST_POINTS);
      return { startUs: nowUs, subs: [{ firstUs: nowUs, lastUs: nowUs, points }] };
    }
    const older = subs.slice(0, -1);
    if (nowUs < newest.firstUs + lengthUs) {
      const points = Math.min(newest.points + cost, MOST_POINTS);
      return { startUs: spent.startUs, subs: [...older, { ...newest, lastUs: nowUs, points }] };
    }
    const ticks = Math.ceil((newest.lastUs - newest.firstUs) / tickUs);
    const over = { ...newest, lastUs: newest.firstUs + ticks * tickUs };
    const begun = {
      firstUs: nowUs - ((nowUs - spent.startUs) % lengthUs),
      lastUs: nowUs,
      points: Math.min(cost, MOST_POINTS),
    };
    return { startUs: spent.startUs, subs: [...older, over, begun] };
  },
};

function subWindowOf(windowUs: number): { tickUs: number; lengthUs: number } {
  const mostUs = Math.floor(windowUs / SUB_WINDOWS);
  const tickUs = Math.ceil(mostUs / TICKS);
  return { tickUs, lengthUs: mostUs - (mostUs % tickUs) };
}

function counting({ subs }: SlidingSpent, at: Instant): readonly SubWindow[] {
  return subs.filter((sub) => sub.lastUs + at.windowUs > at.nowUs);
}

function sum(subs: readonly SubWindow[]): number {
  return subs.reduce((total, sub) => total + sub.points, 0);
}
