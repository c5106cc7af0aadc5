/** A moment in which a limit is asked. Times are whole microseconds on the store's clock. */
export interface Instant {
  readonly nowUs: number;
  readonly windowUs: number;
  /** The limit's points a window, at least 1. */
  readonly points: number;
}

/**
 * How a limit counts: pure functions over what a bucket has `Spent`. `at.nowUs` never lies before the
 * last charge. How far what is spent goes above the points is bounded: see bounds.ts.
 */
export interface Shape<Spent> {
  /** Of a bucket that was never charged. */
  readonly nothing: Spent;
  /** Whether `cost` more is within the points. */
  fits(spent: Spent, at: Instant, cost: number): boolean;
  /** Whether `cost` more is above the points for certain: false where only rounding makes it so. */
  exceeds(spent: Spent, at: Instant, cost: number): boolean;
  /** Whole points that could be spent now. */
  remaining(spent: Spent, at: Instant): number;
  /** Microseconds until `cost` fits, 0: now. Of a cost above the points: until all are back. */
  untilFits(spent: Spent, at: Instant, cost: number): number;
  /** Microseconds until all points are back. */
  untilFull(spent: Spent, at: Instant): number;
  /** What is spent after a charge at this moment, whether it fits or not. `cost` is above 0. */
  charge(spent: Spent, at: Instant, cost: number): Spent;
}
