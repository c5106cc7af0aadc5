import { TollgateError } from "../core/errors.ts";

export interface UndecidedLogOptions {
  readonly log: { warn(fields: object, message: string): void };
  /** Told of each, for the metrics; `reason` is one of a fixed few. */
  readonly onUndecided: (reason: string) => void;
  /** Milliseconds, monotonic. */
  readonly now?: () => number;
}

/** Of one reason at most one line in this time. */
const REPEAT_AFTER_MS = 1000;

/** Tells the operator why requests of gateways were refused without a decision, as often as he can read it. */
export function createUndecidedLog({
  log,
  onUndecided,
  now = () => performance.now(),
}: UndecidedLogOptions): (error: unknown) => void {
  const toldAtMs = new Map<string, number>();
  return (error) => {
    const reason = error instanceof TollgateError ? error.reason : "INTERNAL";
    onUndecided(reason);
    const nowMs = now();
    if (nowMs - (toldAtMs.get(reason) ?? Number.NEGATIVE_INFINITY) < REPEAT_AFTER_MS) return;
    toldAtMs.set(reason, nowMs);
    log.warn({ reason, err: error }, "a gateway's request could not be decided, and was refused");
  };
}
