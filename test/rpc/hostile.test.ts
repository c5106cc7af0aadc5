import { once } from "node:events";
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type OutgoingHttpHeaders,
} from "node:http2";
import { connect } from "node:net";
import { Code, type ConnectError } from "@connectrpc/connect";
import { findTrailerError } from "@connectrpc/connect/protocol-grpc";
import { afterEach, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { inSlices } from "../../src/rpc/request-bodies.ts";
import { bearer, failureFrom, postJson, protocols } from "./clients.ts";
import { allowed, startTestServer, type TestServer, type TestServerOptions } from "./test-server.ts";

const { check, batchCheck } = AuthorizationService.method;
const grpc = protocols["gRPC by grpc-js"]!;
const request = { permission: "items.read" };
const CHECK = "tollgate.v1.AuthorizationService/Check";
/** With the first content type Check is served from bytes to bytes, with the second through Connect. */
const ways = ["application/grpc", "Application/gRPC"];
/** A CheckRequest for items.read, as gRPC carries it. */
const plain = Buffer.from("\0\0\0\0\x0c\x1a\x0aitems.read", "latin1");

let server: TestServer;
let sessions: ClientHttp2Session[] = [];
let decided = 0;
afterEach(async () => {
  for (const session of sessions) session.destroy();
  sessions = [];
  await server.stop();
});

async function start(options: TestServerOptions = {}): Promise<void> {
  decided = 0;
  server = await startTestServer({
    authorizer: {
      check: async () => {
        decided++;
        return allowed();
      },
    },
    ...options,
  });
}

function open(): ClientHttp2Session {
  const session = connectHttp2(server.url);
  session.on("error", () => {});
  sessions.push(session);
  return session;
}

function post(
  session: ClientHttp2Session,
  { path = CHECK, ...headers }: OutgoingHttpHeaders & { path?: string },
): ClientHttp2Stream {
  const stream = session.request({ ":method": "POST", ":path": `/${path}`, te: "trailers", ...headers });
  stream.on("error", () => {});
  return stream;
}

/** The error in an answer's trailers; undefined: the call passed. */
async function grpcErrorOf(stream: ClientHttp2Stream): Promise<ConnectError | undefined> {
  stream.resume();
  const trailers = await new Promise<Record<string, unknown>>((resolve) => {
    stream.once("response", (headers) => {
      if (headers["grpc-status"] !== undefined) resolve(headers);
    });
    stream.once("trailers", resolve);
    stream.once("close", () => resolve({ "grpc-status": "2", "grpc-message": "closed without an answer" }));
  });
  const plainTrailers = Object.entries(trailers).map(([name, value]): [string, string] => [
    name,
    String(value),
  ]);
  return findTrailerError(new Headers(plainTrailers.filter(([name]) => !name.startsWith(":"))));
}

function reasonIn(error: ConnectError | undefined): [string | undefined, string | undefined] {
  return [error && Code[error.code], error?.findDetails(ErrorInfoSchema)[0]?.reason];
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

test.each(ways)("a request whose client is gone (%s) is not served, wherever its body stood", async (way) => {
  await start();
  for (const sent of [plain, plain.subarray(0, -1), Buffer.concat([plain, plain])]) {
    const session = open();
    const stream = post(session, { "content-type": way, ...bearer(server.adminToken) });
    stream.write(sent);
    await until(() => server.unfinishedBytes() === sent.length);
    session.destroy();
    await until(() => server.unfinishedBytes() === 0);
  }
  const last = post(open(), { "content-type": way, ...bearer(server.adminToken) });
  last.end(plain);
  expect(await grpcErrorOf(last)).toBe(undefined);
  expect(decided).toBe(1);
});

test.each(ways)("a body of 400,000 empty messages (%s) is refused at its second", async (way) => {
  await start();
  const stream = post(open(), { "content-type": way, ...bearer(server.adminToken) });
  stream.end(Buffer.alloc(2_000_000));
  const error = await grpcErrorOf(stream);
  expect(error?.rawMessage).toContain("extra input message");
  expect(decided).toBe(0);
});

test("a body reaches Connect in slices that hold a bounded number of messages, whole and in order", () => {
  const body = Buffer.from(Array.from({ length: 100_000 }, (_, index) => index % 251));
  const slices = [...inSlices(body)];
  expect(Math.max(...slices.map((slice) => slice.length))).toBe(16_384);
  expect(Buffer.concat(slices).equals(body)).toBe(true);
});

test.each([
  ["no token", {}, "CALLER_TOKEN_MISSING"],
  ["another scheme", { authorization: "Basic dXNlcjpwYXNz" }, "CALLER_TOKEN_INVALID"],
  ["a token without the right checksum", bearer(`tgc_${"a".repeat(49)}`), "CALLER_TOKEN_INVALID"],
])(
  "a call with %s is refused while its body is still to come",
  { timeout: 3000 },
  async (_name, headers, reason) => {
    await start();
    for (const way of ways) {
      const stream = post(open(), { "content-type": way, ...headers });
      stream.write(plain.subarray(0, 3));
      expect(reasonIn(await grpcErrorOf(stream))).toEqual(["Unauthenticated", reason]);
    }
    const address = server.address as { port: number };
    const socket = connect(address.port, "127.0.0.1");
    const authorization = Object.values(headers).map((value) => `Authorization: ${value}\r\n`);
    socket.write(
      `POST /${CHECK} HTTP/1.1\r\nHost: x\r\n${authorization.join("")}Content-Type: application/json\r\n` +
        "Content-Length: 1000\r\n\r\n{",
    );
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString("latin1")).toMatch(/^HTTP\/1\.1 401 [^]*www-authenticate: Bearer/i);
    socket.destroy();
    const measured = await server.metrics.registry.metrics();
    expect(measured).toContain(
      `tollgate_rpc_duration_seconds_count{method="${CHECK}",code="unauthenticated"} 3`,
    );
  },
);

test("a client without a token that sends 1 MiB first is told so, and its connection lives", async () => {
  await start();
  const session = open();
  for (const way of ways) {
    const stream = post(session, { "content-type": way });
    stream.end(Buffer.alloc(1_048_576));
    expect(reasonIn(await grpcErrorOf(stream))).toEqual(["Unauthenticated", "CALLER_TOKEN_MISSING"]);
  }
  const last = post(session, { "content-type": "application/grpc", ...bearer(server.adminToken) });
  last.end(plain);
  expect(await grpcErrorOf(last)).toBe(undefined);
});

test.each(ways)(
  "a body that never ends (%s) is refused in time, and its stream let go",
  {
    timeout: 3000,
  },
  async (way) => {
    await start({ bodies: { timeoutMs: 50 } });
    const stream = post(open(), { "content-type": way, ...bearer(server.adminToken) });
    stream.write(plain.subarray(0, 3));
    const closed = once(stream, "close");
    expect(reasonIn(await grpcErrorOf(stream))).toEqual(["DeadlineExceeded", "BODY_LATE"]);
    await closed;
  },
);

test("gRPC-Web tells in its own form that a body came late", { timeout: 3000 }, async () => {
  await start({ bodies: { timeoutMs: 50 } });
  const stream = post(open(), { "content-type": "application/grpc-web", ...bearer(server.adminToken) });
  stream.write(plain.subarray(0, 3));
  const [body] = (await once(stream, "data")) as [Buffer];
  expect(body.toString("latin1")).toMatch(/grpc-status: 4\r\n/);
});

test("a refused call whose body never ends is let go in time", { timeout: 3000 }, async () => {
  await start({ bodies: { timeoutMs: 50 } });
  for (const way of ways) {
    const stream = post(open(), { "content-type": way });
    stream.resume();
    await once(stream, "close");
    expect(stream.rstCode).toBe(0);
  }
});

test.each(ways)(
  "unfinished bodies (%s) have a bound in all, and leave their place when they end",
  async (way) => {
    await start({ bodies: { maxUnfinishedBytes: 20_000 } });
    const headers = { "content-type": way, ...bearer(server.adminToken) };
    const begun = Buffer.concat([Buffer.from([0, 0, 0, 0xff, 0xff]), Buffer.alloc(15_000)]);
    const first = post(open(), headers);
    first.write(begun);
    await until(() => server.unfinishedBytes() === begun.length);
    const second = post(open(), headers);
    second.write(begun);
    expect(reasonIn(await grpcErrorOf(second))).toEqual(["ResourceExhausted", "OVERLOADED"]);
    first.close(8);
    await until(() => server.unfinishedBytes() === 0);
    const third = post(open(), headers);
    third.end(plain);
    expect(await grpcErrorOf(third)).toBe(undefined);
    expect(server.unfinishedBytes()).toBe(0);
  },
);

test("a batch counts as one call until its caller is known and its fields are right", async () => {
  const letGo: (() => void)[] = [];
  await start({
    maxInFlight: 3,
    callerTokens: { authenticate: () => new Promise((resolve) => letGo.push(() => resolve(undefined))) },
  });
  const checks = Array.from({ length: 50 }, () => request);
  const pending = grpc(server, batchCheck, { checks }, bearer(server.adminToken));
  await until(() => letGo.length === 1);
  expect(server.inFlight()).toBe(1);
  letGo[0]?.();
  await pending;
  expect(server.inFlight()).toBe(0);
});

test("a batch that does not fit beside others is refused at once, and leaves no trace", async () => {
  const letGo: (() => void)[] = [];
  await start({
    maxInFlight: 3,
    authorizer: { check: () => new Promise((resolve) => letGo.push(() => resolve(allowed()))) },
  });
  const headers = bearer(server.adminToken);
  const one = grpc(server, check, request, headers);
  await until(() => letGo.length === 1);
  const checks = [request, request, request];
  expect(await failureFrom(grpc(server, batchCheck, { checks }, headers))).toMatchObject({
    reason: "OVERLOADED",
  });
  expect([server.inFlight(), letGo.length]).toEqual([1, 1]);
  letGo[0]?.();
  await one;
});

test("one connection has its share of the streams, is told so beyond, and the others have theirs", async () => {
  await start({ reflection: true });
  const watch = (session: ClientHttp2Session) => {
    const stream = post(session, { path: "grpc.health.v1.Health/Watch", "content-type": "application/grpc" });
    stream.end(Buffer.alloc(5));
    return stream;
  };
  const greedy = open();
  const first = Array.from({ length: 20 }, () => watch(greedy));
  await Promise.all(first.map((stream) => once(stream, "data")));
  expect(reasonIn(await grpcErrorOf(watch(greedy)))).toEqual(["ResourceExhausted", "OVERLOADED"]);
  await once(watch(open()), "data");
  first[0]?.close(8);
  let again: ClientHttp2Stream;
  let seen: unknown;
  do {
    again = watch(greedy);
    seen = await Promise.race([once(again, "data"), grpcErrorOf(again).then(() => undefined)]);
  } while (seen === undefined);
});

const invalidUtf8 = Buffer.from([0x0a, 0x02, 0xc3, 0x28]);
const framedInvalidUtf8 = Buffer.concat([Buffer.from([0, 0, 0, 0, 4]), invalidUtf8]);

test.each(ways)("a text that is no UTF-8 is INVALID_ARGUMENT with an ErrorInfo (%s)", async (way) => {
  await start();
  const stream = post(open(), { "content-type": way, ...bearer(server.adminToken) });
  stream.end(framedInvalidUtf8);
  expect(reasonIn(await grpcErrorOf(stream))).toEqual(["InvalidArgument", "REQUEST_UNREADABLE"]);
});

test.each([
  ["application/proto", invalidUtf8, /"code":"invalid_argument".*google\.rpc\.ErrorInfo/],
  ["application/grpc-web", framedInvalidUtf8, /grpc-status: 3\r\n/],
])("a text that is no UTF-8 is INVALID_ARGUMENT (%s)", async (type, body, expected) => {
  await start();
  const headers = { ...bearer(server.adminToken), "content-type": type };
  const response = await postJson(server, CHECK, body, headers);
  expect(Buffer.from(await response.arrayBuffer()).toString("latin1")).toMatch(expected);
});

const secret = `retrac_${"S".repeat(49)}`;
test.each([
  ["a secret for a number", JSON.stringify({ points: secret }), "points: expected uint32"],
  [
    "a secret in a list of checks",
    JSON.stringify({ http: [secret] }),
    "A value in the body is not a tollgate.v1.HttpRequest in JSON.",
  ],
  ["a secret for a list", JSON.stringify({ locationIds: secret }), "location_ids: expected list of string"],
  [
    "a secret for an enum",
    JSON.stringify({ mode: secret }),
    "A value in the body is not a tollgate.v1.Mode in JSON.",
  ],
  ["a secret as the message", JSON.stringify(secret), "The body is not a tollgate.v1.CheckRequest in JSON."],
  [
    "a secret as a name",
    `{"${secret}":1}`,
    "The body has a field that tollgate.v1.CheckRequest does not have.",
  ],
  ["a secret twice", `{"${secret}":1,"${secret}":1}`, "The body is not a tollgate.v1.CheckRequest in JSON."],
  ["broken JSON after a secret", `{"key":"${secret}"`, "The body is not a tollgate.v1.CheckRequest in JSON."],
  ["broken JSON in a secret", `{"key":${secret}`, "The body is not a tollgate.v1.CheckRequest in JSON."],
])("an error about %s tells the field and its type, never the value", async (_name, body, expected) => {
  await start({ logLevel: "trace" });
  const response = await postJson(server, CHECK, body, bearer(server.adminToken));
  const text = await response.text();
  expect([response.status, (JSON.parse(text) as { message: string }).message]).toEqual([400, expected]);
  for (const told of [text, server.logLines.join("")]) expect(told).not.toMatch(/SSS|retrac/);
});

test("a misspelt field is named", async () => {
  await start();
  const body = '{"permission":"x","pionts":0}';
  const response = await postJson(server, CHECK, body, bearer(server.adminToken));
  expect(await response.json()).toMatchObject({
    message: 'The body has a field "pionts" that tollgate.v1.CheckRequest does not have.',
  });
});

test("what cannot be read carries an ErrorInfo and a request id, is logged and measured", async () => {
  await start();
  const response = await postJson(server, CHECK, "{", {
    ...bearer(server.adminToken),
    "x-request-id": "trace-9",
  });
  expect(response.headers.get("x-request-id")).toBe("trace-9");
  expect(await response.json()).toMatchObject({
    code: "invalid_argument",
    details: [{ type: "google.rpc.ErrorInfo" }],
  });
  expect(server.logLines.map((line) => JSON.parse(line) as object)).toEqual([
    expect.objectContaining({
      level: "debug",
      request_id: "trace-9",
      code: "invalid_argument",
      reason: "REQUEST_UNREADABLE",
    }),
  ]);
  expect(await server.metrics.registry.metrics()).toContain(
    `tollgate_rpc_duration_seconds_count{method="${CHECK}",code="invalid_argument"} 1`,
  );
});

test("who needs no token can send little only", async () => {
  await start();
  const big = `{"service":"${"x".repeat(20_000)}"}`;
  const response = await postJson(server, "grpc.health.v1.Health/Check", big);
  expect(response.status).toBe(429);
  expect(await response.json()).toMatchObject({
    code: "resource_exhausted",
    details: [{ type: "google.rpc.ErrorInfo" }],
  });
});
