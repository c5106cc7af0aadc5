import fc from "fast-check";
import { expect, test } from "vitest";
import { formatDuration, parseDuration } from "../../src/policy/duration.ts";

test.each([
  ["0s", 0],
  ["500ms", 500],
  ["60s", 60_000],
  ["5m", 300_000],
  ["24h", 86_400_000],
  ["30d", 2_592_000_000],
])("%s is %i ms", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each(["", "60", "s", "1.5s", "-1s", "01s", "1 s", "1S", "1w", "1s ", "1h30m", "1000000000s"])(
  "%j is no duration",
  (text) => {
    expect(() => parseDuration(text)).toThrow(RangeError);
  },
);

test("what is written is read back the same, with no longer unit left unused", () => {
  expect([0, 1, 500, 1_000, 60_000, 90_000, 300_000, 3_600_000, 86_400_000].map(formatDuration)).toEqual([
    "0s",
    "1ms",
    "500ms",
    "1s",
    "60s",
    "90s",
    "5m",
    "1h",
    "1d",
  ]);
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999 }), (ms) => {
      expect(parseDuration(formatDuration(ms))).toBe(ms);
    }),
  );
});
