import { deadlineExceeded } from "../core/errors.ts";
import type { OnOutage } from "../core/policy.ts";
import type { BucketStore, Charge, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { type Attempt, type BreakerState, createBreaker } from "./breaker.ts";
import { createInProcessBuckets } from "./in-process-buckets.ts";
import { isUnavailable, judge, wasNotSent } from "./judge.ts";
import { createOutageRecord, type OutageTurn } from "./outage-record.ts";
import { STORE_SHARE } from "./store-share.ts";
import { createTeller, type Told } from "./teller.ts";

/** Kept of the caller's time for deciding without the store, in ms. */
const RESERVE_MS = 2;

/** More than the store's own budget, from when a probe is sent. */
const PROBE_MS = 1000;

const TOLD_TO_NOBODY = deadlineExceeded();

export type OutageEvent =
  | { readonly kind: "breaker"; readonly state: BreakerState }
  /** A take was decided without the store. `cause` is undefined while the breaker is open. */
  | { readonly kind: "outage"; readonly onOutage: OnOutage; readonly cause: unknown }
  | OutageTurn
  /** Nothing that was used here is untold any more. */
  | ({ readonly kind: "told" } & Told);

export interface OutageOptions {
  /** The store's own: the most that a take waits for it from when it is sent. */
  readonly budgetMs: number;
  /** Replicas that share the limits now, this one among them. */
  readonly liveReplicas: () => number;
  /** Milliseconds, monotonic, as deadlines are. */
  readonly now?: () => number;
  readonly onEvent?: (event: OutageEvent) => void;
}

/** What the store was asked, when, and how long it had for it. */
interface Asked {
  readonly request: TakeRequest;
  readonly attempt: Attempt;
  readonly startMs: number;
  readonly storeMs: number;
}

export interface OutageTolerantBuckets extends BucketStore {
  readonly breakerState: BreakerState;
}

/**
 * Decides by the request's `onOutage` when the store does not answer within the budget:
 * - "deny": "unavailable".
 * - "local": this process's share, the limit's points divided by the live replicas and rounded down, counted
 *   here; blocks that the store has told are kept. A cost above the share is "unavailable". So an
 *   outage admits at most one share a window and process more than the limit. When the store answers again,
 *   what was used here is charged there, before this process asks it for points of the same bucket.
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
  const record = createOutageRecord({ now, onTurn: onEvent });
  const breaker = createBreaker({
    now,
    onState(state) {
      onEvent({ kind: "breaker", state });
      record.breaker(state);
    },
  });
  const local = createInProcessBuckets({ now });
  // By the last that was heard of the store.
  let answers = true;
  let isProbing = false;
  const mayAsk = (): boolean => answers && breaker.state === "closed";
  const teller = createTeller({
    store,
    local,
    now,
    mayTell: mayAsk,
    probe: (charge) => void probe(charge),
    onFailed: (error) => {
      if (isUnavailable(error) && !wasNotSent(error)) answers = false;
    },
    onTold: (told) => onEvent({ kind: "told", ...told }),
  });

  function heard(attempt: Attempt, failure?: { error: unknown; saysNothing: boolean }): void {
    if (failure === undefined) attempt.succeeded();
    else record.failed(failure.error);
    const judgement = failure === undefined ? "answers" : judge(attempt, failure);
    if (judgement === "nothing") return;
    answers = judgement === "answers";
    if (!answers) return;
    record.answered();
    teller.tellAll();
  }

  /** Charges nothing: no harm when its reply is lost. */
  async function probe(charge: Charge): Promise<void> {
    if (isProbing) return;
    const attempt = breaker.attempt();
    if (attempt === undefined) return;
    isProbing = true;
    try {
      const charges = [{ ...charge, cost: 0 }];
      await store.take({ charges, mode: "peek", requestId: "", onOutage: "deny" }, now() + PROBE_MS);
      heard(attempt);
    } catch (error) {
      heard(attempt, { error, saysNothing: wasNotSent(error) });
    } finally {
      isProbing = false;
    }
  }

  function decideWithout(request: TakeRequest, cause: unknown): TakeAnswer {
    onEvent({ kind: "outage", onOutage: request.onOutage, cause });
    const answer = answerWithout(request, cause);
    if (answer.outcome === "unavailable") record.decided("unavailable");
    else record.decided(answer.decidedBy === "local" ? "local" : "uncounted");
    return answer;
  }

  async function takeWithout(request: TakeRequest): Promise<TakeAnswer> {
    return decideWithout(request, undefined);
  }

  function answerWithout(request: TakeRequest, cause: unknown): TakeAnswer {
    if (request.onOutage === "deny") return { outcome: "unavailable", states: [], decidedBy: "store" };
    if (request.onOutage === "allow") return { outcome: "admitted", states: [], decidedBy: "nobody" };
    const charges = request.charges.map((charge) => ({ ...charge, points: shareOf(charge) }));
    if (request.mode !== "record" && charges.some(isAboveShare)) {
      return { outcome: "unavailable", states: [], decidedBy: "local" };
    }
    // A share of none counts as one point: only charges without a cost, and records, get this far.
    const { answer, charged } = local.decide({
      ...request,
      charges: charges.map((charge) => ({ ...charge, points: Math.max(1, charge.points) })),
    });
    const { requestId } = request;
    request.charges.forEach((charge, index) => {
      if (charged[index] === true) teller.used({ charge, requestId, atMs: now() }, cause);
    });
    return { ...answer, decidedBy: "local" };
  }

  /** A limit in shadow refuses nothing here either. */
  function isAboveShare({ limit, cost, points }: Charge): boolean {
    return limit.shadow !== true && cost > points;
  }

  function shareOf({ points }: Charge): number {
    return Math.floor(points / Math.max(1, liveReplicas()));
  }

  function keepBlocks({ charges }: TakeRequest, { states }: TakeAnswer): void {
    for (let index = 0; index < states.length; index++) {
      const { blockedMs = 0 } = states[index] ?? {};
      const charge = charges[index];
      if (blockedMs > 0 && charge !== undefined) local.block(charge, blockedMs);
    }
  }

  /** What is thrown, or decided, when the store threw. */
  function afterFailure({ request, attempt, startMs, storeMs }: Asked, error: unknown): TakeAnswer {
    const takeBudgetMs = Math.min(budgetMs, request.budgetMs ?? budgetMs);
    const cutShort = wasNotSent(error) || (storeMs < takeBudgetMs / 2 && now() >= startMs + storeMs);
    const hadLittle = takeBudgetMs < budgetMs / 2 && now() >= startMs + STORE_SHARE * takeBudgetMs;
    heard(attempt, { error, saysNothing: cutShort || hadLittle });
    if (!isUnavailable(error)) throw error;
    if (cutShort) throw request.waiter?.isAborted === true ? TOLD_TO_NOBODY : deadlineExceeded();
    return decideWithout(request, error);
  }

  return {
    get breakerState() {
      return breaker.state;
    },

    take(request, deadline) {
      const startMs = now();
      const leftMs = deadline - startMs;
      if (leftMs <= 0) return Promise.reject(deadlineExceeded());
      const [first] = request.charges;
      if (first !== undefined && teller.holds(request.charges)) {
        if (!mayAsk()) {
          void probe(first);
          return takeWithout(request);
        }
        teller.tell(request.charges);
      }
      const attempt = breaker.attempt(startMs);
      if (attempt === undefined) return takeWithout(request);
      const storeMs = Math.max(leftMs - RESERVE_MS, leftMs / 2);
      return store.take(request, startMs + storeMs).then(
        (answer) => {
          heard(attempt);
          keepBlocks(request, answer);
          return answer;
        },
        (error: unknown) => afterFailure({ request, attempt, startMs, storeMs }, error),
      );
    },
  };
}
