import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { decisionLines } from "../../src/cli/decision-lines.ts";
import { pointsLines } from "../../src/cli/points-subject.ts";
import { CheckResponseSchema } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { DenyReason } from "../../src/gen/tollgate/v1/decision_pb.ts";
import { ShowPointsResponseSchema } from "../../src/gen/tollgate/v1/points_service_pb.ts";

const state = { limit: 10, cost: 1, remaining: 3, windowSeconds: 60 };
const limits = [
  { ...state, limitName: "points" },
  { ...state, limitName: "trial", shadow: true },
  { ...state, limitName: "tight", shadow: true, shadowReason: DenyReason.POINTS_EXCEEDED },
];

test("check shows which limits are in shadow, and which of them would deny", () => {
  const answer = create(CheckResponseSchema, {
    allowed: true,
    httpStatus: 200,
    limits,
    shadowReason: DenyReason.POINTS_EXCEEDED,
  });
  const text = decisionLines(answer, { style: (_, shown) => shown }).join("\n");
  expect(text).toMatch(/^limit points +3 of 10 left in 60 s, this costs 1$/m);
  expect(text).toMatch(/^limit trial .*; in shadow$/m);
  expect(text).toMatch(/^limit tight .*; in shadow, would be denied POINTS_EXCEEDED$/m);
  expect(text).toMatch(/^would be denied +POINTS_EXCEEDED$/m);
});

test("points show marks the limits in shadow", () => {
  const text = pointsLines(create(ShowPointsResponseSchema, { api: "shop", limits }));
  expect(text).toMatch(/^points +3 /m);
  expect(text).toMatch(/^trial \(in shadow\) +3 /m);
});
