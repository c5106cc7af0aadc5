import type { Redis } from "ioredis";
import { expect } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import type { BucketStore, Charge, TakeAnswer, TakeRequest } from "../../src/core/ports.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { UnreadableBucket } from "../../src/points/unreadable-bucket.ts";
import { createKeyNames } from "../../src/redis/key-names.ts";
import { chargeOf, newBucket, takeOf } from "../contract/bucket-store.ts";
import { createSetClockBuckets, zeroMs } from "../redis/set-clock.ts";
import type { LimitPlan, PointsHistory, TakePlan, TurnPlan } from "./points-history.ts";

export interface ModelComparison {
  /** Calls of the script that ended in an error, or without an answer. */
  readonly failedCalls: number;
  /** How many takes came to what, in all histories. */
  readonly met: Readonly<Record<string, number>>;
  /**
   * Plays a history on the script, in an empty database, and on the in-process buckets. Throws where the
   * script answers anything else, or leaves a key that does not expire, or that expires too soon.
   */
  play(history: PointsHistory): Promise<void>;
}

/** What a take came to: its answer, or the reason of its error. */
type End = TakeAnswer | string;

const names = createKeyNames({ shards: 64 });
const LEAP_MS = 10_000;
/** Of a late take: far below a leap, and far above what a call takes. */
const LATE_BUDGET_MS = 2000;
const START_US = 10_000_000_000;
const REMEMBERED_US = 600_000_000;
const MOST_SLACK_US = 60_000_000;
/** From the start, where the clock is set back at once. */
const LEAST_REMEMBERED_UNTIL_MS = (START_US - MOST_SLACK_US + REMEMBERED_US) / 1000;

/** `edit` makes another script of the script's source. */
export function createModelComparison(
  redis: Redis,
  { edit = (source) => source }: { edit?: (source: string) => string } = {},
): ModelComparison {
  let failedCalls = 0;
  const met: Record<string, number> = {};
  const observe = ({ outcome }: { outcome: "answered" | "failed" }): void => {
    if (outcome === "failed") failedCalls++;
  };
  const steady = createSetClockBuckets(redis, { edit, observe });
  const leaping = createSetClockBuckets(redis, { edit, observe, leapMs: LEAP_MS });

  /** All at once, at that time of the store's clock. */
  async function takeAll(takes: readonly Planned[], nowMs: number): Promise<End[]> {
    if (!takes.some(({ late }) => late)) {
      await steady.setClock(nowMs);
      return Promise.all(takes.map(({ request }) => endOf(steady.store.take(request, inAnyCase()))));
    }
    // A late take is late twice: it knows what the clock showed, and the clock leaps on with each call.
    await leaping.setClock(nowMs - 5 * LEAP_MS);
    await leaping.store.take(takeOf(chargeOf(), { mode: "peek" }), inAnyCase());
    await leaping.setClock(nowMs - LEAP_MS);
    return Promise.all(
      takes.map(({ request, late }) =>
        endOf(leaping.store.take(request, late ? performance.now() + LATE_BUDGET_MS : inAnyCase())),
      ),
    );
  }

  async function play({ limits, turns, broken }: PointsHistory): Promise<void> {
    await redis.flushdb();
    const buckets = limits.map(() => [newBucket(), newBucket()] as const);
    const brokenBucket = broken === undefined ? undefined : buckets[broken.limit]?.[broken.subject];
    // As far as the clock may be set back.
    const slackUs = Math.min(...limits.map(slackOf));
    let nowUs = START_US;
    /** Of the turns, the last one first. */
    const times = [nowUs];
    let latestUs = nowUs;
    const model = createInProcessBuckets({ now: () => nowUs / 1000 });
    const touched = new Map<string, Charge>();
    for (const turn of turns) {
      nowUs = Math.max(timeOf(turn, { limits, times }), latestUs - (slackUs - 1));
      latestUs = Math.max(latestUs, nowUs);
      times.unshift(nowUs);
      const takes = turn.takes.map((take) => plannedTake(limits, { take, buckets, brokenBucket }));
      const charges = takes.flatMap(({ request }) => request.charges);
      for (const charge of charges) {
        touched.set(names.bucket(charge), charge);
        if (charge.bucket === brokenBucket) await redis.set(names.bucket(charge), "junk", "EX", 3600);
      }
      const actual = await takeAll(takes, nowUs / 1000);
      const expected: End[] = [];
      for (const { request, late, unreadable } of takes) {
        if (late) expected.push("STORE_UNAVAILABLE");
        else if (unreadable) expected.push("unreadable");
        else expected.push(await endOf(takeOfModel(model, { request, brokenBucket })));
      }
      expect(actual).toEqual(expected);
      count(expected, charges);
    }
    const kept = new Map<string, number>();
    for (const [key, charge] of touched) {
      if (charge.bucket === brokenBucket) continue;
      const { states } = await model.take(takeOf(charge, { mode: "peek" }), inAnyCase());
      const resetMs = states[0]?.resetMs ?? 0;
      // Rounded up: it ends within the millisecond before.
      if (resetMs > 0) kept.set(key, nowUs / 1000 + resetMs - 1 + slackOf(charge.limit) / 1000);
    }
    await checkExpiries(kept);
  }

  function count(ends: readonly End[], charges: readonly Charge[]): void {
    const kinds = ends.map((end) => (typeof end === "string" ? end : end.outcome));
    if (new Set(charges.map(({ bucket }) => bucket)).size < charges.length) kinds.push("twice at once");
    for (const kind of kinds) met[kind] = (met[kind] ?? 0) + 1;
  }

  /** Each key expires, and neither a bucket before its time (by name) nor a request_id before its own. */
  async function checkExpiries(leastMs: ReadonlyMap<string, number>): Promise<void> {
    const keys = await redis.keys("tg:*");
    const expiries = await Promise.all(keys.map((key) => redis.call("PEXPIRETIME", key)));
    const wrong = keys.filter((key, index) => {
      const least = key.includes(":r:") ? LEAST_REMEMBERED_UNTIL_MS : leastMs.get(key);
      return Number(expiries[index]) < (least === undefined ? 0 : zeroMs + least);
    });
    expect(wrong).toEqual([]);
  }

  return {
    get failedCalls() {
      return failedCalls;
    },
    met,
    play,
  };
}

