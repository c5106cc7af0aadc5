import { connect } from "node:net";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Grant } from "../../src/core/records.ts";
import { newSecret } from "../../src/core/secret.ts";
import { Health } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import {
  bearer,
  exchangeBytes,
  type Failure,
  failureFrom,
  postJson,
  protocols,
  tollgateMethods,
} from "./clients.ts";
import { allowed, NOW_MS, startTestServer, type TestServer } from "./test-server.ts";

const { check } = AuthorizationService.method;
const request = { permission: "items.read" };

let server: TestServer;
let decided = 0;
beforeAll(async () => {
  server = await startTestServer({
    authorizer: {
      check: async () => {
        decided++;
        return allowed();
      },
    },
  });
});
afterAll(() => server.stop());

const byMethod = tollgateMethods.map((method) => [`${method.parent.name}.${method.name}`, method] as const);

/** As the proto's comments say. */
function grantOf(name: string): Grant {
  if (/^AuthorizationService\.(Check|BatchCheck)$/.test(name)) return "check";
  if (name === "AuthorizationService.ConsumePoints" || name === "PointsService.ShowPoints") return "consume";
  if (name.startsWith("AuthorizationService.")) return "keys";
  return name.startsWith("DirectoryService.") ? "directory" : "admin";
}

test("the services have methods to be tested", () => {
  expect(byMethod.length).toBeGreaterThanOrEqual(20);
});

describe.each(Object.entries(protocols))("%s", (_protocol, call) => {
  test.each(byMethod)("%s refuses a call without a caller token", async (_name, method) => {
    expect(await failureFrom(call(server, method, {}))).toMatchObject({
      code: "unauthenticated",
      reason: "CALLER_TOKEN_MISSING",
      domain: "tollgate.v1",
    });
  });

  test.each(byMethod)("%s refuses a caller token that it does not know", async (_name, method) => {
    expect(await failureFrom(call(server, method, {}, bearer(`tgc_${"a".repeat(49)}`)))).toMatchObject({
      code: "unauthenticated",
      reason: "CALLER_TOKEN_INVALID",
    });
  });

  test.each(byMethod)("%s refuses a token with every grant but its own", async (name, method) => {
    const grant = grantOf(name);
    const others = (["check", "consume", "keys", "directory"] as const).filter((each) => each !== grant);
    const token = server.issueToken(others);
    expect(await failureFrom(call(server, method, {}, bearer(token)))).toMatchObject({
      code: "permission_denied",
      reason: "GRANT_REQUIRED",
      metadata: { grant },
    });
  });

  test.each(byMethod)(
    "%s lets the grant, and admin, pass to the rules of its fields",
    async (name, method) => {
      const past = (failure: Failure) => !["unauthenticated", "permission_denied"].includes(failure.code);
      for (const grant of [grantOf(name), "admin"] as const) {
        const outcome = await call(server, method, {}, bearer(server.issueToken([grant])));
        expect("answer" in outcome || past(outcome.failure)).toBe(true);
      }
    },
  );
});

test.each([
  ["another scheme", "Basic dXNlcjpwYXNz"],
  ["no token", "Bearer "],
  ["a token with a space", "Bearer tgc_a b"],
  ["two tokens in one value", "Bearer tgc_a, Bearer tgc_b"],
  ["characters beyond ASCII", "Bearer tgc_\u00e4"],
])("authorization with %s is CALLER_TOKEN_INVALID", async (_name, authorization) => {
  for (const call of [protocols["Connect JSON on HTTP/1.1"], protocols["gRPC by Connect"]]) {
    expect(await failureFrom(call!(server, check, request, { authorization }))).toMatchObject({
      code: "unauthenticated",
      reason: "CALLER_TOKEN_INVALID",
    });
  }
});

test("the scheme's case does not matter", async () => {
  const response = await postJson(server, "tollgate.v1.AuthorizationService/Check", JSON.stringify(request), {
    authorization: `bearer ${server.adminToken}`,
  });
  expect(response.status).toBe(200);
});

