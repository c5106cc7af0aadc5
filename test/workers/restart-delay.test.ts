import { expect, test } from "vitest";
import { restartDelayMs } from "../../src/workers/restart-delay.ts";

test.each([
  [0, 100],
  [1, 200],
  [4, 1600],
  [6, 6400],
  [7, 10_000],
  [5000, 10_000],
])("after %i ends in a row a worker is started again within half of %i ms and all of it", (ends, wholeMs) => {
  expect(restartDelayMs(ends, 0)).toBe(wholeMs);
  expect(restartDelayMs(ends, 0.5)).toBe(wholeMs * 0.75);
  expect(restartDelayMs(ends, 1)).toBe(wholeMs / 2);
});
