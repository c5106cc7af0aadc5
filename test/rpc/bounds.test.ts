import { mkdtemp, rm } from "node:fs/promises";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, expect, test } from "vitest";
import type { Deadline } from "../../src/core/ports.ts";
import {
  AuthorizationService,
  CheckRequestSchema,
} from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import {
  answerOf,
  bearer,
  exchangeBytes,
  failureFrom,
  grpcJsClient,
  postJson,
  protocols,
} from "./clients.ts";
import { allowed, startTestServer, type TestServer, type TestServerOptions } from "./test-server.ts";

const { check, batchCheck } = AuthorizationService.method;
const grpc = protocols["gRPC by grpc-js"]!;
const request = { permission: "items.read" };

let server: TestServer;
afterEach(() => server.stop());

async function start(options: TestServerOptions = {}): Promise<void> {
  server = await startTestServer({ authorizer: { check: async () => allowed() }, ...options });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** One gRPC call with a body of our making; the status, and the details' bytes as text. */
async function postGrpc(body: Uint8Array, headers: Record<string, string> = {}): Promise<string> {
  const session = connectHttp2(server.url);
  const stream = session.request({
    ":method": "POST",
    ":path": "/tollgate.v1.AuthorizationService/Check",
    "content-type": "application/grpc",
    te: "trailers",
    ...bearer(server.adminToken),
    ...headers,
  });
  let status = "none";
  stream.on("response", (response) => (status = String(response["grpc-status"] ?? "none")));
  stream.on("trailers", (trailers) => {
    status = `${String(trailers["grpc-status"])} ${String(trailers["grpc-message"] ?? "")}`.trim();
  });
  return new Promise((resolve, reject) => {
    stream.on("error", reject);
    stream.on("close", () => {
      session.close();
      resolve(status);
    });
    stream.resume();
    stream.end(body);
  });
}

function frame(message: Uint8Array, flags = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

const message = toBinary(
  CheckRequestSchema,
  create(CheckRequestSchema, { target: { case: "permission", value: "items.read" } }),
);

/** With the first content type Check is served from bytes to bytes, with the second through Connect. */
const ways = ["application/grpc", "Application/gRPC"];

test.each([
  ["a plain message", frame(message), {}, /^0$/],
  ["a compressed message", frame(gzipSync(message), 1), { "grpc-encoding": "gzip" }, /^0$/],
  ["an empty body", Buffer.alloc(0), {}, /^12 protocol error: missing input message/],
  ["two messages", Buffer.concat([frame(message), frame(message)]), {}, /^12 protocol error: received extra/],
  ["a message cut short", frame(message).subarray(0, -1), {}, /^3 /],
  ["bytes that are no message", frame(Buffer.from([0xff, 0xff])), {}, /^(3|13) /],
  ["a compressed flag without an encoding", frame(message, 1), {}, /^13 /],
  ["an unknown encoding", frame(message, 1), { "grpc-encoding": "zip" }, /^12 /],
  ["an unreadable timeout", frame(message), { "grpc-timeout": "soon" }, /^3 /],
])("%s gets the same answer on both ways to Check", async (_name, body, headers, expected) => {
  await start();
  const statuses: string[] = [];
  for (const contentType of ways) {
    statuses.push(await postGrpc(body, { ...headers, "content-type": contentType }));
  }
  expect(statuses[0]).toMatch(expected);
  expect(statuses[1]).toBe(statuses[0]);
});

test.each(ways)(
  "a gRPC message of 5 MiB (%s) is refused, and the next call is served",
  async (contentType) => {
    await start();
    const big = frame(Buffer.alloc(5 * 1024 * 1024));
    expect(await postGrpc(big, { "content-type": contentType })).toMatch(
      /^8 message .*larger than .*4194304/,
    );
    expect(await postGrpc(frame(message), { "content-type": contentType })).toBe("0");
  },
);

test("a JSON body of 5 MiB is refused, and the next call is served", async () => {
  await start();
  const big = JSON.stringify({ ...request, key: "k".repeat(5 * 1024 * 1024) });
  const headers = bearer(server.adminToken);
  const response = await postJson(server, "tollgate.v1.AuthorizationService/Check", big, headers);
  expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([
    429,
    "resource_exhausted",
  ]);
  expect((await answerOf(grpc(server, check, request, headers)))["allowed"]).toBe(true);
});

test("a key of 1 MiB reaches the core; one byte more is INVALID_ARGUMENT", async () => {
  let length = 0;
  await start({
    authorizer: {
      check: async (input) => {
        length = input.key.length;
        return allowed();
      },
    },
  });
  const headers = bearer(server.adminToken);
  await answerOf(grpc(server, check, { ...request, key: "k".repeat(1_048_576) }, headers));
  expect(length).toBe(1_048_576);
  expect(
    await failureFrom(grpc(server, check, { ...request, key: "k".repeat(1_048_577) }, headers)),
  ).toMatchObject({
    code: "invalid_argument",
    violations: [{ field: "key" }],
  });
});

test.each([
  ["is no JSON", "{"],
  ["has a field of another type", '{"points":"many"}'],
  ["has an unknown enum value", '{"permission":"x","mode":"MODE_PEAK"}'],
  ["has a misspelt field", '{"permission":"x","pionts":0}'],
])("a JSON body that %s is 400", async (_name, body) => {
  await start();
  const headers = bearer(server.adminToken);
  const response = await postJson(server, "tollgate.v1.AuthorizationService/Check", body, headers);
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ code: "invalid_argument" });
});

