/** A stretch of time, both ends included; milliseconds. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** Finds among many spans. */
export interface Spans {
  /** The latest end of those that begin at `ms` or before; -Infinity: there are none. */
  latestEnd(ms: number): number;
}

export function createSpans(spans: readonly Span[]): Spans {
  const sorted = [...spans].sort((a, b) => a.fromMs - b.fromMs);
  let latest = Number.NEGATIVE_INFINITY;
  const latestEnds = sorted.map(({ toMs }) => {
    latest = Math.max(latest, toMs);
    return latest;
  });
  return {
    latestEnd: (ms) => latestEnds[countUpTo(sorted, ms) - 1] ?? Number.NEGATIVE_INFINITY,
  };
}

/** How many of them, sorted by their beginning, begin at `ms` or before. */
export function countUpTo(sorted: readonly Span[], ms: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] as Span).fromMs <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}
