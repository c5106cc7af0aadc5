import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { CheckInput, ConsumeInput, Decision } from "../../src/core/decision.ts";
import { denyReasons } from "../../src/core/deny-reason.ts";
import { invalidField, storeUnavailable, TollgateError } from "../../src/core/errors.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { answerOf, bearer, failureFrom, protocols } from "./clients.ts";
import { allowed, startTestServer, type TestServer } from "./test-server.ts";

const { check, batchCheck, consumePoints } = AuthorizationService.method;
const each = Object.entries(protocols);

let server: TestServer;
let decide: (input: CheckInput | ConsumeInput) => Decision;
let inputs: (CheckInput | ConsumeInput)[] = [];

beforeAll(async () => {
  const core = async (input: CheckInput | ConsumeInput) => {
    inputs.push(input);
    return decide(input);
  };
  server = await startTestServer({ authorizer: { check: core, consume: core } });
});
beforeEach(() => {
  inputs = [];
  decide = () => allowed();
});
afterAll(() => server.stop());

const points = {
  limitName: "points",
  limit: 600,
  cost: 2,
  remaining: 0,
  windowSeconds: 60,
  resetMs: 59_999,
  blockedMs: 0,
};
const enforced = { shadow: false, shadowReason: "DENY_REASON_UNSPECIFIED" };

test.each(each)("%s: every field of a CheckRequest reaches the core", async (_name, call) => {
  await answerOf(
    call(
      server,
      check,
      {
        api: "retrac",
        key: "retrac_secret",
        http: { method: "GET", path: "/items?workspaceId=w1", scheme: "https", host: "api.retrac.co:443" },
        workspaceId: "w1",
        locationIds: ["l1", "l2"],
        points: 0,
        requestId: "r1",
        mode: "MODE_RECORD",
        explain: true,
        clientIp: "10.0.0.1",
      },
      bearer(server.adminToken),
    ),
  );
  expect(inputs).toEqual([
    {
      api: "retrac",
      key: "retrac_secret",
      target: {
        http: expect.objectContaining({
          method: "GET",
          path: "/items?workspaceId=w1",
          scheme: "https",
          host: "api.retrac.co:443",
        }),
      },
      workspaceId: "w1",
      locationIds: ["l1", "l2"],
      points: 0,
      requestId: "r1",
      mode: "record",
      explain: true,
      clientIp: "10.0.0.1",
    },
  ]);
});

test.each(each)("%s: what is left out of a CheckRequest is absent for the core", async (_name, call) => {
  await answerOf(call(server, check, { permission: "items.read" }, bearer(server.adminToken)));
  expect(inputs).toEqual([
    {
      api: "",
      key: "",
      target: { permission: "items.read" },
      workspaceId: "",
      locationIds: [],
      points: undefined,
      requestId: "",
      mode: "enforce",
      explain: false,
      clientIp: "",
    },
  ]);
});