test.each(["", "Host: [\r\n", "Host: a b\r\n"])(
  "a request with the host line %j is refused, and the server lives",
  async (host) => {
    await start();
    const answer = await exchangeBytes(
      server,
      `POST /tollgate.v1.AuthorizationService/Check HTTP/1.0\r\n${host}Content-Type: application/json\r\n` +
        "Content-Length: 2\r\n\r\n{}",
    );
    expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
  },
);

test("calls above the bound are refused at once; a batch counts as its checks; health still answers", async () => {
  const letGo: (() => void)[] = [];
  await start({
    maxInFlight: 3,
    authorizer: { check: () => new Promise((resolve) => letGo.push(() => resolve(allowed()))) },
  });
  const headers = bearer(server.adminToken);
  const batch = grpc(server, batchCheck, { checks: [request, request] }, headers);
  await until(() => letGo.length === 2);
  const third = grpc(server, check, request, headers);
  await until(() => letGo.length === 3);
  expect(server.inFlight()).toBe(3);
  for (const call of Object.values(protocols)) {
    expect(await failureFrom(call(server, check, request, headers))).toMatchObject({
      code: "resource_exhausted",
      reason: "OVERLOADED",
    });
  }
  expect(letGo).toHaveLength(3);
  const health = await postJson(server, "grpc.health.v1.Health/Check", "{}");
  expect(await health.json()).toEqual({ status: "SERVING" });

  for (const each of letGo.splice(0)) each();
  await batch;
  await third;
  expect(server.inFlight()).toBe(0);
});

test("a batch larger than the bound still has its turn", async () => {
  await start({ maxInFlight: 2 });
  const checks = Array.from({ length: 5 }, () => request);
  const answer = await answerOf(grpc(server, batchCheck, { checks }, bearer(server.adminToken)));
  expect(answer["results"]).toHaveLength(5);
});

test("a failed call leaves its place", async () => {
  await start({ maxInFlight: 1, authorizer: { check: () => Promise.reject(new Error("broken")) } });
  for (let round = 0; round < 3; round++) {
    await failureFrom(grpc(server, check, request, bearer(server.adminToken)));
  }
  expect(server.inFlight()).toBe(0);
});

test("the caller's timeout becomes the core's deadline, within bounds; without one there is a default", async () => {
  const budgets: number[] = [];
  const note = (deadline: Deadline) => void budgets.push(deadline - performance.now());
  await start({
    authorizer: {
      check: async (_input, _caller, deadline) => {
        note(deadline);
        return allowed();
      },
    },
    keys: {
      get: async (_id, _caller, deadline) => {
        note(deadline);
        throw new Error("enough");
      },
    },
  });
  const headers = bearer(server.adminToken);
  for (const contentType of ways) {
    for (const timeout of [{}, { "grpc-timeout": "200m" }, { "grpc-timeout": "1H" }]) {
      expect(await postGrpc(frame(message), { ...timeout, "content-type": contentType })).toBe("0");
    }
  }
  const path = "tollgate.v1.AuthorizationService/";
  await postJson(server, `${path}Check`, JSON.stringify(request), {
    ...headers,
    "connect-timeout-ms": "300",
  });
  await postJson(server, `${path}GetKey`, '{"keyId":"key_1"}', headers);
  await postJson(server, `${path}GetKey`, '{"keyId":"key_1"}', {
    ...headers,
    "connect-timeout-ms": "3600000",
  });
  const bounds = [2000, 200, 10_000, 2000, 200, 10_000, 300, 5000, 60_000];
  expect(budgets).toHaveLength(bounds.length);
  for (const [index, bound] of bounds.entries()) {
    expect(budgets[index]).toBeLessThanOrEqual(bound);
    // No other row of the table fits between a bound and what is left of it.
    expect(budgets[index]).toBeGreaterThan(bound - 1000);
  }
});

test("a request in flight ends well while the server drains", async () => {
  const letGo: (() => void)[] = [];
  await start({
    authorizer: { check: () => new Promise((resolve) => letGo.push(() => resolve(allowed()))) },
  });
  const headers = bearer(server.adminToken);
  const calls = Object.values(protocols).map((call) => answerOf(call(server, check, request, headers)));
  await until(() => letGo.length === calls.length);
  const drained = server.listener.drain(600_000);
  for (const each of letGo) each();
  for (const answer of await Promise.all(calls)) expect(answer["allowed"]).toBe(true);
  await drained;
});

test("a client that leaves before the answer harms nobody", async () => {
  const letGo: (() => void)[] = [];
  await start({
    authorizer: { check: () => new Promise((resolve) => letGo.push(() => resolve(allowed()))) },
  });
  for (const contentType of ways) {
    const session = connectHttp2(server.url);
    session.on("error", () => {});
    const stream = session.request({
      ":method": "POST",
      ":path": "/tollgate.v1.AuthorizationService/Check",
      "content-type": contentType,
      ...bearer(server.adminToken),
    });
    stream.on("error", () => {});
    stream.end(frame(message));
    const asked = letGo.length + 1;
    await until(() => letGo.length === asked);
    session.destroy();
  }
  for (const each of letGo.splice(0)) each();
  await until(() => server.inFlight() === 0);
  const answer = grpc(server, check, request, bearer(server.adminToken));
  await until(() => letGo.length === 1);
  letGo[0]?.();
  expect((await answerOf(answer))["allowed"]).toBe(true);
});

test("gRPC is served on a Unix socket", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tollgate-rpc-"));
  await start({ address: { kind: "unix", path: join(folder, "t.sock") } });
  expect((await answerOf(grpc(server, check, request, bearer(server.adminToken))))["allowed"]).toBe(true);
  const client = grpcJsClient(server, "grpc.health.v1.Health");
  client.close();
  await server.stop();
  await rm(folder, { recursive: true });
});