test("two authorization headers are refused, also when both are right", async () => {
  const body = JSON.stringify(request);
  const http1 = await exchangeBytes(
    server,
    `POST /tollgate.v1.AuthorizationService/Check HTTP/1.1\r\nHost: x\r\nConnection: close\r\n` +
      `Authorization: Bearer ${server.adminToken}\r\nAuthorization: Bearer ${server.adminToken}\r\n` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  expect(http1).toMatch(/^HTTP\/1\.1 401 /);
  expect(http1).toContain("unauthenticated");
});

test.each(["application/grpc", "Application/gRPC", "application/json"])(
  "two authorization headers are refused on HTTP/2 (%s), and the core is not asked",
  async (contentType) => {
    const value = `Bearer ${server.adminToken}`;
    decided = 0;
    await exchangeHttp2(contentType, [value]);
    expect(decided).toBe(1);
    await exchangeHttp2(contentType, [value, value]);
    expect(decided).toBe(1);
  },
);

/** Frames written by hand, since Node's client refuses to send a name twice. Settles when the call ended. */
async function exchangeHttp2(contentType: string, authorizations: readonly string[]): Promise<void> {
  const literal = (text: string) => Buffer.concat([Buffer.of(text.length), Buffer.from(text, "latin1")]);
  // RFC 7541 6.2.2: literals that are not indexed, with a new name.
  const field = (name: string, text: string) => Buffer.concat([Buffer.of(0), literal(name), literal(text)]);
  const frame = (options: { type: number; flags: number; stream: number }, payload: Uint8Array) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = options.type;
    head[4] = options.flags;
    head.writeUInt32BE(options.stream, 5);
    return Buffer.concat([head, payload]);
  };
  const headers = Buffer.concat([
    field(":method", "POST"),
    field(":scheme", "http"),
    field(":path", "/tollgate.v1.AuthorizationService/Check"),
    field(":authority", "x"),
    field("content-type", contentType),
    ...authorizations.map((text) => field("authorization", text)),
  ]);
  const message =
    contentType === "application/json" ? JSON.stringify(request) : "\0\0\0\0\x0c\x1a\x0aitems.read";
  const address = server.address as { port: number };
  const socket = connect(address.port, "127.0.0.1");
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(frame({ type: 4, flags: 0, stream: 0 }, Buffer.alloc(0)));
  socket.write(frame({ type: 1, flags: 4, stream: 1 }, headers));
  socket.write(frame({ type: 0, flags: 1, stream: 1 }, Buffer.from(message, "latin1")));
  let received: Buffer = Buffer.alloc(0);
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk]);
    for (let at = 0; at + 9 <= received.length; at += 9 + received.readUIntBE(at, 3)) {
      const isEnd = received.readUInt32BE(at + 5) === 1 && ((received[at + 4] as number) & 1) === 1;
      if (isEnd) return;
    }
  }
  throw new Error("the connection ended before the call");
}

test("an expired and a revoked token are refused from then on", async () => {
  const call = protocols["gRPC by grpc-js"]!;
  const live = server.issueToken(["check"], { expireTimeMs: NOW_MS + 1 });
  expect(await call(server, check, request, bearer(live))).toHaveProperty("answer");
  for (const change of [{ expireTimeMs: NOW_MS }, { revokeTimeMs: NOW_MS - 1 }]) {
    const token = server.issueToken(["check"], change);
    expect(await failureFrom(call(server, check, request, bearer(token)))).toMatchObject({
      reason: "CALLER_TOKEN_INVALID",
    });
  }
});

test("each call of a connection is judged by its own token, as it is by then", async () => {
  const client = createClient(AuthorizationService, createGrpcTransport({ baseUrl: server.url }));
  const outcomeFor = (token: string) =>
    client.check({ target: { case: "permission", value: "items.read" } }, { headers: bearer(token) }).then(
      () => "allowed",
      (error: unknown) => ConnectError.from(error).code,
    );
  const [live, doomed] = [server.issueToken(["check"]), server.issueToken(["check"])];
  const other = server.issueToken(["keys"]);
  const unknown = newSecret("tgc_");
  for (let round = 0; round < 2; round++) {
    expect(await outcomeFor(doomed)).toBe("allowed");
    expect(await outcomeFor(other)).toBe(Code.PermissionDenied);
    expect(await outcomeFor(live)).toBe("allowed");
    expect(await outcomeFor(unknown)).toBe(Code.Unauthenticated);
  }
  expect(await outcomeFor(doomed)).toBe("allowed");
  server.revokeToken(doomed);
  expect(await outcomeFor(doomed)).toBe(Code.Unauthenticated);
  expect(await outcomeFor(live)).toBe("allowed");
});

test("a refusal over HTTP says how to authenticate", async () => {
  const response = await postJson(server, "tollgate.v1.AuthorizationService/Check", "{}");
  expect(response.status).toBe(401);
  expect(response.headers.get("www-authenticate")).toBe('Bearer realm="tollgate"');
});

test("health needs no token", async () => {
  const client = createClient(Health, createGrpcTransport({ baseUrl: server.url }));
  expect((await client.check({})).status).toBe(1);
});

test("a token that failed does not stand in the log", () => {
  expect(server.logLines.length).toBeGreaterThan(0);
  expect(server.logLines.join("")).not.toContain("aaaaaaaaaa");
  expect(server.logLines.join("")).not.toContain(server.adminToken);
});
