/**
 * A further signal within this time is the first one, told twice: a Ctrl-C comes from the terminal, and from
 * what started us.
 */
const SAME_SIGNAL_MS = 1000;

/** What this process is told by signals. */
export interface Signals {
  /** Settles at the first SIGTERM or SIGINT. */
  readonly told: Promise<undefined>;
  /** Calls `act` at each later one that was meant as another. */
  onToldAgain(act: () => void): void;
}

/** Listens from now on, for good. SIGHUP is told to `onReload`. */
export function listenToSignals({ onReload }: { onReload: () => void }): Signals {
  let firstMs: number | undefined;
  let again = (): void => {};
  const told = new Promise<undefined>((resolve) => {
    const onSignal = () => {
      const nowMs = performance.now();
      firstMs ??= nowMs;
      resolve(undefined);
      if (nowMs - firstMs >= SAME_SIGNAL_MS) again();
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
  process.on("SIGHUP", onReload);
  return {
    told,
    onToldAgain(act) {
      again = act;
    },
  };
}
