import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { PointsService } from "../../src/gen/tollgate/v1/points_service_pb.ts";
import { answerOf, bearer, failureFrom, protocols } from "./clients.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

const { showPoints, resetPoints, grantPoints } = PointsService.method;

const state = {
  limitName: "points",
  limit: 10,
  cost: 0,
  remaining: 7,
  windowSeconds: 60,
  resetMs: 9,
  blockedMs: 0,
};
const shown = { api: "retrac", keyId: "key_1", workspaceId: "w1", limits: [state] };

let server: TestServer;
let asked: unknown[] = [];

beforeAll(async () => {
  const tell =
    <T>(answer: T) =>
    async (input: unknown) => {
      asked.push(input);
      return answer;
    };
  server = await startTestServer({
    points: { show: tell(shown), reset: tell(shown), grant: tell({ ...shown, given: [4] }) },
  });
});
beforeEach(() => {
  asked = [];
});
afterAll(() => server.stop());

const whose = { key: { keyId: "key_1" }, workspaceId: "w1", limitName: "points" };
const subject = { keyId: "key_1", workspaceId: "w1" };

for (const [protocol, call] of Object.entries(protocols)) {
  test(`${protocol}: each call hands every field to the core, and its answer back`, async () => {
    const as = bearer(server.adminToken);
    const order = { limitName: "points", reason: "case 1", actorUserId: "sam" };
    const grant = { ...order, points: 4, requestId: "r" };
    expect(await answerOf(call(server, showPoints, { subject, limitName: "points" }, as))).toMatchObject(
      shown,
    );
    expect(await answerOf(call(server, resetPoints, { subject, ...order }, as))).toMatchObject(shown);
    expect(await answerOf(call(server, grantPoints, { subject, ...grant }, as))).toMatchObject({
      ...shown,
      given: [{ limitName: "points", points: 4 }],
    });
    expect(asked).toEqual([whose, { ...whose, ...order }, { ...whose, ...grant }]);
  });
}

const call = protocols["Connect JSON on HTTP/1.1"]!;

test("a secret names the key, and stands in no log line", async () => {
  const secret = `retrac_${"s".repeat(49)}`;
  await answerOf(call(server, showPoints, { subject: { secret } }, bearer(server.adminToken)));
  expect(asked).toEqual([{ key: { secret }, workspaceId: "", limitName: "" }]);
  expect(server.logLines.join("")).not.toContain(secret);
});

test("who may charge points may see them, and only an administrator gives them back", async () => {
  const as = bearer(server.issueToken(["consume", "keys", "check", "directory"]));
  await answerOf(call(server, showPoints, { subject }, as));
  const refused = { code: "permission_denied", reason: "GRANT_REQUIRED", metadata: { grant: "admin" } };
  expect(await failureFrom(call(server, resetPoints, { subject }, as))).toMatchObject(refused);
  expect(await failureFrom(call(server, grantPoints, { subject, points: 1 }, as))).toMatchObject(refused);
  expect(asked).toHaveLength(1);
});

test.each([
  [showPoints, {}, "subject"],
  [showPoints, { subject: {} }, "subject.key"],
  [showPoints, { subject: { keyId: "a b" } }, "subject.key_id"],
  [showPoints, { subject: { keyId: "k", workspaceId: "a b" } }, "subject.workspace_id"],
  [resetPoints, { subject, reason: "x".repeat(501) }, "reason"],
  [resetPoints, { subject, actorUserId: "a,b" }, "actor_user_id"],
  [grantPoints, { subject }, "points"],
  [grantPoints, { subject, points: 1, requestId: "x".repeat(129) }, "request_id"],
] as const)("%#: what is out of bounds is refused, by its field", async (method, request, field) => {
  const failure = await failureFrom(call(server, method, request, bearer(server.adminToken)));
  expect(failure).toMatchObject({ code: "invalid_argument", violations: [{ field }] });
  expect(asked).toEqual([]);
});

test("an error of the core is told as any other", async () => {
  const failing = await startTestServer({
    points: {
      show: async () => {
        throw new TollgateError("not_found", "There is no such key.", { reason: "KEY_UNKNOWN" });
      },
    },
  });
  const failure = await failureFrom(call(failing, showPoints, { subject }, bearer(failing.adminToken)));
  expect(failure).toMatchObject({ code: "not_found", reason: "KEY_UNKNOWN" });
  await failing.stop();
});
