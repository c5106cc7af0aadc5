import { percentile } from "./percentile.ts";

/** A phase ends when it has lasted `minMs` and made `minCalls`, and in any case after `maxCalls` or `maxMs`. */
export interface LoadBounds {
  readonly minMs: number;
  readonly minCalls: number;
  readonly maxMs: number;
  readonly maxCalls: number;
}

export interface LoadResult {
  /** All calls, whatever came back. */
  readonly calls: number;
  /** From the first call to the last answer. */
  readonly elapsedMs: number;
  /**
   * How many by outcome. Of gRPC calls: grpc-status, `http 503` for an answer that is not gRPC, `stream …` for
   * one that never came. Of HTTP requests: the status code.
   */
  readonly statuses: Readonly<Record<string, number>>;
  /** gRPC answers of status 0 that do not begin with the expected bytes. */
  readonly unexpected: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoadClient {
  /** Keeps the calls in flight until the bounds are met, then waits for the last answer. */
  run(bounds: LoadBounds): Promise<LoadResult>;
  close(): void;
}

/** What came back, as LoadResult counts it. */
interface Outcome {
  readonly status: string;
  readonly isUnexpected: boolean;
}

/** Keeps one call of each caller in flight: an answer makes room for the caller's next call. */
export async function closedLoop(
  callers: readonly (() => Promise<Outcome>)[],
  bounds: LoadBounds,
): Promise<LoadResult> {
  const latencies: number[] = [];
  const statuses: Record<string, number> = {};
  let started = 0;
  let unexpected = 0;
  const startedAt = performance.now();

  const isOver = () => {
    const elapsed = performance.now() - startedAt;
    if (started >= bounds.maxCalls || elapsed >= bounds.maxMs) return true;
    return started >= bounds.minCalls && elapsed >= bounds.minMs;
  };
  const keepCalling = async (call: () => Promise<Outcome>) => {
    while (!isOver()) {
      started++;
      const sentAt = performance.now();
      const { status, isUnexpected } = await call();
      latencies.push(performance.now() - sentAt);
      statuses[status] = (statuses[status] ?? 0) + 1;
      if (isUnexpected) unexpected++;
    }
  };
  await Promise.all(callers.map(keepCalling));

  const sorted = Float64Array.from(latencies).sort();
  return {
    calls: latencies.length,
    elapsedMs: performance.now() - startedAt,
    statuses,
    unexpected,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    maxMs: percentile(sorted, 1),
  };
}
