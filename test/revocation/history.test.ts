import { expect, it } from "vitest";
import { type Ban, type CheckSeen, findViolations } from "./history.ts";

const check = (sentMs: number, answeredMs: number, allowed = true): CheckSeen => ({
  sentMs,
  answeredMs,
  process: "1",
  credentials: ["secret", "token"],
  allowed,
  reason: "",
});
const ban = (fromMs: number, untilMs = Number.POSITIVE_INFINITY, credential = "secret"): Ban => ({
  kind: "RevokeKey",
  credential,
  fromMs,
  untilMs,
  tookMs: 1,
  attempts: 1,
});

it("a Check that began after the change had answered is a violation when it is allowed", () => {
  expect(findViolations([check(11, 12)], [ban(10)])).toHaveLength(1);
  expect(findViolations([check(11, 12)], [ban(10, 13, "token")])).toHaveLength(1);
});

it.each<[string, CheckSeen, Ban]>([
  ["that began before", check(9, 12), ban(10)],
  ["that was refused", check(11, 12, false), ban(10)],
  ["that was answered after it was asked to be given back", check(11, 14), ban(10, 13)],
  ["with other credentials", check(11, 12), ban(10, 20, "another")],
])("a Check %s is none", (_, seen, forbidden) => {
  expect(findViolations([seen], [forbidden])).toEqual([]);
});
