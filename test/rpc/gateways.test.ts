import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Caller } from "../../src/core/callers.ts";
import type { CheckInput } from "../../src/core/decision.ts";
import { deadlineExceeded, storeUnavailable } from "../../src/core/errors.ts";
import { createPolicySet } from "../../src/core/policy-set.ts";
import { Authorization } from "../../src/gen/envoy/service/auth/v3/external_auth_pb.ts";
import {
  RateLimitRequestSchema,
  RateLimitResponseSchema,
  RateLimitService,
} from "../../src/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { SHOP } from "../proxy/gateway-world.ts";
import { allowed, startTestServer, type TestServer } from "./test-server.ts";

const policies = () => {
  const parsed = parsePolicy(SHOP, "shop.yaml");
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  return createPolicySet([parsed.policy]);
};

let server: TestServer;
let asked: CheckInput[];

beforeEach(async () => {
  asked = [];
  server = await startTestServer({
    policies,
    authorizer: {
      async check(input) {
        asked.push(input);
        return allowed({ api: "shop" });
      },
    },
  });
});

afterEach(() => server.stop());

describe("Envoy's authorization", () => {
  const attributes = {
    request: { http: { method: "GET", path: "/items?a=%2F", host: "api.shop.test", scheme: "https" } },
  };

  it.each([
    ["gRPC, from bytes to bytes", createGrpcTransport],
    [
      "gRPC-compatible handlers",
      (options: { baseUrl: string }) => createConnectTransport({ ...options, httpVersion: "2" }),
    ],
  ])("is the same by %s", async (_, transportTo) => {
    const client = createClient(Authorization, transportTo({ baseUrl: server.url }));
    const headers = { authorization: `Bearer ${server.issueToken(["check"])}` };
    const answer = await client.check({ attributes }, { headers });
    expect(answer.status?.code).toBe(0);
    expect(asked).toMatchObject([
      { target: { http: { path: "/items?a=%2F", host: "api.shop.test" } }, requestId: "" },
    ]);
  });

  it("needs a caller token with the grant check", async () => {
    const client = createClient(Authorization, createGrpcTransport({ baseUrl: server.url }));
    const withGrant = (grant: "keys" | "consume") => ({
      headers: { authorization: `Bearer ${server.issueToken([grant])}` },
    });
    await expect(client.check({ attributes })).rejects.toThrow("unauthenticated");
    await expect(client.check({ attributes }, withGrant("keys"))).rejects.toThrow('needs the grant "check"');
    expect(asked).toEqual([]);
    const warnings = server.logLines.filter((line) => line.includes('"level":"warn"'));
    expect(warnings.join()).toContain("CALLER_TOKEN_MISSING");
  });
});

describe("an error would be passed over, so the gateway is told to refuse", () => {
  const envoy = () => createClient(Authorization, createGrpcTransport({ baseUrl: server.url }));
  const limiter = () => createClient(RateLimitService, createGrpcTransport({ baseUrl: server.url }));
  const token = () => ({ headers: { authorization: `Bearer ${server.issueToken(["check", "consume"])}` } });
  const attributes = { request: { http: { method: "GET", path: "/items", host: "api.shop.test" } } };
  const limited = { domain: "shop", descriptors: [{ entries: [{ key: "user", value: "bob" }] }] };

  async function restart(options: Parameters<typeof startTestServer>[0]): Promise<void> {
    await server.stop();
    server = await startTestServer({ policies, ...options });
  }

  it("when nobody can be known because the tokens' store is gone", async () => {
    const unavailable = storeUnavailable("postgres", new Error("gone"));
    await restart({ callerTokens: { authenticate: () => Promise.reject(unavailable) } });
    expect((await envoy().check({ attributes }, token())).httpResponse).toMatchObject({
      case: "deniedResponse",
      value: { status: { code: 503 } },
    });
    const answer = await limiter().shouldRateLimit(limited, token());
    expect(answer).toMatchObject({ overallCode: 2, statuses: [{ code: 2 }] });
  });

  it("when there is too much work", async () => {
    let admit = () => {};
    const held = new Promise<void>((resolve) => {
      admit = resolve;
    });
    await restart({
      maxInFlight: 1,
      authorizer: { check: () => held.then(() => allowed({ api: "shop" })) },
    });
    const answers = Promise.all([
      envoy().check({ attributes }, token()),
      envoy().check({ attributes }, token()),
    ]);
    await vi.waitFor(() => expect(server.logLines.join()).toContain("OVERLOADED"));
    admit();
    const cases = (await answers).map(({ httpResponse }) => httpResponse.case);
    expect(new Set(cases)).toEqual(new Set(["deniedResponse", "okResponse"]));
  });

  it("when a client's bytes are no text", async () => {
    const bytes = toBinary(RateLimitRequestSchema, create(RateLimitRequestSchema, limited));
    bytes[Buffer.from(bytes).indexOf("bob")] = 0xff;
    const answer = await callRaw("envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit", bytes);
    expect(fromBinary(RateLimitResponseSchema, answer).overallCode).toBe(2);
  });

  it("before it gives up by itself", async () => {
    const hangs = (_input: CheckInput, _caller: Caller, deadline: number) =>
      new Promise<never>((_, reject) => {
        setTimeout(() => reject(deadlineExceeded()), deadline - performance.now());
      });
    await restart({ authorizer: { check: hangs } });
    const answer = await envoy().check({ attributes }, { ...token(), timeoutMs: 3000 });
    expect(answer.httpResponse.case).toBe("deniedResponse");
  });

  it("but one who may not ask is told so", async () => {
    await expect(limiter().shouldRateLimit(limited)).rejects.toThrow("unauthenticated");
  });

  function callRaw(path: string, message: Uint8Array): Promise<Buffer> {
    const session = connectHttp2(server.url);
    const stream = session.request({
      ":method": "POST",
      ":path": `/${path}`,
      "content-type": "application/grpc",
      te: "trailers",
      ...token().headers,
    });
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([prefix, message]));
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.once("error", reject);
      stream.once("end", () => {
        session.close();
        resolve(Buffer.concat(chunks).subarray(5));
      });
    });
  }
});

