import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LimitShape } from "../../src/core/policy.ts";
import type { BucketStore, Charge, PointsMode, TakeAnswer, TakeRequest } from "../../src/core/ports.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { chargeOf, inTime, newBucket, takeOf } from "../contract/bucket-store.ts";
import { createSetClockBuckets, type SetClockBuckets } from "../redis/set-clock.ts";
import { redisUrl } from "../support/redis.ts";

const DAY = 86_400_000;
/** Up to the longest that a policy can state. */
const windowsMs = [1, 59, 60, 61, 1000, 7777, 60_000, 3_600_000, 30 * DAY];

interface LimitPlan {
  readonly shape: LimitShape;
  readonly windowMs: number;
  readonly blockMs: number;
  /** Points on two plans. */
  readonly points: readonly [number, number];
}

interface TakePlan {
  /** Index in the limits → the cost's share of the points, in thousandths. */
  readonly costs: readonly number[];
  readonly first: number;
  readonly plan: 0 | 1;
  readonly subject: 0 | 1;
  readonly mode: PointsMode;
  /** What it costs in mode record, instead of twice the share; 0: that. */
  readonly recorded: number;
  readonly requestId: string;
}

interface TurnPlan {
  /** In thousandths of the first limit's window; below 0: the clock is set back. */
  readonly step: number;
  readonly extraUs: number;
  readonly takes: readonly TakePlan[];
}

const limitPlan: fc.Arbitrary<LimitPlan> = fc.record({
  shape: fc.constantFrom<LimitShape>("sliding", "fixed", "bucket"),
  windowMs: fc.constantFrom(...windowsMs),
  blockMs: fc.constantFrom(0, 0, 1, 500, 60_000, 30 * DAY),
  points: fc.tuple(points(), points()),
});

function points(): fc.Arbitrary<number> {
  return fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(300, 7919, 2 ** 32 - 1));
}

const takePlan: fc.Arbitrary<TakePlan> = fc.record({
  costs: fc.array(fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.constantFrom(0, 1, 500, 1000)), {
    minLength: 1,
    maxLength: 3,
  }),
  first: fc.nat(2),
  plan: fc.constantFrom<0 | 1>(0, 0, 0, 1),
  subject: fc.constantFrom<0 | 1>(0, 0, 1),
  mode: fc.constantFrom<PointsMode>("enforce", "enforce", "enforce", "peek", "record"),
  // The largest of one charge, and what many of those come to.
  recorded: fc.constantFrom(0, 0, 0, 2 ** 32 - 1, 2 ** 39 + 1, 2 ** 53),
  requestId: fc.constantFrom("", "", "a", "b"),
});

const turnPlan: fc.Arbitrary<TurnPlan> = fc.record({
  step: fc.oneof(
    fc.integer({ min: -1000, max: 300 }),
    fc.constantFrom(0, 0, 8, 16, 17, 500, 983, 984, 1000, 2000, 20_000, 130_000),
  ),
  extraUs: fc.constantFrom(0, 0, 1, -1, 333),
  takes: fc.array(takePlan, { minLength: 1, maxLength: 6 }),
});

/** What a take came to: its answer, or the reason of its error. */
async function come(take: Promise<TakeAnswer>): Promise<TakeAnswer | string> {
  try {
    return await take;
  } catch (error) {
    return (error as { reason?: string }).reason ?? String(error);
  }
}

