import { createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createPolicySet } from "../../src/core/policy-set.ts";
import type { CheckInput } from "../../src/core/decision.ts";
import { Authorization } from "../../src/gen/envoy/service/auth/v3/external_auth_pb.ts";
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

  it("counts as a call of its own in the metrics", async () => {
    await ask();
    expect(await server.metrics.registry.metrics()).toContain('method="tollgate.http/ForwardAuth",code="ok"');
  });
});
