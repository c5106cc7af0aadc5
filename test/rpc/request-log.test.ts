import { afterEach, expect, test } from "vitest";
import { storeUnavailable } from "../../src/core/errors.ts";
import { bearer, postJson } from "./clients.ts";
import {
  allowed,
  keyRecord,
  startTestServer,
  type TestServer,
  type TestServerOptions,
} from "./test-server.ts";

let server: TestServer;
afterEach(() => server.stop());

const CHECK = "tollgate.v1.AuthorizationService/Check";
const CREATE = "tollgate.v1.AuthorizationService/CreateKey";
const secret = `retrac_${"s".repeat(49)}`;

async function start(options: TestServerOptions = {}): Promise<void> {
  server = await startTestServer({
    authorizer: { check: async () => allowed() },
    keys: { create: async () => ({ key: keyRecord(), secret }) },
    ...options,
  });
}

function post(path: string, body: object, headers: Record<string, string> = {}): Promise<Response> {
  return postJson(server, path, JSON.stringify(body), { ...bearer(server.adminToken), ...headers });
}

const lines = () => server.logLines.map((line) => JSON.parse(line) as Record<string, unknown>);

test("a management call is one info line with ids, code and time, and neither secret nor field", async () => {
  await start({ logLevel: "trace" });
  const body = { workspaceId: "w1", userId: "u1", name: "Private name", metadata: { a: secret } };
  const response = await post(CREATE, body, { "x-request-id": "trace-1" });
  expect(response.headers.get("x-request-id")).toBe("trace-1");
  expect(lines()).toEqual([
    {
      level: "info",
      time: expect.any(String),
      name: "tollgate",
      request_id: "trace-1",
      method: CREATE,
      code: "ok",
      duration_ms: expect.any(Number),
      caller: "admin-token",
      msg: "call",
    },
  ]);
  const text = server.logLines.join("");
  for (const hidden of [secret, server.adminToken, "Private name"]) expect(text).not.toContain(hidden);
});

test("a call without a request id gets one, the same in the answer and the log", async () => {
  await start();
  for (const sent of [
    {},
    { "x-request-id": "with spaces is none of ours" },
    { "x-request-id": "x".repeat(129) },
  ]) {
    server.logLines.length = 0;
    const response = await post(CREATE, { workspaceId: "w1", userId: "u1", name: "n" }, sent);
    const id = response.headers.get("x-request-id");
    expect(id).toMatch(/^[0-9a-f-]{36}$/);
    expect(lines()[0]).toMatchObject({ request_id: id });
  }
});

test("successful Checks are silent at info, and answered without an id of ours", async () => {
  await start({ logLevel: "info" });
  const plain = await post(CHECK, { permission: "x" });
  expect(plain.headers.get("x-request-id")).toBe(null);
  const traced = await post(CHECK, { permission: "x" }, { "x-request-id": "trace-2" });
  expect(traced.headers.get("x-request-id")).toBe("trace-2");
  expect(server.logLines).toEqual([]);
});

test("a failure tells its reason, also over gRPC, and its id comes back", async () => {
  await start();
  const response = await postJson(server, CHECK, "{}");
  const id = response.headers.get("x-request-id");
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  expect(lines()).toEqual([
    expect.objectContaining({
      level: "debug",
      request_id: id,
      code: "unauthenticated",
      reason: "CALLER_TOKEN_MISSING",
      msg: "call failed",
    }),
  ]);
});

test("an outage is one warning a second for Check, not one a request", async () => {
  await start({
    authorizer: { check: () => Promise.reject(storeUnavailable("postgres", new Error("refused"))) },
  });
  for (let round = 0; round < 5; round++) await post(CHECK, { permission: "x" });
  expect(lines().length).toBeLessThan(5);
  expect(lines()[0]).toMatchObject({
    level: "warn",
    code: "unavailable",
    reason: "STORE_UNAVAILABLE",
    err: { message: "refused" },
  });
});

test("calls are measured by method and code", async () => {
  await start();
  await post(CHECK, { permission: "x" });
  await post(CHECK, {});
  const text = await server.metrics.registry.metrics();
  expect(text).toContain(`tollgate_rpc_duration_seconds_count{method="${CHECK}",code="ok"} 1`);
  expect(text).toContain(`tollgate_rpc_duration_seconds_count{method="${CHECK}",code="invalid_argument"} 1`);
  expect(text).toContain(
    'tollgate_decisions_total{api="retrac",reason="ALLOWED",degraded="",shadow_reason=""} 1',
  );
});
