/**
 * Milliseconds: 50, doubled each time up to half a second, so that points are exact again within a second of
 * Redis's return; a part at random, so that replicas do not come back all at once. Attempts count from 1.
 */
export function reconnectDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** (attempt - 1), 500) * (0.75 + Math.random() / 4);
}
