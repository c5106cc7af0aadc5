/** Milliseconds. `monotonicMs` is the clock of deadlines, `wallMs` that of the epoch. */
export interface Clock {
  monotonicMs(): number;
  wallMs(): number;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** A reading of both clocks. */
export interface Instant {
  readonly monotonicMs: number;
  readonly wallMs: number;
}

/** How long what is cached may be used without word from the database. */
export interface Lease {
  now(): Instant;
  /** Read at each use, never kept: the process may have stood still in between. */
  isLive(): boolean;
  /** `from`: before the renewal was sent. */
  extend(from: Instant): void;
  end(): void;
}

/**
 * On Linux the monotonic clock stands still while the machine is suspended and the wall clock does not:
 * when they have moved apart, the lease is void. A wall clock that is set costs a renewal, no more.
 */
const maxDriftMs = 100;

export function createLease(leaseMs: number, clock: Clock): Lease {
  let validUntilMs = Number.NEGATIVE_INFINITY;
  let wallAheadMs = 0;
  return {
    now: () => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() }),
    isLive() {
      const nowMs = clock.monotonicMs();
      return nowMs < validUntilMs && Math.abs(clock.wallMs() - nowMs - wallAheadMs) < maxDriftMs;
    },
    extend(from) {
      validUntilMs = from.monotonicMs + leaseMs;
      wallAheadMs = from.wallMs - from.monotonicMs;
    },
    end() {
      validUntilMs = Number.NEGATIVE_INFINITY;
    },
  };
}
