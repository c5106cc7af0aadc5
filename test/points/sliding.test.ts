import { describe, expect, test } from "vitest";
import { type SlidingSpent, sliding } from "../../src/points/sliding.ts";

const DAY = 86_400_000_000;
const MINUTE = 60_000_000;

/** Charges of one point at these times. */
function chargedAt(timesUs: readonly number[], windowUs: number): SlidingSpent {
  return timesUs.reduce<SlidingSpent>(
    (spent, nowUs) => sliding.charge(spent, { nowUs, windowUs, points: 1000 }, 1),
    sliding.nothing,
  );
}

/** Times from now until each count of points is back, at `nowUs`. */
function backAt(spent: SlidingSpent, nowUs: number): number[] {
  const at = { nowUs, windowUs: MINUTE, points: 1000 };
  const used = at.points - sliding.remaining(spent, at);
  return Array.from(
    { length: used },
    (_, back) => nowUs + sliding.untilFits(spent, at, at.points - used + back + 1),
  );
}

describe("when a charge of a window of a minute, that began at 7 us, stops to count", () => {
  const start = 7;
  const second = 1_000_000;
  // A sub-window is a second, a tick of it 4 ms.
  const cases: readonly [rule: string, charges: readonly number[], back: readonly number[]][] = [
    ["the newest counts to the microsecond", [start, start + 333_333], [333_333, 333_333]],
    ["one in a sub-window of its own, on a tick, too", [start, start + 2 * second], [0, 2 * second]],
    [
      "between two ticks: up to the later one, once the next sub-window has begun",
      [start, start + 1001, start + second],
      [4000, 4000, second],
    ],
    [
      "in the last tick: not beyond the sub-window's end",
      [start, start + second - 1, start + second],
      [second, second, second],
    ],
    [
      "sub-windows begin whole seconds after the first, used or not",
      [start, start + 5 * second + 999_999, start + 6 * second],
      [0, 6 * second, 6 * second],
    ],
  ];
  test.each(cases)("%s", (_, charges, back) => {
    const spent = chargedAt(charges, MINUTE);
    const last = charges.at(-1) ?? 0;
    expect(backAt(spent, last)).toEqual(back.map((us) => start + us + MINUTE));
  });
});

test("of any window a policy can state, at most 64 sub-windows count, and each lies within a sixtieth", () => {
  for (const windowUs of [1000, 2000, 59_000, 60_000, 61_000, 7_777_000, MINUTE, DAY, 30 * DAY]) {
    const times = Array.from({ length: 2000 }, (_, call) => 13 + Math.round((call * windowUs) / 500));
    let spent = sliding.nothing;
    let most = 0;
    let longestUs = 0;
    for (const nowUs of times) {
      spent = sliding.charge(spent, { nowUs, windowUs, points: 1 }, 1);
      most = Math.max(most, spent.subs.length);
      for (const { firstUs, lastUs } of spent.subs) longestUs = Math.max(longestUs, lastUs - firstUs);
    }
    expect(longestUs).toBeLessThanOrEqual(windowUs / 60);
    expect(most).toBeGreaterThanOrEqual(60);
    expect(most).toBeLessThanOrEqual(64);
  }
});

test("what a sub-window holds is bounded, and above the points of any limit", () => {
  const at = { nowUs: 5, windowUs: MINUTE, points: 2 ** 32 - 1 };
  const once = sliding.charge(sliding.nothing, at, 2 ** 53);
  const twice = sliding.charge(once, at, 2 ** 53);
  expect(twice.subs).toEqual([{ firstUs: 5, lastUs: 5, points: 2 ** 32 }]);
  expect(sliding.fits(twice, at, 0)).toBe(false);
});
