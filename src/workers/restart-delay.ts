const SHORTEST_MS = 100;
const LONGEST_MS = 10_000;

/**
 * How many milliseconds after its end a worker is started again. It doubles with each end that came before
 * it in a row, from 100 to 10,000; up to half of it is taken off by chance (`random`: 0 to 1), so that
 * workers that die of the same cause do not come back at the same moment.
 */
export function restartDelayMs(endsBefore: number, random: number): number {
  const whole = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** endsBefore);
  return whole * (1 - random / 2);
}
