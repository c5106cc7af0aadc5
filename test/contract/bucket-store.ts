import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LimitShape } from "../../src/core/policy.ts";
import type {
  BucketState,
  BucketStore,
  Charge,
  PointsMode,
  TakeAnswer,
  TakeRequest,
} from "../../src/core/ports.ts";

/** A store whose clock the suite sets. */
export interface BucketStoreSubject {
  readonly store: BucketStore;
  /** Sets the store's clock, in whole or fractional milliseconds; back, too. Any time from 0 to 20 years. */
  setClock(ms: number): Promise<void>;
  close(): Promise<void>;
}

export interface ChargeOptions {
  readonly shape?: LimitShape;
  readonly windowMs?: number;
  readonly blockMs?: number;
  readonly points?: number;
  readonly bucket?: string;
  readonly cost?: number;
  readonly shadow?: boolean;
}

const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
/** The most that one charge can cost: it is a uint32 on the wire. */
const LARGEST = 2 ** 32 - 1;
const shapes: readonly LimitShape[] = ["sliding", "fixed", "bucket"];
let bucketCount = 0;

/** A bucket's name that no other test uses. */
export function newBucket(): string {
  return `api/points/bucket-${process.pid}-${bucketCount++}`;
}

export function chargeOf({
  shape = "sliding",
  windowMs = MINUTE,
  blockMs = 0,
  points = 300,
  bucket = newBucket(),
  cost = 1,
  shadow = false,
}: ChargeOptions = {}): Charge {
  return {
    limit: {
      name: "points",
      per: "workspace",
      points,
      descriptor: new Map(),
      planPoints: new Map(),
      environments: [],
      windowMs,
      shape,
      blockMs,
      ...(shadow && { shadow }),
    },
    points,
    bucket,
    shardBy: "one workspace",
    cost,
  };
}

export function takeOf(
  charges: Charge | readonly Charge[],
  { mode = "enforce", requestId = "" }: { mode?: PointsMode; requestId?: string } = {},
): TakeRequest {
  return {
    charges: "bucket" in charges ? [charges] : charges,
    mode,
    requestId,
    onOutage: "deny",
  };
}

/** Far more than any take needs. */
export function inTime(): number {
  return performance.now() + 20_000;
}

