const MINUTE_US = 60_000_000;

/** How long a request_id that charged a bucket is remembered, on the bucket's clock. */
export function rememberUs(windowUs: number): number {
  return Math.max(10 * MINUTE_US, windowUs);
}

/**
 * How long a bucket or request_id is kept after it says nothing any more, so that a clock set back by
 * less than this still finds it.
 */
export function slackUs(windowUs: number): number {
  return Math.min(MINUTE_US, windowUs);
}
