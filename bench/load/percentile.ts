/** Nearest rank: the least value that at least `share` (above 0, at most 1) of them do not exceed. NaN of none. */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}
