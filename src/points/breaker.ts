export type BreakerState = "closed" | "open" | "half_open";

/** Failures in a row that open the breaker. Those of calls that were under way together count once. */
const FAILURES_TO_OPEN = 3;

/** How long an open breaker lets nobody try; then one call at a time probes. */
const OPEN_MS = 250;

/** One call that the breaker let through; exactly one of its ends is to be called. */
export interface Attempt {
  succeeded(): void;
  failed(): void;
  /** The call says nothing about the store. */
  ended(): void;
}

/** Keeps calls from a store that does not answer, so that they need not wait to find out. */
export interface Breaker {
  readonly state: BreakerState;
  /** Undefined: do not try. `nowMs`: of who has just read the clock. */
  attempt(nowMs?: number): Attempt | undefined;
}

/** `now`: milliseconds, monotonic. `onState` is told each change. */
export function createBreaker({
  now,
  onState,
}: {
  now: () => number;
  onState: (state: BreakerState) => void;
}): Breaker {
  let state: BreakerState = "closed";
  let failures = 0;
  let lastFailureMs = Number.NEGATIVE_INFINITY;
  let openUntilMs = 0;
  let probe: Attempt | undefined;

  function become(next: BreakerState): void {
    if (state === next) return;
    state = next;
    onState(next);
  }

  function open(nowMs: number): void {
    openUntilMs = nowMs + OPEN_MS;
    become("open");
  }

  class OneAttempt implements Attempt {
    readonly #startMs: number;

    constructor(startMs: number) {
      this.#startMs = startMs;
    }

    succeeded(): void {
      probe = undefined;
      failures = 0;
      become("closed");
    }

    failed(): void {
      const nowMs = now();
      if (probe === this) {
        probe = undefined;
        open(nowMs);
      } else if (state === "closed" && this.#startMs >= lastFailureMs) {
        lastFailureMs = nowMs;
        failures++;
        if (failures >= FAILURES_TO_OPEN) open(nowMs);
      }
    }

    ended(): void {
      if (probe === this) probe = undefined;
    }
  }

  return {
    get state() {
      return state;
    },

    attempt(nowMs = now()) {
      if (state === "closed") return new OneAttempt(nowMs);
      if (nowMs < openUntilMs || probe !== undefined) return undefined;
      become("half_open");
      probe = new OneAttempt(nowMs);
      return probe;
    },
  };
}
