import type { BreakerState } from "./breaker.ts";

/** Decisions without the store. */
export interface OutageCounts {
  /** By this process's share, admitted or not. */
  readonly local: number;
  /** Refused because there was no store to ask, or the cost was above the share. */
  readonly unavailable: number;
  /** Admitted by nobody. */
  readonly uncounted: number;
}

export type OutageTurn =
  | { readonly kind: "began"; readonly cause: unknown }
  /** `durationMs`: since the store was first not heard. */
  | ({ readonly kind: "ended"; readonly durationMs: number } & OutageCounts);

export interface OutageRecord {
  /** The store did not answer. */
  failed(cause: unknown): void;
  decided(by: keyof OutageCounts): void;
  /** The store answered. */
  answered(): void;
  breaker(state: BreakerState): void;
}

/** Tells when an outage begins and ends: from the breaker's opening until it is closed again. */
export function createOutageRecord({
  now,
  onTurn,
}: {
  now: () => number;
  onTurn: (turn: OutageTurn) => void;
}): OutageRecord {
  const counts = { local: 0, unavailable: 0, uncounted: 0 };
  let startMs: number | undefined;
  let lastCause: unknown;
  let isOpen = false;

  function forget(): void {
    counts.local = 0;
    counts.unavailable = 0;
    counts.uncounted = 0;
    startMs = undefined;
    lastCause = undefined;
  }

  return {
    failed(cause) {
      startMs ??= now();
      lastCause = cause;
    },

    decided(by) {
      counts[by]++;
    },

    answered() {
      if (!isOpen && startMs !== undefined) forget();
    },

    breaker(state) {
      if (state === "closed") {
        isOpen = false;
        onTurn({ kind: "ended", durationMs: now() - (startMs ?? now()), ...counts });
        forget();
      } else if (!isOpen) {
        isOpen = true;
        onTurn({ kind: "began", cause: lastCause });
      }
    },
  };
}
