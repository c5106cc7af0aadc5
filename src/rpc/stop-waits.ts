export interface StopWaits {
  /** Settles after `ms`, or when the process stops, or when the signal aborts: whichever comes first. */
  untilStopOr(ms: number, signal: AbortSignal): Promise<void>;
  /** Settles as `promise` does, or with undefined when the process stops. */
  untilStop<T>(promise: Promise<T>): Promise<T | undefined>;
}

/**
 * Waits that end when the process stops. One listener on `stopping` serves them all: a race against a
 * promise that lives as long as the process would keep every loser for as long.
 */
export function createStopWaits(stopping: AbortSignal): StopWaits {
  const waiting = new Set<() => void>();
  stopping.addEventListener("abort", () => {
    for (const wake of waiting) wake();
  });

  return {
    untilStopOr(ms, signal) {
      return new Promise((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          waiting.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        const timer = setTimeout(wake, ms);
        waiting.add(wake);
        signal.addEventListener("abort", wake);
        if (stopping.aborted || signal.aborted) wake();
      });
    },

    untilStop(promise) {
      return new Promise((resolve, reject) => {
        const wake = () => resolve(undefined);
        waiting.add(wake);
        if (stopping.aborted) wake();
        promise.finally(() => waiting.delete(wake)).then(resolve, reject);
      });
    },
  };
}
