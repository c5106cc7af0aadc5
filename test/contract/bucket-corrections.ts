import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { LimitShape } from "../../src/core/policy.ts";
import type { BucketCorrections, BucketState, Charge, PointsMode } from "../../src/core/ports.ts";
import { type BucketStoreSubject, chargeOf, inTime, takeOf } from "./bucket-store.ts";

/** A store whose clock the suite sets, and what corrects its buckets. */
export interface BucketCorrectionsSubject extends BucketStoreSubject {
  readonly corrections: BucketCorrections;
}

const MINUTE = 60_000;
const SEED = Number(process.env["SEED"] ?? Date.now());

/** Proves the rules of `BucketCorrections` for one implementation. */
export function bucketCorrectionsContract(
  name: string,
  createSubject: () => Promise<BucketCorrectionsSubject>,
): void {
  describe(`${name} keeps the promises of BucketCorrections`, () => {
    let subject: BucketCorrectionsSubject;
    beforeAll(async () => {
      subject = await createSubject();
    });
    afterAll(() => subject.close());

    async function take(
      ms: number,
      charge: Charge,
      options: { mode?: PointsMode; requestId?: string } = {},
    ): Promise<BucketState> {
      await subject.setClock(ms);
      const { states } = await subject.store.take(takeOf(charge, options), inTime());
      return states[0] as BucketState;
    }

    const stateAt = (ms: number, charge: Charge) => take(ms, { ...charge, cost: 0 }, { mode: "peek" });

    async function grant(
      ms: number,
      charges: Charge | readonly Charge[],
      { requestId = "" }: { requestId?: string } = {},
    ): Promise<readonly number[]> {
      await subject.setClock(ms);
      const each = "bucket" in charges ? [charges] : charges;
      return subject.corrections.giveBack({ charges: each, what: "cost", requestId }, inTime());
    }

    async function reset(ms: number, charges: readonly Charge[]): Promise<readonly number[]> {
      await subject.setClock(ms);
      return subject.corrections.giveBack({ charges, what: "all", requestId: "" }, inTime());
    }

    const pointsOf = (charge: Charge, cost: number): Charge => ({ ...charge, cost });

    for (const shape of ["sliding", "fixed", "bucket"] as const) {
      describe(`${shape}:`, () => provesShape(shape));
    }

    function provesShape(shape: LimitShape): void {
      test("after all is given back the bucket is as new, and its block has ended", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10, blockMs: 9 * MINUTE });
        await take(1000, charge);
        expect(await take(2000, charge)).toMatchObject({ outcome: "exceeded", blockedMs: 9 * MINUTE });
        expect(await reset(3000, [charge])).toEqual([]);
        expect(await stateAt(3000, charge)).toEqual({
          outcome: "admitted",
          remaining: 10,
          resetMs: 0,
          blockedMs: 0,
          retryAfterMs: 0,
        });
        expect(await take(3000, charge)).toMatchObject({ outcome: "admitted", remaining: 0 });
        expect(await take(3000, pointsOf(charge, 1))).toMatchObject({ outcome: "exceeded" });
      });

      test("to give back to a bucket that was never charged does nothing", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 3 });
        await reset(1000, [charge]);
        expect(await grant(1000, charge)).toEqual([0]);
        expect(await stateAt(1000, charge)).toMatchObject({ remaining: 10, resetMs: 0 });
      });

      test("points given back can be spent again, and not one more", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10 });
        await take(1000, charge);
        expect(await grant(1000, pointsOf(charge, 4))).toEqual([4]);
        expect(await take(1000, pointsOf(charge, 5))).toMatchObject({ outcome: "exceeded", remaining: 4 });
        expect(await take(1000, pointsOf(charge, 4))).toMatchObject({ outcome: "admitted", remaining: 0 });
      });

      test("no more is given back than is spent", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 3 });
        await take(1000, charge);
        expect(await grant(1000, pointsOf(charge, 7))).toEqual([3]);
        expect(await stateAt(1000, charge)).toMatchObject({ remaining: 10, resetMs: 0 });
        expect(await grant(1000, pointsOf(charge, 7))).toEqual([0]);
        expect(await take(1000, pointsOf(charge, 10))).toMatchObject({ outcome: "admitted", remaining: 0 });
        expect(await take(1000, pointsOf(charge, 1))).toMatchObject({ outcome: "exceeded" });
      });

      test("what a record charged above the points is given back first, and a block goes on", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 25, blockMs: MINUTE });
        await take(1000, charge, { mode: "record" });
        expect(await grant(2000, pointsOf(charge, 20))).toEqual([20]);
        expect(await stateAt(2000, charge)).toMatchObject({
          outcome: "blocked",
          remaining: 0,
          blockedMs: 59_000,
        });
      });

      test("a block goes on with all points given back, and they are there when it ends", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10, blockMs: 2 * MINUTE });
        await take(1000, charge);
        await take(1000, charge);
        expect(await grant(1000, charge)).toEqual([10]);
        expect(await stateAt(1000, charge)).toMatchObject({ blockedMs: 2 * MINUTE, resetMs: 2 * MINUTE });
        expect(await take(1000 + 2 * MINUTE, charge)).toMatchObject({ outcome: "admitted", remaining: 0 });
      });

      test("a repeat of a request_id gives nothing more back, and tells what the first did", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10 });
        await take(1000, charge);
        expect(await grant(1000, pointsOf(charge, 3), { requestId: "g" })).toEqual([3]);
        expect(await grant(1000 + 9 * MINUTE, pointsOf(charge, 3), { requestId: "g" })).toEqual([3]);
        await take(1000 + 9 * MINUTE, charge);
        expect(await grant(1000 + 9 * MINUTE, pointsOf(charge, 3), { requestId: "g" })).toEqual([3]);
        expect(await stateAt(1000 + 9 * MINUTE, charge)).toMatchObject({ remaining: 0 });
        expect(await grant(1000 + 9 * MINUTE, pointsOf(charge, 3), { requestId: "other" })).toEqual([3]);
      });

      test("a request_id is forgotten after ten minutes", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10 });
        await grant(1000, pointsOf(charge, 3), { requestId: "g" });
        await take(1000 + 10 * MINUTE, charge);
        expect(await grant(1000 + 10 * MINUTE, pointsOf(charge, 4), { requestId: "g" })).toEqual([4]);
      });

      test("a request_id with other points is refused, and gives back to no bucket", async () => {
        const [first, second] = [chargeOf({ shape, points: 10 }), chargeOf({ shape, points: 10 })];
        await take(1000, pointsOf(first, 5));
        await grant(1000, pointsOf(second, 2), { requestId: "g" });
        const both = [pointsOf(first, 3), pointsOf(second, 3)];
        await expect(grant(1000, both, { requestId: "g" })).rejects.toMatchObject({
          code: "failed_precondition",
          reason: "REQUEST_ID_REUSED",
        });
        expect(await stateAt(1000, first)).toMatchObject({ remaining: 5 });
      });

      test("a take's request_id stays remembered when all is given back", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 4 });
        await take(1000, charge, { requestId: "r" });
        await reset(1000, [charge]);
        expect(await take(1000, charge, { requestId: "r" })).toMatchObject({
          outcome: "admitted",
          remaining: 10,
        });
      });

      test("several buckets are given back to at once, and others are left alone", async () => {
        const charges = [1, 2, 3].map((cost) => chargeOf({ shape, points: 10, cost }));
        for (const charge of charges) await take(1000, charge);
        expect(
          await grant(
            1000,
            charges.slice(0, 2).map((charge) => pointsOf(charge, 2)),
          ),
        ).toEqual([1, 2]);
        await reset(1000, charges.slice(1, 2));
        const left = await Promise.all(charges.map((charge) => stateAt(1000, charge)));
        expect(left.map(({ remaining }) => remaining)).toEqual([10, 10, 7]);
      });

      test("a clock set back gives no more back than is spent", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10 });
        await take(30 * MINUTE, charge);
        expect(await grant(1000, pointsOf(charge, 6))).toEqual([6]);
        expect(await stateAt(1000, charge)).toMatchObject({ remaining: 6 });
        expect(await stateAt(30 * MINUTE, charge)).toMatchObject({ remaining: 6 });
      });

      test("past the deadline nothing is given back", async () => {
        const charge = chargeOf({ shape, points: 10, cost: 10 });
        await take(1000, charge);
        for (const what of ["all", "cost"] as const) {
          const request = { charges: [charge], what, requestId: "" };
          const late = subject.corrections.giveBack(request, performance.now() - 1);
          await expect(late).rejects.toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
        }
        expect(await stateAt(1000, charge)).toMatchObject({ remaining: 0 });
      });
    }

    test("the oldest is given back first: what was spent last is back a window later", async () => {
      const charge = chargeOf({ shape: "sliding", points: 10, cost: 5 });
      await take(1000, charge);
      await take(31_000, charge);
      expect(await grant(32_000, pointsOf(charge, 6))).toEqual([6]);
      expect(await stateAt(32_000, charge)).toMatchObject({ remaining: 6, resetMs: 59_000 });
      expect(await stateAt(61_000, charge)).toMatchObject({ remaining: 6 });
      expect(await stateAt(91_000, charge)).toMatchObject({ remaining: 10 });
    });

    test("points that have come back already are not given back", async () => {
      const sliding = chargeOf({ shape: "sliding", points: 10, cost: 5 });
      const bucket = chargeOf({ shape: "bucket", points: 10, cost: 5 });
      for (const charge of [sliding, bucket]) await take(1000, charge);
      await take(50_000, pointsOf(sliding, 2));
      expect(await grant(61_500, pointsOf(sliding, 9))).toEqual([2]);
      // A tenth of a minute gives one point back; what is left of a point counts as one.
      expect(await grant(10_000, pointsOf(bucket, 9))).toEqual([4]);
    });

    test(`in no interval is more admitted than the points and what was given back (SEED=${SEED})`, async () => {
      const random = mulberry32(SEED);
      const charge = chargeOf({ shape: "sliding", points: 20 });
      const admitted: { ms: number; cost: number }[] = [];
      const given: { ms: number; points: number }[] = [];
      let ms = 1000;
      for (let step = 0; step < 250; step++) {
        ms += random() < 0.3 ? 0 : Math.floor(random() * 3000);
        const cost = 1 + Math.floor(random() * 6);
        if (random() < 0.2) {
          const [points = 0] = await grant(ms, pointsOf(charge, cost * 3));
          given.push({ ms, points });
        } else if ((await take(ms, pointsOf(charge, cost))).outcome === "admitted") {
          admitted.push({ ms, cost });
        }
      }
      expect(given.reduce((sum, { points }) => sum + points, 0)).toBeGreaterThan(50);
      const within = (at: number, from: number) => at >= from && at < from + MINUTE;
      for (const { ms: from } of admitted) {
        const spent = admitted.reduce((sum, it) => sum + (within(it.ms, from) ? it.cost : 0), 0);
        const back = given.reduce((sum, it) => sum + (within(it.ms, from) ? it.points : 0), 0);
        expect(spent).toBeLessThanOrEqual(20 + back);
      }
    });
  });
}

function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
