import { expect, test } from "vitest";
import { Allowance } from "../../src/http2/allowance.ts";

let nowMs = 0;
const now = () => nowMs;

/** How often it may happen now, of 1000 times. */
function taken(allowance: Allowance): number {
  let count = 0;
  while (count < 1000 && allowance.take()) count++;
  return count;
}

test("a burst may happen at once, and no more", () => {
  expect(taken(new Allowance({ burst: 10, perSecond: 5, now }))).toBe(10);
});

test("time gives back so many a second, but never more than the burst", () => {
  nowMs = 0;
  const allowance = new Allowance({ burst: 10, perSecond: 5, now });
  expect(taken(allowance)).toBe(10);
  nowMs = 1000;
  // One of them pays for the take that was refused.
  expect(taken(allowance)).toBe(4);
  nowMs = 1_000_000;
  // And the one that looked at the clock.
  expect(taken(allowance)).toBe(11);
});

test("what is earned counts at once, up to the burst", () => {
  nowMs = 0;
  const allowance = new Allowance({ burst: 3, perSecond: 0, now });
  for (let round = 0; round < 100; round++) {
    expect(allowance.take()).toBe(true);
    allowance.earn(1);
  }
  allowance.earn(1);
  allowance.earn(1);
  expect(taken(allowance)).toBe(3);
});

test("many may be taken together", () => {
  nowMs = 0;
  const allowance = new Allowance({ burst: 10, perSecond: 0, now });
  expect([allowance.take(6), allowance.take(5)]).toEqual([true, false]);
});
