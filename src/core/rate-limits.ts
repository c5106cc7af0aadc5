import { type Caller, requireApi } from "./callers.ts";
import {
  chargesForDescriptor,
  isInShadow,
  pointsStates,
  retryAfterMsOf,
  shadowReasonOf,
  tightestOf,
} from "./charges.ts";
import type { Decision, DegradedCause } from "./decision.ts";
import { type DecisionDependencies, DecisionRun, degradedBy, type Refusal } from "./decision-run.ts";
import { deadlineExceeded, invalidField, TollgateError } from "./errors.ts";
import type { Policy } from "./policy.ts";
import { type PolicySet, policyByName } from "./policy-set.ts";
import type { BucketState, Charge, Deadline, TakeAnswer, Waiter } from "./ports.ts";

/** What a gateway's rate limit filter asks. Fields are as in Envoy's RateLimitRequest. */
export interface RateLimitInput {
  readonly api: string;
  /** At most 32, so that no request keeps the points' store from others. */
  readonly descriptors: readonly RateLimitDescriptor[];
}

export interface RateLimitDescriptor {
  /** No key twice. */
  readonly entries: readonly { readonly key: string; readonly value: string }[];
  /** What the request costs under each limit of the descriptor; 0 asks whether there is a block. */
  readonly points: number;
}

/** What was decided for all descriptors together. */
export interface RateLimitDecision
  extends Pick<
    Decision,
    | "api"
    | "allowed"
    | "reason"
    | "limits"
    | "points"
    | "retryAfterMs"
    | "degraded"
    | "isShadow"
    | "isOverruled"
    | "shadowReason"
  > {
  /** In the order of the request's. */
  readonly descriptors: readonly DescriptorDecision[];
}

export interface DescriptorDecision {
  readonly allowed: boolean;
  /** The tightest of its limits that are not in shadow; undefined when none was looked at. */
  readonly tightest: { readonly charge: Charge; readonly state: BucketState } | undefined;
}

/** Decides for gateways that send descriptors instead of requests, as Envoy's rate limit filter does. */
export interface RateLimits {
  /**
   * Charges all descriptors in one step, or none. One with the entries `key_id`, or `key_id` and
   * `workspace_id`, is charged what a check of that key is; others by the policy's limits per descriptor, and
   * not at all where none matches. Throws `not_found` API_UNKNOWN, `permission_denied`, `invalid_argument`,
   * and `failed_precondition` CROSS_SHARD where Redis Cluster cannot take all in one step.
   */
  limit(
    input: RateLimitInput,
    caller: Caller,
    deadline: Deadline,
    waiter?: Waiter,
  ): Promise<RateLimitDecision>;
}

export interface RateLimitsDependencies extends Omit<DecisionDependencies, "onUse"> {
  /** Asked once a decision: it keeps the policies that it began with. */
  readonly policies: () => PolicySet;
}

/** Envoy's filter waits 20 ms by default, and then does as if there were no limit. */
const BUDGET_MS = 15;

const MAX_DESCRIPTORS = 32;

/** Buckets of one request: they are charged in one step, for which the store is kept from others. */
const MAX_CHARGES = 100;

/** A descriptor with what it is charged, before charges of one bucket are added up. */
interface Part {
  /** Why it is refused before points are looked at. */
  readonly refusal: Refusal;
  readonly charges: readonly Charge[];
  /** By what was known of its key from before. */
  readonly degraded: readonly DegradedCause[];
}

