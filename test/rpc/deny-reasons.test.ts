import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { denyReasons } from "../../src/core/deny-reason.ts";
import { DenyReasonSchema } from "../../src/gen/tollgate/v1/decision_pb.ts";
import { inRepository } from "../support/repository.ts";

const PREFIX = "DENY_REASON_";

test("the table of reasons and the proto's enum have the same names and numbers", () => {
  const inProto = DenyReasonSchema.values.map(({ name, number }) => [name, number]);
  const inTable = Object.entries(denyReasons).map(([name, { number }]) => [PREFIX + name, number]);
  expect(inProto).toEqual([[`${PREFIX}UNSPECIFIED`, 0], ...inTable]);
});

test("the proto's comment of each reason begins with its HTTP status", async () => {
  const proto = await readFile(inRepository("proto/tollgate/v1/decision.proto"), "utf8");
  const statuses = [...proto.matchAll(/\/\/ (\d{3})\. [^\n]*\n(?: +\/\/[^\n]*\n)* +DENY_REASON_(\w+) =/g)];
  expect(Object.fromEntries(statuses.map(([, status, name]) => [name, Number(status)]))).toEqual(
    Object.fromEntries(Object.entries(denyReasons).map(([name, { httpStatus }]) => [name, httpStatus])),
  );
});

test("docs/reasons.md has the table's rows, in its order", async () => {
  const page = await readFile(inRepository("docs/reasons.md"), "utf8");
  const rows = page.split("\n").filter((line) => line.startsWith("| `"));
  expect(rows).toEqual(
    Object.entries(denyReasons).map(
      ([name, { number, httpStatus, message }]) => `| \`${name}\` | ${number} | ${httpStatus} | ${message} |`,
    ),
  );
});
