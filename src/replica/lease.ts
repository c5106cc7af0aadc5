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
  /**
   * Read at each use, never kept: the process may have stood still in between. With a grace, also for so long after
   * its end, as far as the last renewal stated it.
   */
  isLive(graceMs?: number): boolean;
  /** `from`: before the renewal was sent, which stated a lease that is longer by `graceMs`. */
  extend(from: Instant, graceMs: number): void;
  /** Before a renewal is sent that states no more: whether its answer comes or not, others go by it. */
  limitGrace(graceMs: number): void;
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
  let statedGraceMs = 0;
  return {
    now: () => ({ monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() }),
    isLive(graceMs = 0) {
      const nowMs = clock.monotonicMs();
      const untilMs = validUntilMs + Math.min(graceMs, statedGraceMs);
      return nowMs < untilMs && Math.abs(clock.wallMs() - nowMs - wallAheadMs) < maxDriftMs;
    },
    extend(from, graceMs) {
      statedGraceMs = graceMs;
      validUntilMs = from.monotonicMs + leaseMs;
      wallAheadMs = from.wallMs - from.monotonicMs;
    },
    limitGrace(graceMs) {
      statedGraceMs = Math.min(statedGraceMs, graceMs);
    },
    end() {
      validUntilMs = Number.NEGATIVE_INFINITY;
    },
  };
}