export function createRateLimits(dependencies: RateLimitsDependencies): RateLimits {
  const { policies, buckets } = dependencies;

  async function partOf(
    { entries: list, points: cost }: RateLimitDescriptor,
    context: { set: PolicySet; policy: Policy; caller: Caller; deadline: Deadline; field: string },
  ): Promise<Part> {
    const { field, ...run } = context;
    const entries = new Map(list.map(({ key, value }) => [key, value]));
    if (entries.size < list.length) throw invalidField(`${field}.entries`, "each key may stand once");
    const keyId = keyOf(entries);
    if (keyId === undefined) {
      const charges = chargesForDescriptor(run.policy, { entries, cost });
      return { refusal: undefined, charges, degraded: [] };
    }
    return new DecisionRun(dependencies, {
      ...run,
      environment: "any",
      requestId: "",
      mode: "enforce",
      explain: false,
    }).chargesOf({ keyId, workspaceId: entries.get("workspace_id") ?? "", cost });
  }

  async function take(
    charges: readonly Charge[],
    { policy, deadline, waiter }: { policy: Policy; deadline: Deadline; waiter: Waiter | undefined },
  ): Promise<TakeAnswer> {
    try {
      return await buckets.take(
        { charges, mode: "enforce", requestId: "", onOutage: policy.onOutage, budgetMs: BUDGET_MS, waiter },
        deadline,
      );
    } catch (error) {
      if (error instanceof TollgateError && error.reason === "CROSS_SHARD") throw crossShard(charges);
      throw error;
    }
  }

  return {
    async limit({ api, descriptors }, caller, deadline, waiter) {
      const set = policies();
      const policy = policyByName(set, api);
      requireApi(caller, policy.api);
      if (descriptors.length > MAX_DESCRIPTORS) {
        throw invalidField("descriptors", `at most ${MAX_DESCRIPTORS} in a request`);
      }
      const parts = await Promise.all(
        descriptors.map((descriptor, index) =>
          partOf(descriptor, { set, policy, caller, deadline, field: `descriptors[${index}]` }),
        ),
      );
      if (performance.now() > deadline) throw deadlineExceeded();
      const totals = addedUp(parts);
      if (totals.size > MAX_CHARGES) {
        throw invalidField(
          "descriptors",
          `they count in ${totals.size} buckets, and at most in ${MAX_CHARGES}`,
        );
      }
      const refusals = parts.map((part) => part.refusal ?? costRefusal(part, totals));
      const isRefused = refusals.some((refusal) => refusal !== undefined);
      const charges = isRefused ? [] : [...totals.values()];
      const answer = charges.length === 0 ? undefined : await take(charges, { policy, deadline, waiter });
      if (performance.now() > deadline) throw deadlineExceeded();
      const looks = looksOf(charges, answer);
      const reasons =
        answer === undefined ? refusals : parts.map((part) => pointsRefusal(part, { looks, answer }));

      const isShadow = policy.enforcement === "shadow";
      const reason = reasons.find((each) => each !== undefined);
      const allowed = reason === undefined || isShadow;
      const limits = pointsStates(charges, answer);
      // Where nobody is refused without the store, all limits are in shadow.
      const watched = answer?.outcome === "unavailable" ? "STORE_UNAVAILABLE" : shadowReasonOf(limits);
      return {
        api: policy.api,
        allowed,
        reason: allowed ? undefined : reason,
        limits,
        points: limits[tightestOf(charges, answer)],
        retryAfterMs: allowed ? 0 : retryAfterMsOf(charges, answer),
        degraded: [...degradedBy(answer, { allowed }), ...new Set(parts.flatMap(({ degraded }) => degraded))],
        isShadow,
        isOverruled: isShadow && reason !== undefined,
        shadowReason: allowed ? (reason ?? watched) : undefined,
        descriptors: parts.map((part, index) => ({
          allowed: isShadow || reasons[index] === undefined,
          tightest: tightestLook(part, looks),
        })),
      };
    },
  };
}

/** The key that was checked before, where nothing but that is told. */
function keyOf(entries: ReadonlyMap<string, string>): string | undefined {
  const isForKey = entries.size === 1 || (entries.size === 2 && entries.has("workspace_id"));
  return isForKey ? entries.get("key_id") : undefined;
}

/** By bucket. Where a key's workspaces give one bucket different points, the fewest count. */
function addedUp(parts: readonly Part[]): ReadonlyMap<string, Charge> {
  const totals = new Map<string, Charge>();
  for (const charge of parts.flatMap(({ charges }) => charges)) {
    const known = totals.get(charge.bucket);
    totals.set(
      charge.bucket,
      known === undefined
        ? charge
        : {
            ...charge,
            cost: known.cost + charge.cost,
            points: Math.min(known.points, charge.points),
          },
    );
  }
  return totals;
}

function costRefusal({ charges }: Part, totals: ReadonlyMap<string, Charge>): Refusal {
  const isAbove = charges.some((charge) => {
    const total = totals.get(charge.bucket) as Charge;
    return charge.cost > 0 && total.cost > total.points && !isInShadow(charge);
  });
  return isAbove ? "COST_ABOVE_LIMIT" : undefined;
}

/** A bucket's charges of all descriptors together, and what the take found there. */
interface Look {
  readonly charge: Charge;
  readonly state: BucketState;
}

/** By bucket; empty when none was looked at. */
function looksOf(charges: readonly Charge[], answer: TakeAnswer | undefined): ReadonlyMap<string, Look> {
  const states = answer?.states ?? [];
  return new Map(
    states.map((state, index) => {
      const charge = charges[index] as Charge;
      return [charge.bucket, { charge, state }];
    }),
  );
}

function pointsRefusal(
  { charges }: Part,
  { looks, answer }: { looks: ReadonlyMap<string, Look>; answer: TakeAnswer },
): Refusal {
  const refusing = charges.filter((charge) => !isInShadow(charge));
  if (refusing.length > 0 && answer.outcome === "unavailable") return "STORE_UNAVAILABLE";
  const found = refusing.flatMap((own) => {
    const look = looks.get(own.bucket);
    return look === undefined ? [] : [{ own, ...look }];
  });
  if (found.some(({ state }) => state.outcome === "blocked")) return "BLOCKED";
  // What others of the request cost in the bucket is no refusal of one that costs nothing.
  const isExceeded = found.some(
    ({ own, charge, state }) => state.outcome === "exceeded" && (own.cost > 0 || charge.cost === 0),
  );
  return isExceeded ? "POINTS_EXCEEDED" : undefined;
}

function tightestLook({ charges }: Part, looks: ReadonlyMap<string, Look>): Look | undefined {
  const own = charges.flatMap(({ bucket }) => looks.get(bucket) ?? []);
  const index = tightestOf(
    own.map(({ charge }) => charge),
    { states: own.map(({ state }) => state) },
  );
  return own[index];
}

function crossShard(charges: readonly Charge[]): TollgateError {
  const names = [...new Set(charges.map(({ limit }) => limit.name))].join(", ");
  return new TollgateError(
    "failed_precondition",
    `In Redis Cluster the limits ${names} lie in different shards and cannot be charged in one step; write tag: api in the policy, or have the gateway ask for them in separate requests.`,
    { reason: "CROSS_SHARD" },
  );
}
