import { expect, it } from "vitest";
import type { PointsState } from "../../src/core/decision.ts";
import { rateLimitHeaders, retryAfterHeader } from "../../src/proxy/rate-limit-headers.ts";

const minute: PointsState = {
  limitName: "minute",
  limit: 300,
  cost: 5,
  remaining: 290,
  windowSeconds: 60,
  resetMs: 41_001,
  blockedMs: 0,
};
const day: PointsState = { ...minute, limitName: "day", limit: 9000, remaining: 8000, windowSeconds: 86_400 };
const limits = { limits: [minute, day], tightest: minute };

it("tells all limits in the fields of draft 10", () => {
  expect(rateLimitHeaders(limits, "draft-10")).toEqual([
    ["ratelimit-policy", '"minute";q=300;w=60, "day";q=9000;w=86400'],
    ["ratelimit", '"minute";r=290;t=42, "day";r=8000;t=42'],
  ]);
});

it("tells the tightest limit in the older fields", () => {
  expect(rateLimitHeaders(limits, "legacy")).toEqual([
    ["x-ratelimit-limit", "300"],
    ["x-ratelimit-remaining", "290"],
    ["x-ratelimit-reset", "42"],
  ]);
});

it("tells both, or nothing, where the setting says so, and nothing where no limit was looked at", () => {
  expect(rateLimitHeaders(limits, "both").map(([name]) => name)).toEqual([
    "ratelimit-policy",
    "ratelimit",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
  ]);
  expect(rateLimitHeaders(limits, "off")).toEqual([]);
  expect(rateLimitHeaders({ limits: [], tightest: undefined }, "both")).toEqual([]);
});

it("tells clients nothing of limits in shadow, which refuse nothing", () => {
  const trial: PointsState = {
    ...day,
    limitName: "trial",
    remaining: 0,
    shadow: { reason: "POINTS_EXCEEDED" },
  };
  const told = rateLimitHeaders({ limits: [trial, minute], tightest: minute }, "both");
  expect(told).toContainEqual(["ratelimit-policy", '"minute";q=300;w=60']);
  expect(told).toContainEqual(["ratelimit", '"minute";r=290;t=42']);
  expect(rateLimitHeaders({ limits: [trial], tightest: undefined }, "both")).toEqual([]);
});

it.each([
  [1, "1"],
  [0, "1"],
  [1000, "1"],
  [1001, "2"],
])("Retry-After of %d ms is %s s: whole, rounded up, never 0", (ms, seconds) => {
  expect(retryAfterHeader(ms)).toEqual(["retry-after", seconds]);
});
