import { deadlineExceeded, TollgateError } from "../core/errors.ts";
import type { OnOutage } from "../core/policy.ts";
import type { BucketStore, Charge, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { type Attempt, type BreakerState, createBreaker } from "./breaker.ts";
import { createInProcessBuckets } from "./in-process-buckets.ts";
import { NotSent } from "./not-sent.ts";
import { UnreadableBucket } from "./unreadable-bucket.ts";

/** Kept of the caller's time for deciding without the store, in ms. */
const RESERVE_MS = 2;

export type OutageEvent =
  | { readonly kind: "breaker"; readonly state: BreakerState }
  /** A take was decided without the store. `cause` is undefined while the breaker is open. */
  | { readonly kind: "outage"; readonly onOutage: OnOutage; readonly cause: unknown };

export interface OutageOptions {
  /** The store's own: the most that a take waits for it from when it is sent. */
  readonly budgetMs: number;
  /** Replicas that share the limits now, this one among them. */
  readonly liveReplicas: () => number;
  /** Milliseconds, monotonic, as deadlines are. */
  readonly now?: () => number;
  readonly onEvent?: (event: OutageEvent) => void;
}

export interface OutageTolerantBuckets extends BucketStore {
  readonly breakerState: BreakerState;
}

/**
 * Decides by the request's `onOutage` when the store does not answer within the budget:
 * - "deny": "unavailable".
 * - "local": this process's share, the limit's points divided by the live replicas and rounded down, counted
 *   here; blocks that the store has told are kept. A cost above the share is "unavailable". So an
 *   outage admits at most one share a window and process more than the limit.
 * - "allow": "admitted", uncounted.
 * A take that the store may have charged although its answer was lost is decided here again. One whose
 * own deadline leaves the store less than half the budget, and passes, or passes before it is sent at all,
 * throws `deadlineExceeded` instead: that says nothing about the store. Neither does one that gives it less
 * than half of the store's budget by a `budgetMs` of its own.
 */
export function withOutage(
  store: BucketStore,
  { budgetMs, liveReplicas, now = () => performance.now(), onEvent = () => {} }: OutageOptions,
): OutageTolerantBuckets {
  const breaker = createBreaker({ now, onState: (state) => onEvent({ kind: "breaker", state }) });
  const local = createInProcessBuckets({ now });

  async function decideWithout(request: TakeRequest, cause: unknown): Promise<TakeAnswer> {
    onEvent({ kind: "outage", onOutage: request.onOutage, cause });
    if (request.onOutage === "deny") return { outcome: "unavailable", states: [], decidedBy: "store" };
    if (request.onOutage === "allow") return { outcome: "admitted", states: [], decidedBy: "nobody" };
    const charges = request.charges.map((charge) => ({ ...charge, points: shareOf(charge) }));
    if (request.mode !== "record" && charges.some(({ cost, points }) => cost > points)) {
      return { outcome: "unavailable", states: [], decidedBy: "local" };
    }
    // A share of none counts as one point: only charges without a cost, and records, get this far.
    const answer = await local.take(
      { ...request, charges: charges.map((charge) => ({ ...charge, points: Math.max(1, charge.points) })) },
      Number.POSITIVE_INFINITY,
    );
    return { ...answer, decidedBy: "local" };
  }

  function shareOf({ points }: Charge): number {
    return Math.floor(points / Math.max(1, liveReplicas()));
  }

  function keepBlocks(request: TakeRequest, answer: TakeAnswer): void {
    answer.states.forEach(({ blockedMs }, index) => {
      const charge = request.charges[index];
      if (blockedMs > 0 && charge !== undefined) local.block(charge, blockedMs);
    });
  }

  return {
    get breakerState() {
      return breaker.state;
    },

    async take(request, deadline) {
      const startMs = now();
      const takeBudgetMs = Math.min(budgetMs, request.budgetMs ?? budgetMs);
      const leftMs = deadline - startMs;
      if (leftMs <= 0) throw deadlineExceeded();
      const attempt = breaker.attempt();
      if (attempt === undefined) return decideWithout(request, undefined);
      const storeMs = Math.max(leftMs - RESERVE_MS, leftMs / 2);
      let answer: TakeAnswer;
      try {
        answer = await store.take(request, startMs + storeMs);
      } catch (error) {
        const cutShort = wasNotSent(error) || (storeMs < takeBudgetMs / 2 && now() >= startMs + storeMs);
        const hadLittle = takeBudgetMs < budgetMs / 2 && now() >= startMs + takeBudgetMs;
        judge(attempt, { error, saysNothing: cutShort || hadLittle });
        if (!isUnavailable(error)) throw error;
        if (cutShort) throw deadlineExceeded();
        return decideWithout(request, error);
      }
      attempt.succeeded();
      keepBlocks(request, answer);
      return answer;
    },
  };
}

function judge(attempt: Attempt, { error, saysNothing }: { error: unknown; saysNothing: boolean }): void {
  if (isFault(error) || saysNothing) attempt.ended();
  else if (!isUnavailable(error) || error.cause instanceof UnreadableBucket) attempt.succeeded();
  else attempt.failed();
}

function wasNotSent(error: unknown): boolean {
  return error instanceof TollgateError && error.cause instanceof NotSent;
}

/** Ours, not the store's. */
function isFault(error: unknown): boolean {
  return !(error instanceof TollgateError) || error.code === "internal";
}

function isUnavailable(error: unknown): error is TollgateError {
  return error instanceof TollgateError && error.code === "unavailable";
}
