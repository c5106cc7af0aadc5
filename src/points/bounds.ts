/**
 * How far what is spent can be above a limit, by records: so every sum stays a whole number that is exact,
 * or a time that can be told, however much is recorded.
 */

const DAY_US = 86_400_000_000;

/**
 * What one window of `fixed`, or one sub-window of `sliding`, counts at most. No answer tells: it is above
 * any limit's points (a uint32) until it ends as a whole. Less 1 it is a uint32, as Redis keeps it.
 */
export const MOST_POINTS = 2 ** 32;

/**
 * The longest that points of a `bucket` take to flow back; a charge that would make it longer makes it
 * this. Above the longest window (30 days), so that it never cuts what a limit itself gives.
 */
export const LONGEST_DEBT_US = 3650 * DAY_US;
