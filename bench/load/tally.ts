import type { LoadBounds, LoadResult, Outcome } from "./load-client.ts";
import { percentile } from "./percentile.ts";

/** What the calls of one phase have come to so far. */
export interface Tally {
  /** Counts a call, and answers when it was begun. */
  begin(): number;
  /** `sinceMs`: when the call was to be begun. */
  end(outcome: Outcome, sinceMs: number): void;
  isOver(): boolean;
  result(): LoadResult;
}

/** Times are of `performance.now()`. */
export function createTally(bounds: LoadBounds): Tally {
  const latencies: number[] = [];
  const statuses: Record<string, number> = {};
  let begun = 0;
  let unexpected = 0;
  const startMs = performance.now();
  return {
    begin() {
      begun++;
      return performance.now();
    },
    end({ status, isUnexpected }, sinceMs) {
      latencies.push(performance.now() - sinceMs);
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (isUnexpected) unexpected++;
    },
    isOver() {
      const elapsedMs = performance.now() - startMs;
      if (begun >= bounds.maxCalls || elapsedMs >= bounds.maxMs) return true;
      return begun >= bounds.minCalls && elapsedMs >= bounds.minMs;
    },
    result() {
      const sorted = Float64Array.from(latencies).sort();
      return {
        calls: latencies.length,
        elapsedMs: performance.now() - startMs,
        statuses,
        unexpected,
        p50Ms: percentile(sorted, 0.5),
        p99Ms: percentile(sorted, 0.99),
        maxMs: percentile(sorted, 1),
      };
    },
  };
}