describe("forward auth", () => {
  function ask(headers: Record<string, string> = {}, query = "") {
    return fetch(`${server.url}/forward-auth${query}`, {
      headers: {
        "X-Tollgate-Token": server.issueToken(["check"]),
        "X-Forwarded-Method": "POST",
        "X-Forwarded-Uri": "/items",
        "X-Forwarded-Host": "api.shop.test",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "192.0.2.1",
        ...headers,
      },
    });
  }

  it("takes the caller token from its own header, and the client's key from Authorization", async () => {
    const response = await ask({ Authorization: "Bearer the-key" });
    expect(response.status).toBe(200);
    expect(asked).toMatchObject([{ key: "the-key", clientIp: "192.0.2.1" }]);
  });

  it.each([
    ["no token", { "X-Tollgate-Token": "" }],
    ["a token that is none", { "X-Tollgate-Token": "tgc_nothing" }],
    ["two tokens", { "x-tollgate-token": "tgc_nothing" }],
  ])("refuses with %s, and says so to the operator", async (_, headers) => {
    const response = await ask(headers);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ reason: "UNDECIDED" });
    expect(asked).toEqual([]);
    expect(server.logLines.join()).toMatch(/CALLER_TOKEN_(MISSING|INVALID)/);
  });

  it("refuses with a token without the grant check, in nginx's way too", async () => {
    const token = { "X-Tollgate-Token": server.issueToken(["keys"]) };
    expect((await ask(token)).status).toBe(503);
    const nginx = await ask(token, "?gateway=nginx");
    expect(nginx.status).toBe(403);
    expect(nginx.headers.get("x-tollgate-status")).toBe("503");
  });

  it("takes neither a deadline nor a request id from what a client sent through the gateway", async () => {
    const response = await ask({ "grpc-timeout": "1n", "connect-timeout-ms": "0", "x-request-id": "mine" });
    expect(response.status).toBe(200);
    expect(asked).toMatchObject([{ requestId: "" }]);
    expect(server.logLines.join()).not.toContain('"request_id":"mine"');
  });

  it("takes nothing for the next question that was announced as the body of the last", async () => {
    const { port } = new URL(server.url);
    const question = (headers: string) =>
      `GET /forward-auth HTTP/1.1\r\nHost: t\r\nX-Tollgate-Token: ${server.issueToken(["check"])}\r\n${headers}\r\n`;
    const socket = connect(Number(port), "127.0.0.1");
    socket.write(question("Content-Length: 400\r\n") + question(""));
    let text = "";
    for await (const chunk of socket) text += String(chunk);
    expect(text).toMatch(/^HTTP\/1\.1 503 .*\r\nconnection: close\r\n/is);
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  it("counts as a call of its own in the metrics", async () => {
    await ask();
    expect(await server.metrics.registry.metrics()).toContain('method="tollgate.http/ForwardAuth",code="ok"');
  });
});
