import { MOST_POINTS } from "./bounds.ts";
import type { Instant, Shape } from "./shape.ts";

/** One window: when it started, and the points charged in it. 0 points: none was started. */
export interface FixedSpent {
  readonly startUs: number;
  readonly points: number;
}

/**
 * A window starts with its first charge and lasts its length; then all points are back at once. An
 * interval that lies across the edge of two windows can hold up to twice the points.
 */
export const fixed: Shape<FixedSpent> = {
  nothing: { startUs: 0, points: 0 },

  fits(spent, at, cost) {
    return counted(spent, at) + cost <= at.points;
  },

  exceeds(spent, at, cost) {
    return counted(spent, at) + cost > at.points;
  },

  remaining(spent, at) {
    return Math.max(0, at.points - counted(spent, at));
  },

  untilFits(spent, at, cost) {
    return this.fits(spent, at, cost) ? 0 : this.untilFull(spent, at);
  },

  untilFull(spent, at) {
    return counted(spent, at) === 0 ? 0 : spent.startUs + at.windowUs - at.nowUs;
  },

  charge(spent, at, cost) {
    const points = counted(spent, at);
    return points === 0
      ? { startUs: at.nowUs, points: Math.min(cost, MOST_POINTS) }
      : { startUs: spent.startUs, points: Math.min(points + cost, MOST_POINTS) };
  },
};

function counted(spent: FixedSpent, at: Instant): number {
  return at.nowUs < spent.startUs + at.windowUs ? spent.points : 0;
}
