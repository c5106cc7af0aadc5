import { TollgateError } from "../core/errors.ts";
import { createRepeats } from "../core/repeats.ts";

export interface UndecidedLogOptions {
  readonly log: { warn(fields: object, message: string): void };
  /** Told of each, for the metrics; `reason` is one of a fixed few. */
  readonly onUndecided: (reason: string) => void;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Tells the operator what of gateways' requests could not be decided and why, as often as he can read it. */
export type UndecidedLog = (error: unknown) => void;

export function createUndecidedLog({
  log,
  onUndecided,
  now = () => performance.now(),
}: UndecidedLogOptions): UndecidedLog {
  const repeats = createRepeats({ everyMs: 1000 });
  return (error) => {
    const reason = error instanceof TollgateError ? error.reason : "INTERNAL";
    onUndecided(reason);
    // Of a configuration that means nothing the message says all, and one gateway's must not hide another's.
    const why = reason === "GATEWAY_MISCONFIGURED" ? { problem: (error as Error).message } : { err: error };
    const suppressed = repeats.suppressedBefore("problem" in why ? why.problem : reason, now());
    if (suppressed === undefined) return;
    log.warn(
      { reason, ...why, ...(suppressed === 0 ? {} : { suppressed }) },
      "a gateway's request could not be decided",
    );
  };
}