describe("the Redis script decides as the in-process buckets do", () => {
  let redis: Redis;
  let subject: SetClockBuckets;
  beforeAll(async () => {
    const connected = await createRedis(redisUrl(), {
      onError: (error) => {
        throw error;
      },
    });
    if (connected.isCluster) throw new Error("the test run's Redis is a cluster");
    redis = connected as Redis;
    subject = createSetClockBuckets(redis);
  });
  afterAll(() => redis.disconnect());

  test("to the point and the millisecond, for any limits, takes, batches and clock", async () => {
    const limitPlans = fc.array(limitPlan, { minLength: 1, maxLength: 3 });
    const turnPlans = fc.array(turnPlan, { minLength: 1, maxLength: 14 });
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(limitPlans, turnPlans, async (limits, turns) => {
        // Buckets are kept beyond their end for a clock set back by less than this.
        const slackMs = Math.min(60_000, ...limits.map(({ windowMs }) => windowMs));
        const buckets = limits.map(() => [newBucket(), newBucket()] as const);
        let nowUs = 10_000_000_000;
        let latestUs = nowUs;
        const model = createInProcessBuckets({ now: () => nowUs / 1000 });
        for (const turn of turns) {
          const stepUs = Math.round(turn.step * (limits[0]?.windowMs ?? 0)) + turn.extraUs;
          nowUs = Math.max(nowUs + stepUs, latestUs - (slackMs * 1000 - 1));
          latestUs = Math.max(latestUs, nowUs);
          const takes = turn.takes.map((take) => requestOf(limits, { take, buckets }));
          await subject.setClock(nowUs / 1000);
          const actual = await Promise.all(takes.map((take) => come(subject.store.take(take, inTime()))));
          const expected = [];
          for (const take of takes) expected.push(await come(model.take(take, inTime())));
          expect(actual).toEqual(expected);
          compared += takes.length;
        }
      }),
      { numRuns: 300 },
    );
    expect(compared).toBeGreaterThan(1000);
  });

  function requestOf(
    limits: readonly LimitPlan[],
    { take, buckets }: { take: TakePlan; buckets: readonly (readonly [string, string])[] },
  ): TakeRequest {
    const charges = limits.flatMap((limit, index): Charge[] => {
      const share = take.costs[(index - take.first + limits.length) % limits.length];
      if (share === undefined) return [];
      const limitPoints = limit.points[take.plan];
      const whole = Math.ceil((share / 1000) * limitPoints);
      const cost = take.mode === "record" ? take.recorded || 2 * whole : whole;
      const bucket = buckets[index]?.[take.subject] ?? "";
      const { shape, windowMs, blockMs } = limit;
      return [chargeOf({ shape, windowMs, blockMs, points: limitPoints, bucket, cost })];
    });
    return takeOf(charges, { mode: take.mode, requestId: take.requestId });
  }
});

interface Entry {
  readonly ms: number;
  readonly cost: number;
}

const windowMs = 6000;
const limitPoints = 20;
const history = fc.array(
  fc.record({
    stepMs: fc.oneof(
      fc.integer({ min: 0, max: 400 }),
      fc.constantFrom(0, 0, 1, 99, 100, 101, 2000, 5899, 5999, 6000, 6001),
    ),
    cost: fc.integer({ min: 1, max: limitPoints }),
  }),
  { minLength: 20, maxLength: 120 },
);

/** Plays a history of charges on one bucket; answers what was admitted, and each take beside its answer. */
async function play(
  steps: readonly { stepMs: number; cost: number }[],
  { shape, blockMs = 0 }: { shape: LimitShape; blockMs?: number },
) {
  let nowMs = 0;
  const store: BucketStore = createInProcessBuckets({ now: () => nowMs });
  const charge = chargeOf({ shape, windowMs, points: limitPoints, blockMs });
  const admitted: Entry[] = [];
  const played: { entry: Entry; answer: TakeAnswer; before: readonly Entry[] }[] = [];
  for (const { stepMs, cost } of steps) {
    nowMs += stepMs;
    const entry = { ms: nowMs, cost };
    const answer = await store.take(takeOf({ ...charge, cost }), inTime());
    played.push({ entry, answer, before: [...admitted] });
    if (answer.outcome === "admitted") admitted.push(entry);
  }
  return { admitted, played };
}

/** What was admitted after `fromMs`, and up to `toMs`. */
function sumBetween(entries: readonly Entry[], fromMs: number, toMs: number): number {
  return entries.filter(({ ms }) => ms > fromMs && ms <= toMs).reduce((sum, { cost }) => sum + cost, 0);
}

