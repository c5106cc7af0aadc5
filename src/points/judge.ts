import { TollgateError } from "../core/errors.ts";
import type { Attempt } from "./breaker.ts";
import { NotSent } from "./not-sent.ts";
import { UnreadableBucket } from "./unreadable-bucket.ts";

/** What a call that threw says about its store. */
export type Judgement = "answers" | "does not answer" | "nothing";

/** Ends the attempt by the error of its call. `saysNothing`: the call had too little time to blame the store. */
export function judge(
  attempt: Attempt,
  { error, saysNothing }: { error: unknown; saysNothing: boolean },
): Judgement {
  if (isFault(error) || saysNothing) {
    attempt.ended();
    return "nothing";
  }
  if (!isUnavailable(error) || error.cause instanceof UnreadableBucket) {
    attempt.succeeded();
    return "answers";
  }
  attempt.failed();
  return "does not answer";
}

export function wasNotSent(error: unknown): boolean {
  return error instanceof TollgateError && error.cause instanceof NotSent;
}

export function isUnavailable(error: unknown): error is TollgateError {
  return error instanceof TollgateError && error.code === "unavailable";
}

/** Ours, not the store's. */
function isFault(error: unknown): boolean {
  return !(error instanceof TollgateError) || error.code === "internal";
}