/** Buckets are kept that long beyond their end, for a clock set back by less; in microseconds. */
function slackOf({ windowMs }: { windowMs: number }): number {
  return Math.min(MOST_SLACK_US, windowMs * 1000);
}

/** In microseconds of the store's clock. */
function timeOf(
  { when, extraUs }: TurnPlan,
  { limits, times }: { limits: readonly LimitPlan[]; times: readonly number[] },
): number {
  const [lastUs = 0] = times;
  if ("step" in when) return lastUs + Math.round(when.step * (limits[0]?.windowMs ?? 0)) + extraUs;
  const limit = limits[when.limit % limits.length];
  const windowUs = 1000 * (limit?.windowMs ?? 0);
  const lengthsUs = {
    window: windowUs,
    "sub-window": Math.floor(windowUs / 60),
    block: 1000 * (limit?.blockMs[0] ?? 0),
    request_id: Math.max(REMEMBERED_US, windowUs),
  };
  return (times[when.turnsBack] ?? lastUs) + when.times * lengthsUs[when.of] + extraUs;
}

interface Planned {
  readonly request: TakeRequest;
  readonly late: boolean;
  readonly unreadable: boolean;
}

function plannedTake(
  limits: readonly LimitPlan[],
  {
    take,
    buckets,
    brokenBucket,
  }: {
    take: TakePlan;
    buckets: readonly (readonly [string, string])[];
    brokenBucket: string | undefined;
  },
): Planned {
  const charges = limits.flatMap((limit, index): Charge[] => {
    const share = take.costs[(index - take.first + limits.length) % limits.length];
    if (share === undefined) return [];
    const points = limit.points[take.plan];
    const whole = Math.ceil((share / 1000) * points) + (limit.shadow && share === 1000 ? 1 : 0);
    const cost = take.mode === "record" ? take.recorded || 2 * whole : whole;
    const { shape, windowMs, shadow } = limit;
    const bucket = buckets[index]?.[take.subject] ?? "";
    return [chargeOf({ shape, windowMs, blockMs: limit.blockMs[take.plan], points, bucket, cost, shadow })];
  });
  return {
    request: takeOf(charges, { mode: take.mode, requestId: take.requestId }),
    late: take.late,
    unreadable: charges.some(({ bucket, limit }) => bucket === brokenBucket && limit.shadow !== true),
  };
}

/** A limit in shadow whose bucket cannot be read says and counts nothing. */
async function takeOfModel(
  model: BucketStore,
  { request, brokenBucket }: { request: TakeRequest; brokenBucket: string | undefined },
): Promise<TakeAnswer> {
  const charges = request.charges.filter(({ bucket }) => bucket !== brokenBucket);
  const answer = await model.take({ ...request, charges }, inAnyCase());
  const states = [...answer.states];
  for (const [index, { bucket, points }] of request.charges.entries()) {
    if (bucket !== brokenBucket) continue;
    states.splice(index, 0, {
      outcome: "admitted",
      remaining: points,
      resetMs: 0,
      blockedMs: 0,
      retryAfterMs: 0,
    });
  }
  return { ...answer, states };
}

async function endOf(take: Promise<TakeAnswer>): Promise<End> {
  try {
    return await take;
  } catch (error) {
    if (!(error instanceof TollgateError)) throw error;
    return error.cause instanceof UnreadableBucket ? "unreadable" : error.reason;
  }
}

/** Later than any leap of the clock within a history's late turn; a timer takes it. */
function inAnyCase(): number {
  return performance.now() + 1e9;
}
