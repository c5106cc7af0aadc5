import { expect, test } from "vitest";
import { createUntoldUses } from "../../src/points/untold-uses.ts";
import { chargeOf } from "../contract/bucket-store.ts";

const use = (bucket: string, { cost = 1, requestId = "", atMs = 0 } = {}) => ({
  charge: chargeOf({ bucket, cost }),
  requestId,
  atMs,
});

test("uses of one bucket are one, as late as the last of them; those with a request_id stay apart", () => {
  const untold = createUntoldUses();
  untold.add(use("a", { cost: 2, atMs: 1 }));
  untold.add(use("a", { cost: 3, atMs: 5 }));
  untold.add(use("a", { cost: 4, atMs: 6, requestId: "r" }));
  expect(untold.size).toBe(2);
  expect(untold.remove(chargeOf({ bucket: "a" }))).toMatchObject([
    { charge: { cost: 5 }, atMs: 5, requestId: "" },
    { charge: { cost: 4 }, requestId: "r" },
  ]);
  expect([untold.size, untold.first]).toEqual([0, undefined]);
});

test("one request_id is one use, however often it is put back", () => {
  const untold = createUntoldUses();
  for (let time = 0; time < 3; time++) untold.add(use("a", { cost: 4, requestId: "r" }));
  expect(untold.remove(chargeOf({ bucket: "a" }))).toMatchObject([{ charge: { cost: 4 } }]);
});

test("limits of other shapes and windows have buckets of their own", () => {
  const untold = createUntoldUses();
  untold.add(use("a"));
  expect(untold.has(chargeOf({ bucket: "a" }))).toBe(true);
  expect(untold.has(chargeOf({ bucket: "a", windowMs: 1000 }))).toBe(false);
  expect(untold.has(chargeOf({ bucket: "a", shape: "fixed" }))).toBe(false);
});

test("above the bound the oldest bucket goes, and what went is counted", () => {
  const untold = createUntoldUses({ mostBuckets: 2 });
  untold.add(use("a"));
  untold.add(use("a", { requestId: "r" }));
  for (const bucket of ["b", "c", "b"]) untold.add(use(bucket));
  expect([untold.size, untold.dropped]).toEqual([2, 2]);
  expect(untold.removeSome(10).map(({ charge }) => [charge.bucket, charge.cost])).toEqual([
    ["b", 2],
    ["c", 1],
  ]);
});

test("above the bound of request_ids a use counts without its own, until others are told", () => {
  const untold = createUntoldUses({ mostRequestIds: 1 });
  for (const requestId of ["r1", "r2", "r3"]) untold.add(use("a", { requestId }));
  expect(untold.removeSome(1)).toMatchObject([
    { requestId: "r1", charge: { cost: 1 } },
    { requestId: "", charge: { cost: 2 } },
  ]);
  untold.add(use("a", { requestId: "r4" }));
  expect(untold.first).toMatchObject({ requestId: "r4" });
});

test("some are taken out by whole buckets, the oldest first", () => {
  const untold = createUntoldUses();
  for (const bucket of ["a", "b", "c"]) {
    untold.add(use(bucket));
    untold.add(use(bucket, { requestId: "r" }));
  }
  expect(untold.removeSome(3).map(({ charge }) => charge.bucket)).toEqual(["a", "a", "b", "b"]);
  expect(untold.size).toBe(2);
});