test.each(each)(
  "%s: every field of a decision reaches the caller, zeros and false too",
  async (_name, call) => {
    decide = () =>
      allowed({
        allowed: false,
        reason: "POINTS_EXCEEDED",
        principal: {
          api: "retrac",
          keyId: "key_1",
          keyName: "Warehouse",
          keyType: "restricted",
          environment: "live",
          workspaceId: "w1",
          userId: "u1",
          createdBy: "u2",
          role: "owner",
          plan: "business",
          permissions: ["items.read", "items.write"],
          allLocations: false,
          locationIds: ["l1"],
          metadata: { team: "ops" },
        },
        limits: [
          points,
          { ...points, limitName: "burst", blockedMs: 60_000 },
          { ...points, limitName: "new", shadow: { reason: "COST_ABOVE_LIMIT" } },
        ],
        points,
        retryAfterMs: 1234,
        degraded: ["points_local", "points_skipped", "stale_rights"],
        requiredScopes: ["items.read"],
        shadowReason: "BLOCKED",
        steps: [{ name: "points", passed: false, detail: "600 of 600 are spent." }],
      });
    const answer = await answerOf(
      call(server, check, { permission: "items.read", explain: true }, bearer(server.adminToken)),
    );
    expect(answer).toEqual({
      allowed: false,
      reason: "DENY_REASON_POINTS_EXCEEDED",
      httpStatus: 429,
      message: denyReasons.POINTS_EXCEEDED.message,
      principal: {
        api: "retrac",
        keyId: "key_1",
        keyName: "Warehouse",
        keyType: "restricted",
        environment: "live",
        workspaceId: "w1",
        userId: "u1",
        createdBy: "u2",
        role: "owner",
        plan: "business",
        permissions: ["items.read", "items.write"],
        allLocations: false,
        locationIds: ["l1"],
        metadata: { team: "ops" },
      },
      points: { ...points, ...enforced },
      limits: [
        { ...points, ...enforced },
        { ...points, ...enforced, limitName: "burst", blockedMs: 60_000 },
        { ...points, limitName: "new", shadow: true, shadowReason: "DENY_REASON_COST_ABOVE_LIMIT" },
      ],
      retryAfterMs: 1234,
      degraded: [
        "DEGRADED_CAUSE_POINTS_LOCAL",
        "DEGRADED_CAUSE_POINTS_SKIPPED",
        "DEGRADED_CAUSE_STALE_RIGHTS",
      ],
      requiredScopes: ["items.read"],
      shadowReason: "DENY_REASON_BLOCKED",
      steps: [{ name: "points", passed: false, detail: "600 of 600 are spent." }],
    });
  },
);

test.each(each)("%s: times beyond 32 bits are told as the most there is, rounded up", async (_name, call) => {
  decide = () => allowed({ limits: [{ ...points, resetMs: 2 ** 40, remaining: -1 }], retryAfterMs: 0.2 });
  const answer = await answerOf(call(server, check, { permission: "items.read" }, bearer(server.adminToken)));
  expect(answer).toMatchObject({
    retryAfterMs: 1,
    limits: [{ resetMs: 2 ** 32 - 1, remaining: 0 }],
  });
});

test.each(each)("%s: ConsumePoints maps both subjects", async (_name, call) => {
  await answerOf(
    call(
      server,
      consumePoints,
      { api: "retool", keyId: "key_1", workspaceId: "w1", points: 5, requestId: "r1", mode: "MODE_PEEK" },
      bearer(server.adminToken),
    ),
  );
  await answerOf(call(server, consumePoints, { key: "secret" }, bearer(server.adminToken)));
  expect(inputs).toEqual([
    {
      api: "retool",
      subject: { keyId: "key_1" },
      workspaceId: "w1",
      points: 5,
      requestId: "r1",
      mode: "peek",
    },
    { api: "", subject: { key: "secret" }, workspaceId: "", points: 0, requestId: "", mode: "enforce" },
  ]);
});

test.each(each)("%s: ConsumePoints tells what a limit in shadow would refuse", async (_name, call) => {
  const watching = { ...points, shadow: { reason: "BLOCKED" as const } };
  decide = () => allowed({ limits: [watching], shadowReason: "BLOCKED" });
  const request = { keyId: "key_1", points: 1 };
  expect(await answerOf(call(server, consumePoints, request, bearer(server.adminToken)))).toMatchObject({
    allowed: true,
    reason: "DENY_REASON_UNSPECIFIED",
    limits: [{ limitName: "points", shadow: true, shadowReason: "DENY_REASON_BLOCKED" }],
    shadowReason: "DENY_REASON_BLOCKED",
  });
});