/** Proves the rules of `BucketStore` for one implementation. */
export function bucketStoreContract(name: string, createSubject: () => Promise<BucketStoreSubject>): void {
  describe(`${name} keeps the promises of BucketStore`, () => {
    let subject: BucketStoreSubject;
    beforeAll(async () => {
      subject = await createSubject();
    });
    afterAll(() => subject.close());

    async function at(
      ms: number,
      charges: Charge | readonly Charge[],
      options: { mode?: PointsMode; requestId?: string } = {},
    ): Promise<TakeAnswer> {
      await subject.setClock(ms);
      return subject.store.take(takeOf(charges, options), inTime());
    }

    /** The state of the only charge. */
    async function stateAt(
      ms: number,
      charge: Charge,
      options: { mode?: PointsMode; requestId?: string } = {},
    ): Promise<BucketState> {
      const { states } = await at(ms, charge, options);
      expect(states).toHaveLength(1);
      return states[0] as BucketState;
    }

    for (const shape of shapes) {
      describe(`${shape}:`, () => {
        provesShape(shape);
      });
    }

    function provesShape(shape: LimitShape): void {
      const pointsOf = (charge: Charge, cost: number): Charge => ({ ...charge, cost });

      test("all points can be spent, and not one more", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 3 });
        const told: [string, number][] = [];
        for (let call = 0; call < 4; call++) {
          const state = await stateAt(1000, charge);
          told.push([state.outcome, state.remaining]);
        }
        expect(told).toEqual([
          ["admitted", 7],
          ["admitted", 4],
          ["admitted", 1],
          ["exceeded", 1],
        ]);
        expect(await stateAt(1000, pointsOf(charge, 1))).toMatchObject({ outcome: "admitted", remaining: 0 });
      });

      test("the answer's outcome and states are whole", async () => {
        expect(await at(1000, chargeOf({ shape, points: 4, cost: 4 }))).toEqual({
          outcome: "admitted",
          decidedBy: "store",
          states: [{ outcome: "admitted", remaining: 0, resetMs: MINUTE, blockedMs: 0, retryAfterMs: 0 }],
        });
      });

      test("a cost equal to the points fits an unused bucket", async () => {
        const charge = chargeOf({ shape, points: LARGEST, cost: LARGEST });
        expect(await stateAt(1000, charge)).toMatchObject({ outcome: "admitted", remaining: 0 });
        expect(await stateAt(1000, pointsOf(charge, 1))).toMatchObject({ outcome: "exceeded" });
      });

      test("a refused charge passes at retryAfterMs, and no millisecond sooner", async () => {
        const charge = chargeOf({ shape, points: 7, cost: 2 });
        for (const ms of [1000, 2100, 3200.25]) {
          expect((await at(ms, charge)).outcome).toBe("admitted");
        }
        const { outcome, retryAfterMs } = await stateAt(4000, charge);
        expect(outcome).toBe("exceeded");
        expect(retryAfterMs).toBeGreaterThan(0);
        expect((await at(4000 + retryAfterMs - 1, charge, { mode: "peek" })).outcome).toBe("exceeded");
        expect((await at(4000 + retryAfterMs, charge, { mode: "peek" })).outcome).toBe("admitted");
      });

      test("resetMs says when all points are back", async () => {
        const charge = chargeOf({ shape, points: 7, cost: 2 });
        await at(1000, charge);
        const { resetMs } = await stateAt(9000.5, charge);
        const all = pointsOf(charge, 7);
        expect((await at(9000.5 + resetMs - 1, all, { mode: "peek" })).outcome).toBe("exceeded");
        expect(await stateAt(9000.5 + resetMs, all, { mode: "peek" })).toMatchObject({
          outcome: "admitted",
          remaining: 7,
          resetMs: 0,
        });
      });

      test("after a burst in one instant all points are back exactly one window later", async () => {
        const charge = chargeOf({ shape, points: 6, cost: 6 });
        await at(5000, charge);
        expect(await stateAt(5000, charge)).toMatchObject({ outcome: "exceeded", retryAfterMs: MINUTE });
        expect((await at(5000 + MINUTE - 0.001, charge)).outcome).toBe("exceeded");
        expect((await at(5000 + MINUTE, charge)).outcome).toBe("admitted");
      });

      test("a refusal costs nothing", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 8 });
        await at(1000, charge);
        for (let call = 0; call < 5; call++) {
          expect((await at(1000, pointsOf(charge, 3))).outcome).toBe("exceeded");
        }
        expect((await at(1000, pointsOf(charge, 2))).outcome).toBe("admitted");
      });

      test("a cost of 0 passes, and leaves the bucket as it was", async () => {
        const charge = chargeOf({ shape, points: 3, blockMs: 9000, cost: 0 });
        expect(await stateAt(1000, charge)).toMatchObject({ outcome: "admitted", remaining: 3, resetMs: 0 });
        await at(2000, pointsOf(charge, 3));
        expect(await stateAt(2000, charge)).toMatchObject({
          outcome: "admitted",
          remaining: 0,
          blockedMs: 0,
        });
      });

      test("a cost of 0 is refused above the points, and starts no block", async () => {
        const charge = chargeOf({ shape, points: 3, blockMs: 9000 });
        await at(2000, pointsOf({ ...charge, points: 5 }, 5));
        expect(await stateAt(2000, pointsOf(charge, 0))).toMatchObject({ outcome: "exceeded", blockedMs: 0 });
      });

      test("the call that would exceed starts the block, once: refused calls do not extend it", async () => {
        const charge = chargeOf({ shape, points: 300, cost: 2, blockMs: MINUTE });
        for (let call = 0; call < 150; call++) expect((await at(1000, charge)).outcome).toBe("admitted");
        expect(await at(1100, charge)).toMatchObject({
          outcome: "exceeded",
          states: [{ outcome: "exceeded", remaining: 0, blockedMs: MINUTE, retryAfterMs: MINUTE }],
        });
        expect(await at(2100, charge)).toMatchObject({
          outcome: "blocked",
          states: [{ outcome: "blocked", remaining: 0, blockedMs: 59_000, retryAfterMs: 59_000 }],
        });
        expect(await stateAt(60_100, pointsOf(charge, 0))).toMatchObject({
          outcome: "blocked",
          blockedMs: 1000,
        });
        expect((await at(61_099.999, charge)).outcome).toBe("blocked");
        expect(await stateAt(61_100, charge)).toMatchObject({ outcome: "admitted", blockedMs: 0 });
      });

      test("retryAfterMs and resetMs look beyond a block that ends before the points are back", async () => {
        const charge = chargeOf({ shape, points: 4, cost: 4, blockMs: 1000 });
        await at(1000, charge);
        const wait = { blockedMs: 1000, retryAfterMs: MINUTE, resetMs: MINUTE };
        expect(await stateAt(1000, charge)).toMatchObject({ outcome: "exceeded", ...wait });
        expect(await stateAt(1400, charge)).toMatchObject({
          outcome: "blocked",
          blockedMs: 600,
          retryAfterMs: MINUTE - 400,
          resetMs: MINUTE - 400,
        });
      });

      test("resetMs looks beyond the points to the end of the block", async () => {
        const charge = chargeOf({ shape, points: 4, cost: 4, blockMs: 5 * MINUTE });
        await at(1000, charge);
        await at(1000, charge);
        expect(await stateAt(2 * MINUTE, charge)).toMatchObject({
          outcome: "blocked",
          remaining: 0,
          resetMs: 3 * MINUTE + 1000,
        });
      });

      test("peek changes nothing, and starts no block", async () => {
        const charge = chargeOf({ shape, points: 3, cost: 2, blockMs: 9000 });
        for (let call = 0; call < 3; call++) {
          expect(await stateAt(1000, charge, { mode: "peek" })).toMatchObject({
            outcome: "admitted",
            remaining: 3,
          });
        }
        await at(1000, charge);
        expect(await stateAt(1000, charge, { mode: "peek" })).toMatchObject({
          outcome: "exceeded",
          remaining: 1,
          blockedMs: 0,
        });
        expect((await at(1000, pointsOf(charge, 1))).outcome).toBe("admitted");
      });

      test("peek tells of a block", async () => {
        const charge = chargeOf({ shape, points: 1, blockMs: 9000 });
        await at(1000, charge);
        await at(1000, charge);
        expect(await stateAt(2000, charge, { mode: "peek" })).toMatchObject({
          outcome: "blocked",
          blockedMs: 8000,
        });
      });

      test("record charges above the points, is admitted, and then blocks", async () => {
        const charge = chargeOf({ shape, points: 5, cost: 3, blockMs: 2 * MINUTE });
        expect(await stateAt(1000, charge, { mode: "record" })).toMatchObject({
          outcome: "admitted",
          remaining: 2,
          blockedMs: 0,
        });
        expect(await at(1000, charge, { mode: "record" })).toMatchObject({
          outcome: "admitted",
          states: [{ outcome: "admitted", remaining: 0, blockedMs: 2 * MINUTE, retryAfterMs: 0 }],
        });
        expect((await at(2000, pointsOf(charge, 0))).outcome).toBe("blocked");
      });

      test("record up to the points starts no block", async () => {
        const charge = chargeOf({ shape, points: 5, cost: 5, blockMs: 9000 });
        expect(await stateAt(1000, charge, { mode: "record" })).toMatchObject({ remaining: 0, blockedMs: 0 });
      });

      test("record during a block charges, and does not extend it", async () => {
        const charge = chargeOf({ shape, points: 5, cost: 6, blockMs: 2 * MINUTE });
        await at(1000, charge, { mode: "record" });
        expect(await stateAt(61_000, charge, { mode: "record" })).toMatchObject({
          outcome: "admitted",
          blockedMs: MINUTE,
        });
        const after = await stateAt(121_000 - 1000, charge, { mode: "peek" });
        expect(after).toMatchObject({ outcome: "blocked", blockedMs: 1000 });
        expect(after.resetMs).toBeGreaterThanOrEqual(1000);
      });

      test("record of nothing starts no block, above the points either", async () => {
        const charge = chargeOf({ shape, points: 5, cost: 9 });
        await at(1000, charge, { mode: "record" });
        const blocking = { ...charge, limit: { ...charge.limit, blockMs: 9000 }, cost: 0 };
        expect(await stateAt(1000, blocking, { mode: "record" })).toMatchObject({
          outcome: "admitted",
          blockedMs: 0,
        });
      });

      test("record without a block on the limit leaves the points to come back", async () => {
        const charge = chargeOf({ shape, points: 5, cost: 10 });
        await at(1000, charge, { mode: "record" });
        const { retryAfterMs, outcome } = await stateAt(1000, pointsOf(charge, 1));
        expect(outcome).toBe("exceeded");
        expect((await at(1000 + retryAfterMs - 1, pointsOf(charge, 1), { mode: "peek" })).outcome).toBe(
          "exceeded",
        );
        expect((await at(1000 + retryAfterMs, pointsOf(charge, 1), { mode: "peek" })).outcome).toBe(
          "admitted",
        );
      });

      test("the bucket's time never goes backwards", async () => {
        const charge = chargeOf({ shape, points: 4, cost: 4 });
        await at(10_000_000, charge);
        expect(await stateAt(1_000_000, charge)).toMatchObject({ outcome: "exceeded", retryAfterMs: MINUTE });
        expect((await at(10_000_000 + MINUTE - 1, charge)).outcome).toBe("exceeded");
        expect((await at(10_000_000 + MINUTE, charge)).outcome).toBe("admitted");
      });

      test("a block does not last longer or shorter when the clock is set back", async () => {
        const charge = chargeOf({ shape, points: 1, blockMs: 3000 });
        await at(10_000_000, charge);
        await at(10_000_000, charge);
        expect(await stateAt(9_000_000, charge)).toMatchObject({ outcome: "blocked", blockedMs: 3000 });
        expect(await stateAt(10_002_000, charge)).toMatchObject({ outcome: "blocked", blockedMs: 1000 });
      });

      test("what was charged counts when the limit's points change with the plan", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10 });
        await at(1000, charge);
        expect(await stateAt(1000, { ...charge, points: 25 })).toMatchObject({
          outcome: "admitted",
          remaining: 5,
        });
        expect(await stateAt(1000, { ...charge, points: 10, cost: 1 })).toMatchObject({
          outcome: "exceeded",
          remaining: 0,
        });
      });

      test("limits with another shape or window have a state of their own", async () => {
        const charge = chargeOf({ shape, points: 1 });
        await at(1000, charge);
        expect((await at(1000, charge)).outcome).toBe("exceeded");
        const { limit } = charge;
        expect((await at(1000, { ...charge, limit: { ...limit, windowMs: 2 * MINUTE } })).outcome).toBe(
          "admitted",
        );
        for (const other of shapes.filter((each) => each !== shape)) {
          expect((await at(1000, { ...charge, limit: { ...limit, shape: other } })).outcome).toBe("admitted");
        }
      });

      test("a bucket long unused is as new", async () => {
        const charge = chargeOf({ shape, points: 3, cost: 3, blockMs: MINUTE });
        await at(1000, charge);
        await at(1000, charge);
        expect(await stateAt(50_000_000, charge, { mode: "peek" })).toMatchObject({
          outcome: "admitted",
          remaining: 3,
          resetMs: 0,
        });
      });

      test("the shortest window, one millisecond, holds", async () => {
        const charge = chargeOf({ shape, points: 1, windowMs: 1 });
        expect((await at(1000, charge)).outcome).toBe("admitted");
        expect(await stateAt(1000.5, charge)).toMatchObject({ outcome: "exceeded", retryAfterMs: 1 });
        expect((await at(1000.999, charge)).outcome).toBe("exceeded");
        expect((await at(1001, charge)).outcome).toBe("admitted");
      });

      test("takes that come at once are decided one after another", async () => {
        await subject.setClock(1000);
        const charge = chargeOf({ shape, points: 300, cost: 2 });
        const answers = await Promise.all(
          Array.from({ length: 200 }, () => subject.store.take(takeOf(charge), inTime())),
        );
        expect(answers.filter(({ outcome }) => outcome === "admitted")).toHaveLength(150);
        expect(answers.map(({ states }) => states[0]?.remaining).slice(0, 3)).toEqual([298, 296, 294]);
      });

      test("of takes that come at once, those behind the one that exceeds see its block", async () => {
        await subject.setClock(1000);
        const charge = chargeOf({ shape, points: 4, cost: 2, blockMs: 5000 });
        const answers = await Promise.all(
          Array.from({ length: 5 }, () => subject.store.take(takeOf(charge), inTime())),
        );
        expect(answers.map(({ outcome }) => outcome)).toEqual([
          "admitted",
          "admitted",
          "exceeded",
          "blocked",
          "blocked",
        ]);
      });

      test("a request_id that comes twice at once is charged once", async () => {
        await subject.setClock(1000);
        const charge = chargeOf({ shape, points: 10, cost: 2 });
        const answers = await Promise.all(
          Array.from({ length: 4 }, () => subject.store.take(takeOf(charge, { requestId: "r" }), inTime())),
        );
        expect(answers.map(({ states }) => states[0]?.remaining)).toEqual([8, 8, 8, 8]);
      });

      test("record charges a request_id once", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 8 });
        await at(1000, charge, { mode: "record", requestId: "r" });
        expect(await stateAt(1000, charge, { mode: "record", requestId: "r" })).toMatchObject({
          remaining: 2,
        });
      });

      test("records of any size leave the bucket readable, and its points come back within ten years", async () => {
        // The last is what some two million charges of the largest cost come to.
        for (const cost of [LARGEST, 2 ** 53]) {
          const charge = chargeOf({ shape, points: 1, windowMs: 30 * DAY, blockMs: 30 * DAY, cost });
          for (let call = 0; call < 3; call++) {
            expect(await stateAt(1000, charge, { mode: "record", requestId: `r${call}` })).toMatchObject({
              outcome: "admitted",
              remaining: 0,
              blockedMs: 30 * DAY,
            });
          }
          const one = pointsOf(charge, 1);
          const { outcome, retryAfterMs } = await stateAt(1000 + 30 * DAY, one, { mode: "peek" });
          expect(outcome).toBe(shape === "bucket" ? "exceeded" : "admitted");
          expect(retryAfterMs).toBe(shape === "bucket" ? (3650 - 30) * DAY : 0);
          expect(await stateAt(1000 + 30 * DAY + retryAfterMs, one)).toMatchObject({
            outcome: "admitted",
            remaining: 0,
            resetMs: 30 * DAY,
          });
        }
      });

      test("a hundred records of the largest cost charge, and each that is beside them is unharmed", async () => {
        await subject.setClock(1000);
        const stranger = chargeOf({ shape, points: 5 });
        const huge = chargeOf({ shape, points: 100, windowMs: 30 * DAY, cost: LARGEST });
        for (let batch = 0; batch < 4; batch++) {
          const [before, ...answers] = await Promise.all([
            subject.store.take(takeOf(stranger), inTime()),
            ...Array.from({ length: 25 }, () =>
              subject.store.take(takeOf(huge, { mode: "record" }), inTime()),
            ),
          ]);
          expect(before).toMatchObject({ outcome: "admitted", states: [{ remaining: 4 - batch }] });
          for (const answer of answers) {
            expect(answer).toMatchObject({ outcome: "admitted", states: [{ remaining: 0 }] });
          }
        }
        expect(await stateAt(1000, stranger)).toMatchObject({ outcome: "admitted", remaining: 0 });
      });

      test("what was recorded on a plan of many points is bounded when one of few is charged", async () => {
        const charge = chargeOf({ shape, points: 1, windowMs: 30 * DAY, cost: 1 });
        const rich = { ...charge, points: LARGEST, cost: LARGEST };
        for (let call = 0; call < 3; call++) await at(1000, rich, { mode: "record" });
        const { resetMs } = await stateAt(1000, charge, { mode: "record" });
        expect(resetMs).toBe((shape === "bucket" ? 3650 : 30) * DAY);
        expect(await stateAt(1000 + resetMs, charge)).toMatchObject({ outcome: "admitted", remaining: 0 });
      });
    }

    describe("sliding:", () => {
      test("small charges beside ones beyond measure count to the point", async () => {
        const charge = chargeOf({ points: 5 });
        await at(1000, { ...charge, cost: 2 ** 53 }, { mode: "record" });
        for (const ms of [3000, 5000, 7000]) await at(ms, charge, { mode: "record" });
        expect(await stateAt(61_000, charge)).toMatchObject({ outcome: "admitted", remaining: 1 });
        expect(await stateAt(63_000, charge)).toMatchObject({ outcome: "admitted", remaining: 1 });
        expect(await stateAt(67_000, charge)).toMatchObject({ outcome: "admitted", remaining: 2 });
        expect(await stateAt(128_000, charge)).toMatchObject({ outcome: "admitted", remaining: 4 });
      });

      test("charges a window apart do not count together, and closer ones do", async () => {
        const charge = chargeOf({ points: 1 });
        expect((await at(1000, charge)).outcome).toBe("admitted");
        expect((await at(60_999.999, charge)).outcome).toBe("exceeded");
        expect((await at(61_000, charge)).outcome).toBe("admitted");
        expect((await at(120_999.999, charge)).outcome).toBe("exceeded");
        expect((await at(121_000, charge)).outcome).toBe("admitted");
      });

      test("points come back as the charges leave the window, one by one", async () => {
        const charge = chargeOf({ points: 3 });
        for (const ms of [1000, 21_000, 41_000]) expect((await at(ms, charge)).outcome).toBe("admitted");
        expect(await stateAt(42_000, charge)).toMatchObject({ retryAfterMs: 19_000, resetMs: 59_000 });
        expect(await stateAt(42_000, { ...charge, cost: 2 })).toMatchObject({ retryAfterMs: 39_000 });
        expect(await stateAt(61_000, charge)).toMatchObject({ outcome: "admitted", remaining: 0 });
        expect(await stateAt(61_000, charge)).toMatchObject({ outcome: "exceeded", retryAfterMs: 20_000 });
      });

      test("charges within a sixtieth of the window leave it together, with the last of them", async () => {
        const charge = chargeOf({ points: 2, windowMs: MINUTE });
        await at(1000, charge);
        await at(1999.999, charge);
        expect((await at(61_000, charge)).outcome).toBe("exceeded");
        expect((await at(61_999.998, charge)).outcome).toBe("exceeded");
        expect((await at(61_999.999, charge)).outcome).toBe("admitted");
      });

      test("charges a sixtieth of the window apart leave it one by one", async () => {
        const charge = chargeOf({ points: 2, windowMs: MINUTE });
        await at(1000, charge);
        await at(2000, charge);
        expect((await at(61_000, charge)).outcome).toBe("admitted");
      });

      test("a refusal that only the rounding caused starts no block", async () => {
        const charge = chargeOf({ points: 2, windowMs: MINUTE, blockMs: MINUTE });
        await at(1000, charge);
        await at(1500, charge);
        expect(await stateAt(61_000, charge)).toMatchObject({
          outcome: "exceeded",
          blockedMs: 0,
          retryAfterMs: 500,
        });
        expect((await at(61_500, charge)).outcome).toBe("admitted");
      });

      test("what only the rounding counts starts no block beside charges that count for sure either", async () => {
        const charge = chargeOf({ points: 3, windowMs: MINUTE, blockMs: MINUTE });
        for (const ms of [1000, 1500, 31_000]) await at(ms, charge);
        expect(await stateAt(61_200, charge)).toMatchObject({
          outcome: "exceeded",
          blockedMs: 0,
          retryAfterMs: 300,
        });
        expect(await stateAt(61_200, { ...charge, cost: 3 })).toMatchObject({
          outcome: "exceeded",
          blockedMs: MINUTE,
        });
      });

      test("a record that only the rounding puts above the points starts no block", async () => {
        const charge = chargeOf({ points: 2, windowMs: MINUTE, blockMs: MINUTE });
        await at(1000, charge);
        await at(1500, charge);
        expect(await stateAt(61_000, charge, { mode: "record" })).toMatchObject({ blockedMs: 0 });
        expect(await stateAt(61_000, { ...charge, cost: 2 }, { mode: "record" })).toMatchObject({
          blockedMs: MINUTE,
        });
      });

      test("a bucket in steady use for many windows gives all its points, and no more", async () => {
        const charge = chargeOf({ points: 60, windowMs: MINUTE });
        let admitted = 0;
        for (let ms = 1000; ms < 1000 + 5 * MINUTE; ms += 500) {
          if ((await at(ms, charge)).outcome === "admitted") admitted++;
        }
        // 60 in the first 30 s, and again as each second's two come back.
        expect(admitted).toBe(300);
      });
    });

    describe("fixed:", () => {
      test("a window starts with its first charge, and all points come back at its end", async () => {
        const charge = chargeOf({ shape: "fixed", points: 2 });
        await at(7000, charge);
        await at(66_999, charge);
        expect(await stateAt(66_999, charge)).toMatchObject({ outcome: "exceeded", retryAfterMs: 1 });
        expect(await stateAt(67_000, charge)).toMatchObject({
          outcome: "admitted",
          remaining: 1,
          resetMs: MINUTE,
        });
        expect(await stateAt(67_000, charge)).toMatchObject({ outcome: "admitted", remaining: 0 });
      });
    });

    describe("bucket:", () => {
      test("points come back smoothly", async () => {
        const charge = chargeOf({ shape: "bucket", points: 60, cost: 60 });
        await at(1000, charge);
        expect(await stateAt(1000, { ...charge, cost: 1 })).toMatchObject({ retryAfterMs: 1000 });
        expect(await stateAt(31_000, charge, { mode: "peek" })).toMatchObject({
          remaining: 30,
          resetMs: 30_000,
          retryAfterMs: 30_000,
        });
        expect(await stateAt(31_999, charge, { mode: "peek" })).toMatchObject({ remaining: 30 });
        expect(await stateAt(32_000, charge, { mode: "peek" })).toMatchObject({ remaining: 31 });
      });

      test("points that do not divide the window are given whole, and in time", async () => {
        const charge = chargeOf({ shape: "bucket", points: 7 });
        for (let call = 0; call < 7; call++) expect((await at(1000, charge)).outcome).toBe("admitted");
        // A seventh of a minute is 8571.43 ms.
        expect(await stateAt(1000, charge)).toMatchObject({ outcome: "exceeded", retryAfterMs: 8572 });
        expect((await at(1000 + 8571.428, charge)).outcome).toBe("exceeded");
        expect((await at(1000 + 8571.429, charge)).outcome).toBe("admitted");
      });
    });

    describe("several limits:", () => {
      test("all are charged, or none is", async () => {
        const wide = chargeOf({ points: 10, cost: 2 });
        const narrow = chargeOf({ shape: "fixed", points: 3, cost: 2 });
        expect((await at(1000, [wide, narrow])).outcome).toBe("admitted");
        expect(await at(1000, [wide, narrow])).toMatchObject({
          outcome: "exceeded",
          states: [
            { outcome: "admitted", remaining: 8, retryAfterMs: 0 },
            { outcome: "exceeded", remaining: 1, retryAfterMs: MINUTE },
          ],
        });
        expect(await stateAt(1000, wide, { mode: "peek" })).toMatchObject({ remaining: 8 });
      });

      test("only those that would be exceeded start their block", async () => {
        const wide = chargeOf({ points: 10, cost: 2, blockMs: 5000 });
        const narrow = chargeOf({ shape: "bucket", points: 3, cost: 2, blockMs: 7000 });
        await at(1000, [wide, narrow]);
        const { states } = await at(1000, [wide, narrow]);
        expect(states.map(({ blockedMs }) => blockedMs)).toEqual([0, 7000]);
        expect((await at(1000, wide)).outcome).toBe("admitted");
      });

      test("one that is blocked refuses all, and no other starts a block", async () => {
        const blocked = chargeOf({ points: 1, blockMs: 5000 });
        const full = chargeOf({ shape: "fixed", points: 1, blockMs: 5000 });
        await at(1000, full);
        await at(1000, blocked);
        await at(1000, blocked);
        expect(await at(1000, [full, blocked])).toMatchObject({
          outcome: "blocked",
          states: [
            { outcome: "exceeded", blockedMs: 0 },
            { outcome: "blocked", blockedMs: 5000 },
          ],
        });
        expect((await at(1000, full, { mode: "peek" })).outcome).toBe("exceeded");
      });

      test("record charges all, and each that it leaves above its points is blocked", async () => {
        const wide = chargeOf({ points: 10, cost: 4, blockMs: 5000 });
        const narrow = chargeOf({ shape: "bucket", points: 3, cost: 4, blockMs: 7000 });
        expect(await at(1000, [wide, narrow], { mode: "record" })).toMatchObject({
          outcome: "admitted",
          states: [
            { remaining: 6, blockedMs: 0 },
            { remaining: 0, blockedMs: 7000 },
          ],
        });
      });
    });

    describe("limits in shadow:", () => {
      test("one refuses nothing: what fits is charged to it, and what does not is not", async () => {
        const real = chargeOf({ points: 10, cost: 2 });
        const watching = chargeOf({ points: 3, cost: 2, shadow: true });
        await at(1000, [watching, real]);
        expect(await at(1000, [watching, real])).toMatchObject({
          outcome: "admitted",
          states: [
            { outcome: "exceeded", remaining: 1, retryAfterMs: MINUTE },
            { outcome: "admitted", remaining: 6, retryAfterMs: 0 },
          ],
        });
        expect(await at(1000, { ...watching, cost: 1 })).toMatchObject({
          outcome: "admitted",
          states: [{ outcome: "admitted", remaining: 0 }],
        });
      });

      test("each is for itself: what one would refuse, another is charged", async () => {
        const narrow = chargeOf({ points: 1, cost: 2, shadow: true });
        const wide = chargeOf({ shape: "bucket", points: 9, cost: 2, shadow: true });
        expect(await at(1000, [narrow, wide])).toMatchObject({
          outcome: "admitted",
          states: [
            { outcome: "exceeded", remaining: 1 },
            { outcome: "admitted", remaining: 7 },
          ],
        });
      });

      test("what the others refuse is not charged to it, and starts no block of it", async () => {
        const real = chargeOf({ points: 1 });
        const wide = chargeOf({ points: 9, shadow: true });
        const full = chargeOf({ shape: "fixed", points: 1, blockMs: 5000, shadow: true });
        await at(1000, [real, full]);
        expect(await at(1000, [wide, full, real])).toMatchObject({
          outcome: "exceeded",
          states: [
            { outcome: "admitted", remaining: 9 },
            { outcome: "exceeded", blockedMs: 0 },
            { outcome: "exceeded", remaining: 0 },
          ],
        });
        expect(await stateAt(1000, full, { mode: "peek" })).toMatchObject({ blockedMs: 0 });
      });

      test("its block refuses nothing, is charged nothing, and ends", async () => {
        const real = chargeOf({ points: 100 });
        const watching = chargeOf({ shape: "fixed", points: 1, windowMs: 1000, blockMs: 5000, shadow: true });
        await at(1000, [watching, real]);
        expect(await at(1500, [watching, real])).toMatchObject({
          outcome: "admitted",
          states: [{ outcome: "exceeded", blockedMs: 5000 }, { remaining: 98 }],
        });
        expect(await at(4000, [watching, real])).toMatchObject({
          outcome: "admitted",
          states: [{ outcome: "blocked", blockedMs: 2500, retryAfterMs: 2500 }, { remaining: 97 }],
        });
        expect(await at(6500, [watching, real])).toMatchObject({
          outcome: "admitted",
          states: [{ outcome: "admitted", remaining: 0, blockedMs: 0 }, { remaining: 96 }],
        });
      });

      test("its block starts with no peek, no cost of 0, and no cost above it", async () => {
        const watching = chargeOf({ points: 2, cost: 2, blockMs: 5000, shadow: true });
        await at(1000, watching);
        for (const [cost, mode] of [
          [2, "peek"],
          [0, "enforce"],
          [3, "enforce"],
        ] as const) {
          expect(await stateAt(1000, { ...watching, cost }, { mode })).toMatchObject({ blockedMs: 0 });
        }
        expect(await stateAt(1000, watching)).toMatchObject({ outcome: "exceeded", blockedMs: 5000 });
        expect(await stateAt(1000, { ...watching, cost: 0 })).toMatchObject({ outcome: "blocked" });
      });

      test("a record is charged to it whatever its state, and starts its block", async () => {
        const watching = chargeOf({ points: 3, cost: 4, blockMs: 5000, shadow: true });
        expect(await at(1000, watching, { mode: "record" })).toMatchObject({
          outcome: "admitted",
          states: [{ outcome: "admitted", remaining: 0, blockedMs: 5000 }],
        });
        expect(await stateAt(1000, watching, { mode: "record" })).toMatchObject({ outcome: "admitted" });
      });

      test("a request_id charges it once; with another cost, it is no error of its own", async () => {
        const watching = chargeOf({ points: 9, cost: 2, shadow: true });
        await at(1000, watching, { requestId: "r1" });
        expect(await stateAt(1000, watching, { requestId: "r1" })).toMatchObject({ remaining: 7 });
        const other = { ...watching, cost: 3 };
        expect(await stateAt(1000, other, { requestId: "r1" })).toMatchObject({
          outcome: "admitted",
          remaining: 7,
        });
        const real = chargeOf({ points: 9, cost: 2 });
        await at(1000, [real, watching], { requestId: "r2" });
        await expect(at(1000, [{ ...real, cost: 3 }, other], { requestId: "r2" })).rejects.toMatchObject({
          reason: "REQUEST_ID_REUSED",
        });
      });

      test("taken out of shadow it goes on with what was counted, and with the block that runs", async () => {
        const watching = chargeOf({ points: 3, cost: 2, blockMs: 5000, shadow: true });
        const real = { ...watching, limit: { ...watching.limit, shadow: false } };
        await at(1000, watching);
        expect(await stateAt(1000, { ...real, cost: 1 })).toMatchObject({ remaining: 0 });
        await at(2000, watching);
        expect((await at(3000, real)).outcome).toBe("blocked");
      });

      test("of one batch, a limit in shadow and the same out of it are told apart", async () => {
        await subject.setClock(1000);
        const [watching, real] = [true, false].map((shadow) => chargeOf({ points: 1, cost: 2, shadow }));
        const take = (charge: Charge | undefined) => subject.store.take(takeOf(charge as Charge), inTime());
        const answers = await Promise.all([take(watching), take(real), take(watching)]);
        expect(answers.map(({ outcome }) => outcome)).toEqual(["admitted", "exceeded", "admitted"]);
      });
    });

    describe("request_id:", () => {
      test("a repeat is admitted without a charge, for ten minutes", async () => {
        const charge = chargeOf({ points: 3, cost: 2 });
        await at(1000, charge, { requestId: "r1" });
        expect(await stateAt(1000, charge, { requestId: "r1" })).toMatchObject({
          outcome: "admitted",
          remaining: 1,
          retryAfterMs: 0,
        });
        expect(await stateAt(600_999, charge, { requestId: "r1" })).toMatchObject({
          remaining: 3,
          resetMs: 0,
        });
        expect(await stateAt(601_000, charge, { requestId: "r1" })).toMatchObject({ remaining: 1 });
      });

      test("it is remembered for the window, where that is longer", async () => {
        const charge = chargeOf({ points: 3, cost: 2, windowMs: 30 * MINUTE });
        await at(1000, charge, { requestId: "r1" });
        expect((await at(1000 + 30 * MINUTE - 1, charge, { requestId: "r1" })).outcome).toBe("admitted");
        expect(await stateAt(1000 + 30 * MINUTE, charge, { requestId: "r1" })).toMatchObject({
          remaining: 1,
        });
      });

      test("a repeat is admitted during a block, and does not change it", async () => {
        const charge = chargeOf({ points: 2, cost: 2, blockMs: 9000 });
        await at(1000, charge, { requestId: "r1" });
        await at(1000, charge, { requestId: "r2" });
        expect(await at(2000, charge, { requestId: "r1" })).toMatchObject({
          outcome: "admitted",
          states: [{ outcome: "admitted", remaining: 0, blockedMs: 8000, retryAfterMs: 0 }],
        });
        expect((await at(9999, charge)).outcome).toBe("blocked");
      });

      test("a refusal is not remembered", async () => {
        const charge = chargeOf({ shape: "fixed", points: 2, cost: 2 });
        await at(1000, charge);
        expect((await at(2000, charge, { requestId: "r1" })).outcome).toBe("exceeded");
        expect(await stateAt(61_000, charge, { requestId: "r1" })).toMatchObject({
          outcome: "admitted",
          remaining: 0,
        });
      });

      test("a peek neither looks at it nor leaves it", async () => {
        const charge = chargeOf({ points: 2, cost: 2 });
        await at(1000, charge, { mode: "peek", requestId: "r1" });
        expect(await stateAt(1000, charge, { requestId: "r1" })).toMatchObject({ remaining: 0 });
        for (const cost of [1, 2]) {
          const peeked = await at(1000, { ...charge, cost }, { mode: "peek", requestId: "r1" });
          expect(peeked.outcome).toBe("exceeded");
        }
      });

      test("a cost of 0 charges nothing, so it is not remembered", async () => {
        const charge = chargeOf({ points: 2, cost: 2, blockMs: 9000 });
        await at(1000, { ...charge, cost: 0 }, { requestId: "r1" });
        expect(await stateAt(1000, charge, { requestId: "r1" })).toMatchObject({ remaining: 0 });
      });

      test("with another cost it is refused as an error, and changes nothing", async () => {
        const charge = chargeOf({ points: 9, cost: 2 });
        await at(1000, charge, { requestId: "r1" });
        for (const mode of ["enforce", "record"] as const) {
          await expect(at(1000, { ...charge, cost: 3 }, { mode, requestId: "r1" })).rejects.toMatchObject({
            name: "TollgateError",
            code: "failed_precondition",
            reason: "REQUEST_ID_REUSED",
          });
        }
        expect(await stateAt(1000, charge, { mode: "peek" })).toMatchObject({ remaining: 7 });
      });

      test("each bucket remembers for itself", async () => {
        const one = chargeOf({ points: 9, cost: 2 });
        const other = chargeOf({ points: 9, cost: 2 });
        await at(1000, one, { requestId: "r1" });
        expect(await at(1000, [one, other], { requestId: "r1" })).toMatchObject({
          states: [{ remaining: 7 }, { remaining: 7 }],
        });
      });

      test("a bucket that was charged under it lets it pass though another is refused", async () => {
        const one = chargeOf({ points: 2, cost: 2, blockMs: 9000 });
        const other = chargeOf({ points: 2, cost: 2, blockMs: 9000 });
        await at(1000, one, { requestId: "r1" });
        await at(1000, other);
        expect(await at(1000, [one, other], { requestId: "r1" })).toMatchObject({
          outcome: "exceeded",
          states: [
            { outcome: "admitted", blockedMs: 0 },
            { outcome: "exceeded", blockedMs: 9000 },
          ],
        });
      });

      test("ids and buckets that would read the same when joined are told apart", async () => {
        const bucket = newBucket();
        await at(1000, chargeOf({ bucket: `${bucket}a`, points: 2 }), { requestId: "b" });
        expect(await stateAt(1000, chargeOf({ bucket, points: 2 }), { requestId: "ab" })).toMatchObject({
          remaining: 1,
        });
        expect(await stateAt(1000, chargeOf({ bucket, points: 2 }), { requestId: "ab" })).toMatchObject({
          remaining: 1,
        });
        expect(
          await stateAt(1000, chargeOf({ bucket: `${bucket}a`, points: 2 }), { requestId: "" }),
        ).toMatchObject({
          remaining: 0,
        });
      });
    });

    test("a take whose deadline has passed throws STORE_UNAVAILABLE, and charges nothing", async () => {
      await subject.setClock(1000);
      const charge = chargeOf({ points: 5 });
      await expect(subject.store.take(takeOf(charge), performance.now() - 1)).rejects.toMatchObject({
        name: "TollgateError",
        code: "unavailable",
        reason: "STORE_UNAVAILABLE",
      });
      expect(await stateAt(1000, charge, { mode: "peek" })).toMatchObject({ remaining: 5 });
    });
  });
}
