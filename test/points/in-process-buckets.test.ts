import { expect, test } from "vitest";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { bucketStoreContract, chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";

bucketStoreContract("the in-process store", async () => {
  let clockMs = 0;
  return {
    store: createInProcessBuckets({ now: () => clockMs }),
    async setClock(ms) {
      clockMs = ms;
    },
    async close() {},
  };
});

test("buckets and request_ids that have ended are dropped, so that memory follows what is in use", async () => {
  let clockMs = 0;
  const store = createInProcessBuckets({ now: () => clockMs });
  for (let subject = 0; subject < 20_000; subject++) {
    clockMs = subject * 100;
    const charge = chargeOf({ bucket: `b${subject}`, windowMs: 1000, blockMs: 1000 });
    await store.take(takeOf(charge, { requestId: `r${subject}` }), inTime());
  }
  // In use at any time: 20 buckets of 2 s, and 6010 request_ids of ten minutes and a second.
  expect(store.size).toBeLessThan(2 * 6030);
});

test("blocks from outside that have ended are dropped, though nothing is taken", () => {
  let clockMs = 0;
  const store = createInProcessBuckets({ now: () => clockMs });
  for (let subject = 0; subject < 20_000; subject++) {
    clockMs = subject;
    store.block(chargeOf({ bucket: `b${subject}`, windowMs: 100 }), 100);
  }
  expect(store.size).toBeLessThan(2 * 210);
});

test("what is still in use is not dropped", async () => {
  let clockMs = 0;
  const store = createInProcessBuckets({ now: () => clockMs });
  const kept = chargeOf({ points: 1, windowMs: 60_000 });
  await store.take(takeOf(kept), inTime());
  for (clockMs = 1; clockMs < 59_999; clockMs += 20) {
    await store.take(takeOf(chargeOf({ windowMs: 10 })), inTime());
  }
  clockMs = 59_999;
  expect((await store.take(takeOf(kept), inTime())).outcome).toBe("exceeded");
});

test("a bucket can be blocked from outside, charged before or not", async () => {
  let clockMs = 5000;
  const store = createInProcessBuckets({ now: () => clockMs });
  const unused = chargeOf({ points: 3 });
  const used = chargeOf({ points: 3 });
  await store.take(takeOf(used), inTime());
  for (const charge of [unused, used]) {
    store.block(charge, 2000);
    expect((await store.take(takeOf(charge), inTime())).states).toMatchObject([{ blockedMs: 2000 }]);
  }
  clockMs = 7000;
  expect((await store.take(takeOf(unused), inTime())).states).toMatchObject([{ remaining: 2 }]);
  expect((await store.take(takeOf(used), inTime())).states).toMatchObject([{ remaining: 1 }]);
});

test("what is spent is told whatever blocks the bucket, at most the points asked about", async () => {
  const clock = { ms: 1000 };
  const buckets = createInProcessBuckets({ now: () => clock.ms });
  const charge = chargeOf({ points: 10, cost: 8, windowMs: 1000, blockMs: 60_000 });
  expect(buckets.spent(charge)).toBe(0);
  for (let call = 0; call < 2; call++) await buckets.take(takeOf(charge, { mode: "record" }), inTime());
  expect([buckets.spent(charge), buckets.spent({ ...charge, points: 100 })]).toEqual([10, 16]);
  clock.ms += 1000;
  expect(buckets.spent(charge)).toBe(0);
});

test("a decision tells which charges it made: none of a repeat, a peek or a refusal", () => {
  const buckets = createInProcessBuckets({ now: () => 1000 });
  const [first, second] = [chargeOf({ points: 10, cost: 6 }), chargeOf({ points: 10, cost: 0 })];
  const charged = (options: Parameters<typeof takeOf>[1]): readonly boolean[] =>
    buckets.decide(takeOf([first, second], options)).charged;
  expect(charged({ mode: "peek" })).toEqual([false, false]);
  expect(charged({ requestId: "r" })).toEqual([true, false]);
  expect(charged({ requestId: "r" })).toEqual([false, false]);
  expect(charged({})).toEqual([false, false]);
});