describe("a sliding limit, judged by a full record of what was charged", () => {
  test("in no interval of the window's length are more points admitted", async () => {
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { admitted } = await play(steps, { shape: "sliding" });
        for (const { ms } of admitted) {
          expect(sumBetween(admitted, ms - windowMs, ms)).toBeLessThanOrEqual(limitPoints);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("nothing is refused that would fit a window longer by a sixtieth", async () => {
    let judged = 0;
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { played } = await play(steps, { shape: "sliding" });
        const refused = played.filter(({ answer }) => answer.outcome === "exceeded");
        for (const { entry, before } of refused) {
          const spent = sumBetween(before, entry.ms - windowMs - windowMs / 60, entry.ms);
          expect(spent + entry.cost).toBeGreaterThan(limitPoints);
        }
        judged += refused.length;
      }),
      { numRuns: 300 },
    );
    expect(judged).toBeGreaterThan(1000);
  });

  test("a block starts only with a charge that exceeds the limit exactly", async () => {
    let judged = 0;
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { played } = await play(steps, { shape: "sliding", blockMs: 300 });
        const blocking = played.filter(
          ({ answer }) =>
            answer.outcome === "exceeded" && answer.states.some(({ blockedMs }) => blockedMs > 0),
        );
        for (const { entry, before } of blocking) {
          const spent = sumBetween(before, entry.ms - windowMs, entry.ms);
          expect(spent + entry.cost).toBeGreaterThan(limitPoints);
        }
        judged += blocking.length;
      }),
      { numRuns: 300 },
    );
    expect(judged).toBeGreaterThan(1000);
  });

  test("a charge that exceeds the limit by more than the last sixtieth starts the block", async () => {
    let judged = 0;
    await fc.assert(
      fc.asyncProperty(history, async (steps) => {
        const { played } = await play(steps, { shape: "sliding", blockMs: 300 });
        const refused = played.filter(({ answer }) => answer.outcome === "exceeded");
        for (const { entry, answer, before } of refused) {
          const spent = sumBetween(before, entry.ms - windowMs + windowMs / 60, entry.ms);
          const exceeds = spent + entry.cost > limitPoints;
          if (exceeds) judged++;
          expect(answer.states[0]?.blockedMs).toSatisfy((ms) => ms === 300 || (ms === 0 && !exceeds));
        }
      }),
      { numRuns: 300 },
    );
    expect(judged).toBeGreaterThan(1000);
  });
});

describe("a limit of the shapes that say so", () => {
  for (const shape of ["fixed", "bucket"] as const) {
    test(`${shape} admits at most twice its points in an interval of the window's length`, async () => {
      await fc.assert(
        fc.asyncProperty(history, async (steps) => {
          const { admitted } = await play(steps, { shape });
          for (const { ms } of admitted) {
            expect(sumBetween(admitted, ms - windowMs, ms)).toBeLessThanOrEqual(2 * limitPoints);
          }
        }),
        { numRuns: 200 },
      );
    });
  }
});

describe("what a refusal promises", () => {
  for (const shape of ["sliding", "fixed", "bucket"] as const) {
    test(`${shape}: the charge passes at retryAfterMs and not a millisecond sooner, block or not`, async () => {
      let judged = 0;
      const blocks = fc.constantFrom(0, 1, 700, 9000);
      const offsets = fc.integer({ min: 0, max: 999 });
      await fc.assert(
        fc.asyncProperty(history, blocks, offsets, async (steps, blockMs, offsetUs) => {
          let nowMs = offsetUs / 1000;
          const store = createInProcessBuckets({ now: () => nowMs });
          const charge = chargeOf({ shape, windowMs, points: limitPoints, blockMs });
          for (const { stepMs, cost } of steps) {
            nowMs += stepMs;
            const asked = { ...charge, cost };
            const { outcome, states } = await store.take(takeOf(asked), inTime());
            const thenMs = nowMs;
            const peekAfter = async (ms: number): Promise<string> => {
              nowMs = thenMs + ms;
              const peeked = await store.take(takeOf(asked, { mode: "peek" }), inTime());
              nowMs = thenMs;
              return peeked.outcome;
            };
            const retryAfterMs = states[0]?.retryAfterMs ?? -1;
            expect(retryAfterMs > 0).toBe(outcome !== "admitted");
            if (outcome === "admitted") continue;
            judged++;
            expect(await peekAfter(retryAfterMs)).toBe("admitted");
            expect(await peekAfter(retryAfterMs - 1)).not.toBe("admitted");
          }
        }),
        { numRuns: 100 },
      );
      expect(judged).toBeGreaterThan(500);
    });
  }
});
