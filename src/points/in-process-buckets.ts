import { storeUnavailable } from "../core/errors.ts";
import type {
  BucketCorrections,
  BucketStore,
  Charge,
  Deadline,
  GiveBackRequest,
  TakeAnswer,
  TakeRequest,
} from "../core/ports.ts";
import { giveBack } from "./give-back.ts";
import { rememberUs, slackUs } from "./retention.ts";
import {
  type Bucket,
  blockedBucket,
  decideTake,
  endUs,
  type Look,
  requestIdOf,
  requestIdReused,
} from "./take-decision.ts";

/** Entries that a write looks at to find those that have ended: more than it can add, so that they never pile up. */
const SWEEP_PER_WRITE = 4;

export interface InProcessBuckets extends BucketStore, BucketCorrections {
  /** Buckets and request_ids held now; those that have ended go as others are written. */
  readonly size: number;
  /** As `take`, at once, and tells which of the charges were charged, and not before under the request_id. */
  decide(request: TakeRequest): { readonly answer: TakeAnswer; readonly charged: readonly boolean[] };
  /** Of the charge's points those that are spent now, by its shape, whatever blocks its bucket. */
  spent(charge: Charge): number;
  /** Blocks the charge's bucket for `blockMs` from now, whatever it was before. */
  block(charge: Charge, blockMs: number): void;
}

interface Kept<T> {
  readonly value: T;
  readonly endUs: number;
}

interface Remembered {
  readonly cost: number;
  readonly untilUs: number;
  /** What was given back under it; undefined: it charged. */
  readonly given?: number;
}

/**
 * Buckets in this process's memory: a restart forgets them. Also the readable model that the Redis script
 * is tested against. `now` is in milliseconds, fractions count; by default the monotonic clock, which no
 * one sets.
 */
export function createInProcessBuckets({
  now = () => performance.now(),
}: {
  now?: () => number;
} = {}): InProcessBuckets {
  const buckets = new Map<string, Kept<Bucket>>();
  const requests = new Map<string, Kept<Remembered>>();
  const sweepBuckets = createSweep(buckets);
  const sweepRequests = createSweep(requests);
  const clockUs = () => Math.round(now() * 1000);

  function lookAt(charge: Charge, requestId: string, clock: number): Look {
    const bucket = buckets.get(bucketName(charge))?.value;
    const nowUs = bucket === undefined ? clock : Math.max(clock, bucket.lastUs);
    const remembered = requestId === "" ? undefined : requests.get(requestName(charge, requestId))?.value;
    return {
      charge,
      bucket,
      nowUs,
      rememberedCost: remembered !== undefined && nowUs < remembered.untilUs ? remembered.cost : undefined,
    };
  }

  function keepBucket(charge: Charge, bucket: Bucket): void {
    sweepBuckets(clockUs(), SWEEP_PER_WRITE);
    const slack = slackUs(charge.limit.windowMs * 1000);
    buckets.set(bucketName(charge), { value: bucket, endUs: endUs(bucket, charge) + slack });
  }

  function remember(look: Look, { requestId, given }: { requestId: string; given?: number }): void {
    sweepRequests(clockUs(), SWEEP_PER_WRITE);
    const windowUs = look.charge.limit.windowMs * 1000;
    const untilUs = look.nowUs + rememberUs(windowUs);
    requests.set(requestName(look.charge, requestId), {
      value: { cost: look.charge.cost, untilUs, ...(given !== undefined && { given }) },
      endUs: untilUs + slackUs(windowUs),
    });
  }

  function giveBackTo(look: Look): number {
    const { charge, bucket, nowUs } = look;
    if (bucket === undefined) return 0;
    const at = { nowUs, windowUs: charge.limit.windowMs * 1000, points: charge.points };
    const { spent, points } = giveBack(charge.limit.shape, { spent: bucket.spent, at, points: charge.cost });
    if (points > 0) keepBucket(charge, { ...bucket, lastUs: nowUs, spent });
    return points;
  }

  function giveBackAll({ charges, what, requestId }: GiveBackRequest): readonly number[] {
    if (what === "all") {
      for (const charge of charges) buckets.delete(bucketName(charge));
      return [];
    }
    const clock = clockUs();
    const looks = charges.map((charge) => lookAt(charge, requestId, clock));
    if (looks.some(({ rememberedCost, charge }) => (rememberedCost ?? charge.cost) !== charge.cost)) {
      throw requestIdReused();
    }
    return looks.map((look) => {
      if (look.rememberedCost !== undefined) {
        return requests.get(requestName(look.charge, requestId))?.value.given ?? 0;
      }
      const given = giveBackTo(look);
      if (requestId !== "") remember(look, { requestId, given });
      return given;
    });
  }

  function decide(request: TakeRequest): ReturnType<InProcessBuckets["decide"]> {
    const clock = clockUs();
    const requestId = requestIdOf(request);
    const looks = request.charges.map((charge) => lookAt(charge, requestId, clock));
    const { answer, effects } = decideTake(request.mode, looks);
    for (const { look, change, charged } of effects) {
      if (change !== undefined) keepBucket(look.charge, change);
      if (charged && requestId !== "") remember(look, { requestId });
    }
    return { answer, charged: effects.map(({ charged }) => charged) };
  }

  return {
    get size() {
      return buckets.size + requests.size;
    },

    decide,

    spent(charge) {
      const look = lookAt({ ...charge, cost: 0 }, "", clockUs());
      const unblocked = look.bucket === undefined ? undefined : { ...look.bucket, blockUntilUs: 0 };
      const [state] = decideTake("peek", [{ ...look, bucket: unblocked }]).answer.states;
      return charge.points - (state?.remaining ?? charge.points);
    },

    block(charge, blockMs) {
      const nowUs = clockUs();
      const known = buckets.get(bucketName(charge))?.value;
      const untilUs = nowUs + blockMs * 1000;
      keepBucket(
        charge,
        known === undefined ? blockedBucket(charge, { nowUs, untilUs }) : { ...known, blockUntilUs: untilUs },
      );
    },

    async giveBack(request, deadline) {
      requireTime(deadline);
      return giveBackAll(request);
    },

    async take(request, deadline) {
      requireTime(deadline);
      return decide(request).answer;
    },
  };
}

function requireTime(deadline: Deadline): void {
  if (performance.now() < deadline) return;
  throw storeUnavailable("points", new Error("the deadline had passed before the take"));
}

/** Two policies that differ in a limit's shape or window never read each other's state. */
function bucketName({ limit, bucket }: Charge): string {
  return `${limit.shape}${limit.windowMs}:${bucket}`;
}

function requestName({ bucket }: Charge, requestId: string): string {
  return JSON.stringify([bucket, requestId]);
}

/** Goes round the map, `count` entries a call, and drops those that have ended. */
function createSweep<T>(kept: Map<string, Kept<T>>): (clockUs: number, count: number) => void {
  let round = kept.entries();
  return (clockUs, count) => {
    for (let looked = 0; looked < count && kept.size > 0; looked++) {
      const next = round.next();
      if (next.done === true) {
        round = kept.entries();
        continue;
      }
      const [name, { endUs }] = next.value;
      if (endUs <= clockUs) kept.delete(name);
    }
  };
}
