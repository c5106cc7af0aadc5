import { expect, test } from "vitest";
import { StreamIds } from "../../src/http2/stream-ids.ts";

test("ids above the last one, and even ones, are idle", () => {
  const ids = new StreamIds();
  expect([1, 2, 3].map((id) => ids.isIdle(id))).toEqual([true, true, true]);
  ids.open(3);
  expect(ids.last).toBe(3);
  expect([1, 2, 3, 4, 5].map((id) => ids.isIdle(id))).toEqual([false, true, false, true, true]);
});

test("ids between two that are opened are passed over", () => {
  const ids = new StreamIds();
  for (const id of [3, 5, 11]) ids.open(id);
  const passedOver = [1, 3, 5, 7, 9, 11, 13].filter((id) => ids.isPassedOver(id));
  expect(passedOver).toEqual([1, 7, 9]);
});

test("the latest 1000 gaps and resets are known, whatever a client does", () => {
  const ids = new StreamIds();
  for (let id = 3; id <= 4 * 1001; id += 4) {
    ids.open(id);
    ids.noteReset(id);
  }
  expect([1, 5, 4001].map((id) => ids.isPassedOver(id))).toEqual([false, true, true]);
  expect([3, 7, 4003].map((id) => ids.isResetByUs(id))).toEqual([false, true, true]);
});
