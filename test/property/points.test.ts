import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LimitShape } from "../../src/core/policy.ts";
import type { BucketStore, Charge, PointsMode, TakeAnswer } from "../../src/core/ports.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { connectToTestRedis } from "./connect-to-test-redis.ts";
import { createModelComparison } from "./model-comparison.ts";
import { pointsHistory } from "./points-history.ts";

describe("the Redis script decides as the in-process buckets do", () => {
  let redis: Redis;
  beforeAll(async () => {
    redis = await connectToTestRedis();
  });
  afterAll(() => redis.disconnect());

  test("to the point and the millisecond, for any limits, takes, batches and clock", async () => {
    const comparison = createModelComparison(redis);
    // What fails is printed with its seed and path: given here, they play it again.
    await fc.assert(fc.asyncProperty(pointsHistory, comparison.play), { numRuns: 300 });
    const ends = ["admitted", "exceeded", "blocked", "unreadable", "REQUEST_ID_REUSED", "STORE_UNAVAILABLE"];
    for (const kind of [...ends, "twice at once"]) expect(comparison.met[kind]).toBeGreaterThan(20);
    expect(comparison.failedCalls).toBe(0);
  });
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

describe("limits in shadow", () => {
  const limits = fc.array(
    fc.record({
      shape: fc.constantFrom<LimitShape>("sliding", "fixed", "bucket"),
      points: fc.integer({ min: 1, max: limitPoints }),
      blockMs: fc.constantFrom(0, 300, 9000),
      shadow: fc.boolean(),
    }),
    { minLength: 1, maxLength: 4 },
  );
  const steps = fc.array(
    fc.record({
      stepMs: fc.oneof(fc.integer({ min: 0, max: 400 }), fc.constantFrom(0, 100, 5999, 6000)),
      cost: fc.integer({ min: 0, max: 6 }),
      mode: fc.constantFrom<PointsMode>("enforce", "enforce", "enforce", "peek", "record"),
    }),
    { minLength: 10, maxLength: 60 },
  );

  test("change nothing of what the others say, and count as if each were the only one, of what those admit", async () => {
    const said: Record<string, number> = {};
    await fc.assert(
      fc.asyncProperty(limits, steps, async (plans, history) => {
        let nowMs = 0;
        const newStore = () => createInProcessBuckets({ now: () => nowMs });
        const all = plans.map((plan) => chargeOf({ ...plan, windowMs }));
        const refusing = all.filter(({ limit }) => limit.shadow !== true);
        const watching = all.filter(({ limit }) => limit.shadow === true);
        const [together, without] = [newStore(), newStore()];
        const alone = new Map(watching.map((charge) => [charge, newStore()]));
        for (const { stepMs, cost, mode } of history) {
          nowMs += stepMs;
          const ask = (store: BucketStore, charges: readonly Charge[], as = mode) =>
            store.take(
              takeOf(
                charges.map((charge) => ({ ...charge, cost })),
                { mode: as },
              ),
              inTime(),
            );
          const answer = await ask(together, all);
          const others =
            refusing.length === 0 ? { outcome: "admitted", states: [] } : await ask(without, refusing);
          expect(answer.outcome).toBe(others.outcome);
          const stateOf = (charge: Charge) => answer.states[all.indexOf(charge)];
          expect(refusing.map(stateOf)).toEqual(others.states);
          for (const charge of watching) {
            const { limit } = charge;
            const enforced = { ...charge, limit: { ...limit, shadow: false } };
            const store = alone.get(charge) as BucketStore;
            const own = await ask(store, [enforced], others.outcome === "admitted" ? mode : "peek");
            expect(stateOf(charge)).toEqual(own.states[0]);
            said[own.outcome] = (said[own.outcome] ?? 0) + 1;
          }
        }
      }),
      { numRuns: 200 },
    );
    for (const outcome of ["admitted", "exceeded", "blocked"]) expect(said[outcome]).toBeGreaterThan(50);
  });
});

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