test.each(each)("%s: BatchCheck answers in the order of its checks", async (_name, call) => {
  const names = Array.from({ length: 100 }, (_, index) => `api-${index}`);
  decide = (input) => allowed({ requiredScopes: [input.api] });
  const answer = await answerOf(
    call(
      server,
      batchCheck,
      { checks: names.map((api) => ({ api, permission: "items.read" })) },
      bearer(server.adminToken),
    ),
  );
  expect(
    (answer["results"] as { requiredScopes: string[] }[]).map(({ requiredScopes }) => requiredScopes),
  ).toEqual(names.map((name) => [name]));
});

test.each(each)(
  "%s: a check that cannot be decided fails the batch, and says which it was",
  async (_name, call) => {
    decide = (input) => {
      if (input.api === "bad") throw invalidField("permission", "there is no such permission");
      return allowed();
    };
    const failure = await failureFrom(
      call(
        server,
        batchCheck,
        { checks: ["good", "good", "bad"].map((api) => ({ api, permission: "x" })) },
        bearer(server.adminToken),
      ),
    );
    expect(inputs).toHaveLength(3);
    expect(failure).toEqual({
      code: "invalid_argument",
      message: "checks[2]: permission: there is no such permission",
      reason: "FIELD_INVALID",
      domain: "tollgate.v1",
      metadata: {},
      violations: [{ field: "checks[2].permission", description: "there is no such permission" }],
    });
  },
);

test.each(each)("%s: an error carries its code, message, reason and metadata", async (_name, call) => {
  decide = () => {
    throw new TollgateError("failed_precondition", "The request id was used for 5 points – not 2.", {
      reason: "REQUEST_ID_REUSED",
      metadata: { request_id: "r1" },
      cause: new Error("inner detail"),
    });
  };
  expect(await failureFrom(call(server, check, { permission: "x" }, bearer(server.adminToken)))).toEqual({
    code: "failed_precondition",
    message: "The request id was used for 5 points – not 2.",
    reason: "REQUEST_ID_REUSED",
    domain: "tollgate.v1",
    metadata: { request_id: "r1" },
    violations: [],
  });
});

test.each(each)("%s: a store's outage is UNAVAILABLE and names no host", async (_name, call) => {
  decide = () => {
    throw storeUnavailable("postgres", new Error("connect ECONNREFUSED 10.1.2.3:5432"));
  };
  const failure = await failureFrom(call(server, check, { permission: "x" }, bearer(server.adminToken)));
  expect(failure).toMatchObject({
    code: "unavailable",
    reason: "STORE_UNAVAILABLE",
    metadata: { store: "postgres" },
  });
  expect(JSON.stringify(failure)).not.toContain("10.1.2.3");
});

test.each(each)(
  "%s: what nobody foresaw is INTERNAL, leaks nothing, and is in the log by its id",
  async (_name, call) => {
    server.logLines.length = 0;
    decide = () => {
      throw new TypeError("cannot read properties of tgk at 10.1.2.3");
    };
    const failure = await failureFrom(
      call(server, check, { permission: "x" }, { ...bearer(server.adminToken), "x-request-id": "trace-7" }),
    );
    expect(failure).toEqual({
      code: "internal",
      message: "An internal error; the log has it by the request id.",
      reason: "INTERNAL",
      domain: "tollgate.v1",
      metadata: { request_id: "trace-7" },
      violations: [],
    });
  },
);

test.each(each)("%s: fields out of bounds are named, each with what is wrong", async (_name, call) => {
  const failure = await failureFrom(
    call(server, check, { api: "Not An Api", permission: "x", requestId: "a b" }, bearer(server.adminToken)),
  );
  expect(failure).toMatchObject({ code: "invalid_argument", reason: "FIELD_INVALID" });
  expect(failure.violations.map(({ field }) => field)).toEqual(["api", "request_id"]);
  expect(inputs).toEqual([]);
});

test.each(each)("%s: a request without its required oneof is refused", async (_name, call) => {
  const failure = await failureFrom(call(server, check, {}, bearer(server.adminToken)));
  expect(failure).toMatchObject({ code: "invalid_argument", violations: [{ field: "target" }] });
});
