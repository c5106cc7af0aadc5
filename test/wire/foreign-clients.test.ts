import type { JsonObject } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { INSTALL_TIMEOUT_MS } from "../support/go-programs.ts";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { createAuthority } from "../support/redis-certificates.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { connectNodeClient } from "./connect-node-client.ts";
import { startCountingProxy } from "./counting-proxy.ts";
import { bringCurl } from "./curl-client.ts";
import { engineArgs } from "./engines.ts";
import type { CreateForeign, ForeignCaller, ForeignRepeater, ForeignTarget } from "./foreign-client.ts";
import { bringGhz } from "./ghz-client.ts";
import { grpcJsClient } from "./grpc-js-client.ts";
import { bringGrpcio } from "./grpcio-client.ts";
import { bringGrpcurl } from "./grpcurl-client.ts";
import { bringH2load, bringNghttp } from "./nghttp2-clients.ts";

/** Each brings its program, and answers how a client is made. */
const callers: Readonly<Record<string, () => Promise<CreateForeign<ForeignCaller>>>> = {
  grpcurl: bringGrpcurl,
  "grpc-js": async () => grpcJsClient,
  "Connect for Node": async () => connectNodeClient,
  "grpcio of Python": bringGrpcio,
  curl: bringCurl,
  nghttp: bringNghttp,
};
const repeaters: Readonly<Record<string, () => Promise<CreateForeign<ForeignRepeater>>>> = {
  ghz: bringGhz,
  "grpc-js": async () => grpcJsClient,
  "Connect for Node": async () => connectNodeClient,
  "grpcio of Python": bringGrpcio,
  h2load: bringH2load,
};

/** Reading an item costs one of the 600 points that retrac's policy gives a workspace in a minute. */
const LOAD = { times: 200, atOnce: 20 };

/** How the server is started, and what its clients then trust. */
interface Way {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly trust: Pick<ForeignTarget, "caFile">;
}

const authority = createAuthority();
const { cert, key } = authority.sign("DNS:localhost,IP:127.0.0.1");
const ways: Readonly<Record<string, Way>> = {
  tollgate: { args: engineArgs.tollgate, env: {}, trust: {} },
  "tollgate over TLS": {
    args: engineArgs.tollgate,
    env: { TOLLGATE_TLS_CERT_FILE: cert, TOLLGATE_TLS_KEY_FILE: key },
    trust: { caFile: authority.cert },
  },
  node: { args: engineArgs.node, env: {}, trust: {} },
};

describe.each(Object.entries(ways))("tollgate serve on the HTTP/2 of %s", (_, { args, env, trust }) => {
  let server: TollgateProcess;
  let port = 0;
  let ownApi: JsonApi;

  beforeAll(async () => {
    server = await startTollgate({ args, env: { ...env, TOLLGATE_POINTS_BUDGET: PATIENT } });
    port = Number(new URL(server.url).port);
    ownApi = createJsonApi(server.url, server.adminToken, trust);
  });
  afterAll(() => server?.stop());

  describe.each(Object.entries(callers))("called by %s", (name, bring) => {
    const workspaceId = workspaceOf(name);
    let createClient: CreateForeign<ForeignCaller>;

    beforeAll(async () => {
      createClient = await bring();
      await putWorld(ownApi, workspaceId);
    }, INSTALL_TIMEOUT_MS);

    test("makes a key, which is admitted to what it may and refused what it may not", async () => {
      const client = createClient({ port, ...trust, token: server.adminToken });
      const created = await client.call("CreateKey", { ...newKey, workspaceId });
      expect(created).toMatchObject({ answer: { key: { workspaceId }, secret: expect.any(String) } });
      const { key, secret } = (created as { answer: { key: { id: string }; secret: string } }).answer;
      expect(await client.call("Check", check(secret, "items.read"))).toMatchObject({
        answer: { allowed: true, httpStatus: 200, principal: { keyId: key.id, workspaceId } },
      });
      expect(await client.call("Check", check(secret, "items.write"))).toMatchObject({
        answer: {
          reason: "DENY_REASON_SCOPE_INSUFFICIENT",
          httpStatus: 403,
          requiredScopes: ["items.write"],
        },
      });
    });

    test("is told the reason of an error", async () => {
      const client = createClient({ port, ...trust });
      expect(await client.call("Check", check("retrac_none", "items.read"))).toEqual({
        failure: { code: Code.Unauthenticated, reason: "CALLER_TOKEN_MISSING" },
      });
    });
  });

  describe.each(Object.entries(repeaters))("called again and again by %s", (name, bring) => {
    const workspaceId = workspaceOf(`repeated-${name}`);
    let createClient: CreateForeign<ForeignRepeater>;

    beforeAll(async () => {
      createClient = await bring();
      await putWorld(ownApi, workspaceId);
    }, INSTALL_TIMEOUT_MS);

    test("answers 200 Checks on one connection, 20 at once, and charges each once", async () => {
      const { id, secret } = await createKey(ownApi, { ...newKey, workspaceId });
      const proxy = await startCountingProxy({ toPort: port });
      try {
        const client = createClient({ port: proxy.port, ...trust, token: server.adminToken });
        const succeeded = await client.callTimes("Check", check(secret, "items.read"), LOAD);
        expect({ succeeded, connections: proxy.connections() }).toEqual({ succeeded: 200, connections: 1 });
      } finally {
        await proxy.stop();
      }
      const look = { api: "retrac", keyId: id, points: 0 };
      const { body } = await succeed(ownApi("ConsumePoints", look));
      expect(body.points).toMatchObject({ limit: 600, remaining: 400 });
    });
  });
});

/** A key that may read items and nothing else. */
const newKey = { api: "retrac", type: "restricted", userId: "ann", name: "test", scopes: ["items.read"] };

function check(key: string, permission: string): JsonObject {
  return { api: "retrac", key, permission };
}

function workspaceOf(client: string): string {
  return client.toLowerCase().replaceAll(" ", "-");
}
