import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import type { AttributeContext_HttpRequestSchema } from "../../src/gen/envoy/service/auth/v3/attribute_context_pb.ts";
import {
  CheckRequestSchema,
  type CheckResponse,
  CheckResponseSchema,
} from "../../src/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { callerWith, NO_DEADLINE } from "../core/world.ts";
import { call, createGatewayWorld, SHOP, WATCHED_SHOP } from "./gateway-world.ts";

type Http = MessageInitShape<typeof AttributeContext_HttpRequestSchema>;

type Question = Http & {
  readonly extensions?: Record<string, string>;
  readonly source?: string;
};

let world: ReturnType<typeof createGatewayWorld>;
let key: string;
let keyId: string;

beforeEach(async () => {
  world = createGatewayWorld();
  ({ key, keyId } = await world.fill());
});

async function ask(
  { extensions = {}, source = "192.0.2.1", ...http }: Question = {},
  { as = call, on = world } = {},
): Promise<CheckResponse> {
  const answer = await on.extAuthz.check(
    create(CheckRequestSchema, {
      attributes: {
        contextExtensions: extensions,
        source: { address: { address: { case: "socketAddress", value: { address: source } } } },
        request: {
          http: {
            method: "GET",
            path: "/items",
            host: "api.shop.test",
            scheme: "https",
            headers: { authorization: `Bearer ${key}` },
            ...http,
          },
        },
      },
    }),
    as,
  );
  return create(CheckResponseSchema, answer);
}

/** What Envoy would do with the answer. */
function told(response: CheckResponse) {
  const { httpResponse, status, dynamicMetadata } = response;
  if (httpResponse.case === "okResponse") {
    const { headers, headersToRemove, responseHeadersToAdd } = httpResponse.value;
    return {
      code: status?.code,
      status: 200,
      upstream: lines(headers),
      removed: headersToRemove,
      headers: lines(responseHeadersToAdd),
      body: undefined,
      metadata: dynamicMetadata,
    };
  }
  if (httpResponse.case !== "deniedResponse") throw new Error("neither admitted nor denied");
  const { status: http, headers, body } = httpResponse.value;
  return {
    code: status?.code,
    status: http?.code,
    upstream: {},
    removed: [],
    headers: lines(headers),
    body,
    metadata: dynamicMetadata,
  };
}

/** Throws where one would be appended to a client's own. */
function lines(
  options: readonly { header?: { key: string; value: string } | undefined; appendAction: number }[],
) {
  return Object.fromEntries(
    options.map(({ header, appendAction }) => {
      if (appendAction !== 2) throw new Error(`${header?.key} does not overwrite`);
      return [header?.key, header?.value];
    }),
  );
}

const reasonOf = (response: CheckResponse) => JSON.parse(told(response).body ?? "{}").reason;

describe("an admitted request", () => {
  it("is passed on as who it is, without its credential, and its client is told of his points", async () => {
    expect(told(await ask())).toEqual({
      code: 0,
      status: 200,
      upstream: {
        "x-tollgate-key-id": keyId,
        "x-tollgate-user": "ann",
        "x-tollgate-workspace": "w1",
        "x-tollgate-role": "owner",
        "x-tollgate-permissions": "all,items.read,items.write",
        "x-tollgate-locations": "*",
      },
      removed: ["authorization"],
      headers: { "ratelimit-policy": '"points";q=10;w=60', ratelimit: '"points";r=9;t=60' },
      body: undefined,
      metadata: {
        api: "shop",
        allowed: true,
        reason: "",
        shadow_reason: "",
        degraded: [],
        cost: 1,
        key_id: keyId,
        key_name: "test",
        key_type: "token",
        environment: "live",
        workspace_id: "w1",
        user_id: "ann",
        created_by: "ann",
        role: "owner",
        plan: "",
        permissions: ["all", "items.read", "items.write"],
        all_locations: true,
        location_ids: [],
        metadata: { team: "a" },
        points: {
          limit_name: "points",
          limit: 10,
          cost: 1,
          remaining: 9,
          window_seconds: 60,
          reset_ms: 60_000,
          blocked_ms: 0,
        },
      },
    });
  });

  it("loses every header by which a client says himself who he is, also where none of it is set", async () => {
    const smuggled = { "x-tollgate-user": "eve", x_tollgate_role: "owner", "x.tollgate.anything": "1" };
    const withKey = told(await ask({ headers: { authorization: `Bearer ${key}`, ...smuggled } }));
    expect(withKey.removed).toEqual(["x_tollgate_role", "x.tollgate.anything", "authorization"]);
    expect(withKey.upstream["x-tollgate-user"]).toBe("ann");
    const open = told(await ask({ path: "/status", headers: smuggled }));
    expect(open.upstream).toEqual({});
    expect(open.removed).toEqual([
      "x-tollgate-key-id",
      "x-tollgate-user",
      "x-tollgate-workspace",
      "x-tollgate-role",
      "x-tollgate-permissions",
      "x-tollgate-locations",
      "x_tollgate_role",
      "x.tollgate.anything",
      "authorization",
    ]);
  });

  it("has its member's locations", async () => {
    const { secret } = await world.createKey({
      workspaceId: "w1",
      userId: "bob",
      type: "token",
      scopes: ["items.read"],
    });
    const { upstream } = told(await ask({ headers: { authorization: `Bearer ${secret}` } }));
    expect(upstream["x-tollgate-locations"]).toBe("north,n2");
  });

  it("keeps its credential where the gateway's configuration says so", async () => {
    const { removed } = told(await ask({ extensions: { credential: "forward" } }));
    expect(removed).toEqual([]);
  });

  it("is charged nothing and told nothing of points in the mode rights, and in peek what would be left", async () => {
    const rights = told(await ask({ extensions: { mode: "rights" } }));
    expect(rights.headers).toEqual({});
    expect(rights.metadata).toMatchObject({ cost: 1, key_id: keyId, workspace_id: "w1" });
    const peek = told(await ask({ extensions: { mode: "peek" } }));
    expect(peek.headers["ratelimit"]).toBe('"points";r=10;t=0');
    expect(told(await ask()).headers["ratelimit"]).toBe('"points";r=9;t=60');
  });

  it("leaves an exhausted limit to the filter behind in the mode rights, and not in peek", async () => {
    for (let count = 0; count < 10; count++) await ask();
    expect(told(await ask({ extensions: { mode: "peek" } })).status).toBe(429);
    expect(told(await ask({ extensions: { mode: "rights" } })).status).toBe(200);
  });
});

describe("a key is found in Authorization alone", () => {
  it.each([
    ["no header", {}, "KEY_MISSING"],
    ["another scheme", { authorization: "Basic YW5uOmFubg==" }, "KEY_MISSING"],
    ["a cookie", { cookie: "Authorization=Bearer KEY" }, "KEY_MISSING"],
    ["two values", { authorization: "Bearer KEY,Bearer KEY" }, "KEY_MALFORMED"],
    ["a tab", { authorization: "Bearer\tKEY" }, "KEY_MALFORMED"],
    ["no blank", { authorization: "BearerKEY" }, "KEY_MALFORMED"],
    ["nothing behind it", { authorization: "Bearer" }, "KEY_MALFORMED"],
  ])("refuses %s", async (_, headers: Record<string, string>, reason) => {
    const sent = Object.fromEntries(Object.entries(headers).map(([n, v]) => [n, v.replaceAll("KEY", key)]));
    const response = await ask({ headers: sent });
    expect(told(response).status).toBe(401);
    expect(reasonOf(response)).toBe(reason);
  });

  it.each(["bearer", "BEARER", "Bearer  "])(
    "takes the scheme in any case, and several blanks: %s",
    async (scheme) => {
      expect(told(await ask({ headers: { authorization: `${scheme} ${key}` } })).status).toBe(200);
    },
  );

  it("reads header_map as it reads headers, and sees two values there", async () => {
    const line = (name: string, value: string) => ({ key: name, rawValue: Buffer.from(value) });
    const auth = line("authorization", `Bearer ${key}`);
    const once = await ask({ headers: {}, headerMap: { headers: [auth, line("x-tollgate-role", "owner")] } });
    expect(told(once)).toMatchObject({ status: 200, upstream: { "x-tollgate-role": "owner" } });
    const twice = await ask({ headers: {}, headerMap: { headers: [auth, auth] } });
    expect(reasonOf(twice)).toBe("KEY_MALFORMED");
  });
});

describe("a refusal", () => {
  const invalid = (description: string) =>
    `Bearer realm="shop", error="invalid_token", error_description="${description}"`;

  it("is a problem in JSON with a challenge (RFC 9457, RFC 6750), and no error code where no key was sent", async () => {
    const { status, headers, body, code } = told(await ask({ headers: {} }));
    expect({ status, code }).toEqual({ status: 401, code: 7 });
    expect(headers).toEqual({
      "www-authenticate": 'Bearer realm="shop"',
      "cache-control": "no-store",
      "content-type": "application/problem+json",
    });
    expect(JSON.parse(body ?? "")).toEqual({
      type: "about:blank",
      title: "Unauthorized",
      status: 401,
      detail: "An API key is required.",
      reason: "KEY_MISSING",
    });
  });

  it("says what is wrong with a key, a scope and a workspace as RFC 6750 has it", async () => {
    const bad = told(await ask({ headers: { authorization: "Bearer nonsense" } }));
    expect(bad.headers["www-authenticate"]).toBe(invalid("The API key is malformed."));
    const narrow = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "token",
      scopes: ["items.read"],
    });
    const scope = told(await ask({ method: "POST", headers: { authorization: `Bearer ${narrow.secret}` } }));
    expect(scope.status).toBe(403);
    expect(scope.headers["www-authenticate"]).toBe(
      'Bearer realm="shop", error="insufficient_scope", error_description="The API key\'s scopes do not allow this.", scope="items.write"',
    );
    expect(JSON.parse(scope.body ?? "")).toMatchObject({ required_scopes: ["items.write"] });
    const roaming = await world.createKey({ workspaceId: "w1", userId: "ann", type: "roaming" });
    const nowhere = told(await ask({ headers: { authorization: `Bearer ${roaming.secret}` } }));
    expect(nowhere.status).toBe(400);
    expect(nowhere.headers["www-authenticate"]).toMatch(/error="invalid_request"/);
  });

  it("has no challenge where no other key would help", async () => {
    const { status, headers } = told(await ask({ path: "/nothing" }));
    expect(status).toBe(404);
    expect(headers).toEqual({ "cache-control": "no-store", "content-type": "application/problem+json" });
  });

  it("by points says what is left, and when to come again", async () => {
    for (let count = 0; count < 10; count++) await ask();
    const { status, headers, body } = told(await ask());
    expect(status).toBe(429);
    expect(headers).toEqual({
      "ratelimit-policy": '"points";q=10;w=60',
      ratelimit: '"points";r=0;t=60',
      "retry-after": "60",
      "cache-control": "no-store",
      "content-type": "application/problem+json",
    });
    expect(JSON.parse(body ?? "")).toEqual({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      title: "Quota exceeded",
      status: 429,
      detail: "The rate limit is exceeded; try again later.",
      reason: "POINTS_EXCEEDED",
      "violated-policies": ["points"],
    });
  });

  it("of a cost that can never pass names no time", async () => {
    const { status, headers } = told(await ask({ path: "/all" }));
    expect(status).toBe(400);
    expect(headers["retry-after"]).toBeUndefined();
  });

  it.each([
    [{}, 401, "16"],
    [{ path: "/nothing" }, 404, "12"],
    [{ path: "/all" }, 400, "3"],
    [{ scheme: "http" }, 403, "7"],
  ])("is a status of gRPC for a gRPC client: %j", async (question, status, grpcStatus) => {
    const sent = "path" in question || "scheme" in question ? { authorization: `Bearer ${key}` } : {};
    const answer = told(
      await ask({ ...question, headers: { ...sent, "content-type": "application/grpc+proto" } }),
    );
    expect(answer.status).toBe(status);
    expect(answer.headers["grpc-status"]).toBe(grpcStatus);
    expect(answer.headers["content-type"]).toBeUndefined();
    expect(answer.body).not.toContain("{");
  });

  it("has metadata for the access log, and never the key", async () => {
    const response = await ask({ method: "DELETE" });
    expect(told(response).metadata).toMatchObject({ allowed: false, reason: "ROUTE_UNKNOWN", key_id: keyId });
    expect(
      JSON.stringify(response, (_, value) => (typeof value === "bigint" ? String(value) : value)),
    ).not.toContain(key);
  });
});

describe("what reaches the API without a key", () => {
  const preflight = { origin: "https://app.test", "access-control-request-method": "GET" };

  it("is a public route, and a browser's preflight for a route that there is", async () => {
    expect(told(await ask({ path: "/status", headers: {} })).status).toBe(200);
    const shops = { method: "OPTIONS", path: "/shops/1", headers: preflight };
    expect(told(await ask(shops)).status).toBe(200);
  });

  it.each([
    ["a path without a route", { path: "/nothing", headers: preflight }],
    [
      "a method without a route",
      { path: "/shops/1", headers: { ...preflight, "access-control-request-method": "PUT" } },
    ],
    ["no origin", { path: "/shops/1", headers: { "access-control-request-method": "GET" } }],
    ["no method asked for", { path: "/shops/1", headers: { origin: "https://app.test" } }],
    ["a path that is not canonical", { path: "/shops/../items", headers: preflight }],
    ["a route of OPTIONS that needs a key", { path: "/items", headers: preflight }],
    ["another method than OPTIONS", { path: "/shops/1", method: "GET", headers: preflight }],
  ])("is no preflight with %s", async (_, question) => {
    const response = await ask({ method: "OPTIONS", ...question });
    expect(told(response).status).toBe(401);
    expect(reasonOf(response)).toBe("KEY_MISSING");
  });
});

describe("what a client sends is never an error of the gateway's", () => {
  it("refuses a host of no api, and one of an api that this gateway may not ask about", async () => {
    expect(told(await createAndAsk("other.test")).status).toBe(404);
    const limited = { caller: callerWith(["check"], ["other"]), deadline: NO_DEADLINE, isAborted: false };
    expect(told(await ask({}, { as: limited })).status).toBe(404);
  });

  async function createAndAsk(host: string): Promise<CheckResponse> {
    const two = createGatewayWorld();
    two.reload(
      SHOP,
      SHOP.replace("api: shop", "api: mart")
        .replace("api.shop.test", "api.mart.test")
        .replaceAll("shop_", "mart_"),
    );
    return ask({ host }, { on: two });
  }

  it.each([
    ["no path", { path: "" }],
    ["a path of 64 KB", { path: `/${"a".repeat(65_536)}` }],
    ["a key of 64 KB", { headers: { authorization: `Bearer ${"a".repeat(65_536)}` } }],
    ["no method", { method: "" }],
    ["a host that is none", { host: "\u0000", extensions: { api: "shop" } }],
    ["an address that is none", { source: "nobody" }],
  ])("decides %s", async (_, question) => {
    await ask(question);
    expect(world.undecided).toEqual([]);
    expect(world.decisions).toHaveLength(1);
  });
});

describe("the scheme", () => {
  it("is Envoy's, whatever X-Forwarded-Proto says", async () => {
    const headers = { authorization: `Bearer ${key}`, "x-forwarded-proto": "https" };
    expect(reasonOf(await ask({ scheme: "http", headers }))).toBe("INSECURE_TRANSPORT");
  });

  it.each([
    ["https", 200],
    ["https,https", 200],
    ["http", 403],
    ["https, http", 403],
    ["HTTPS", 200],
    ["ws", 403],
    ["foo, https", 403],
  ])("is X-Forwarded-Proto where the gateway's configuration trusts it: %s", async (value, status) => {
    const headers = { authorization: `Bearer ${key}`, "x-forwarded-proto": value };
    const answer = await ask({ scheme: "http", headers, extensions: { forwarded_proto: "trusted" } });
    expect(told(answer).status).toBe(status);
  });
});

it.each(["", "ws", "foo", "http ", "https,http"])(
  "a scheme that is not known to be https is http: %j",
  async (scheme) => {
    expect(reasonOf(await ask({ scheme }))).toBe("INSECURE_TRANSPORT");
  },
);

it("a client that writes https over HTTP/2 without TLS is seen through by what Envoy itself adds", async () => {
  const headers = { authorization: `Bearer ${key}`, "x-forwarded-proto": "http" };
  expect(reasonOf(await ask({ scheme: "https", headers }))).toBe("INSECURE_TRANSPORT");
});

it("a query that would take long to read is of no route", async () => {
  expect(reasonOf(await ask({ path: `/items?${"a".repeat(8193)}` }))).toBe("ROUTE_UNKNOWN");
  expect(told(await ask({ path: `/items?${"a".repeat(8192)}` })).status).toBe(200);
});

describe("where no decision can be made", () => {
  const gone = {
    check: () => Promise.reject(new TollgateError("unavailable", "gone", { reason: "STORE_UNAVAILABLE" })),
  };

  it("refuses with 503, says nothing of why to the client, and tells the operator once a second", async () => {
    world = createGatewayWorld(SHOP, { authorizer: gone });
    const { status, headers, body } = told(await ask());
    expect(status).toBe(503);
    expect(headers["retry-after"]).toBe("1");
    expect(JSON.parse(body ?? "")).toMatchObject({ reason: "UNDECIDED", status: 503 });
    await ask();
    expect(world.undecided).toEqual(["STORE_UNAVAILABLE", "STORE_UNAVAILABLE"]);
    expect(world.warnings).toHaveLength(1);
  });

  it("leaves it to the gateway where the policy says so", async () => {
    world = createGatewayWorld(`${SHOP}\non_error: gateway\n`, { authorizer: gone });
    await expect(ask()).rejects.toThrow("gone");
  });

  it.each([[{ mod: "peek" }], [{ mode: "record" }], [{ credential: "keep" }], [{ forwarded_proto: "yes" }]])(
    "refuses where the gateway's configuration means nothing: %j",
    async (extensions) => {
      expect(told(await ask({ extensions })).status).toBe(503);
      expect(world.undecided).toEqual(["GATEWAY_MISCONFIGURED"]);
    },
  );

  it("never leaves to the gateway what a client can bring about", async () => {
    const flood = new TollgateError("resource_exhausted", "too many", { reason: "LOOKUPS_EXHAUSTED" });
    world = createGatewayWorld(`${SHOP}\non_error: gateway\n`, {
      authorizer: { check: () => Promise.reject(flood) },
    });
    expect(told(await ask()).status).toBe(503);
  });

  it("lets pass as nobody, with the credential, where the policy is in shadow", async () => {
    world = createGatewayWorld(`${SHOP}\nenforcement: shadow\n`, { authorizer: gone });
    const { status, upstream, removed } = told(await ask({ headers: { "x-tollgate-user": "eve" } }));
    expect({ status, upstream }).toEqual({ status: 200, upstream: {} });
    expect(removed).toContain("x-tollgate-user");
    expect(removed).not.toContain("authorization");
    expect(world.undecided).toEqual(["STORE_UNAVAILABLE"]);
  });

  it("refuses an api that there is not", async () => {
    expect(told(await ask({ extensions: { api: "nothing" } })).status).toBe(503);
    expect(world.undecided).toEqual(["API_UNKNOWN"]);
  });

  it("refuses what is no HTTP request", async () => {
    const answer = await world.extAuthz.check(create(CheckRequestSchema, {}), call);
    expect(told(create(CheckResponseSchema, answer)).status).toBe(503);
    expect(world.undecided).toEqual(["GATEWAY_MISCONFIGURED"]);
  });
});

describe("a policy in shadow", () => {
  it("lets pass with the credential, and says nothing of who it is where it would have refused", async () => {
    world = createGatewayWorld(`${SHOP}\nenforcement: shadow\n`);
    ({ key } = await world.fill());
    const good = told(await ask());
    expect(good.upstream["x-tollgate-user"]).toBe("ann");
    expect(good.removed).not.toContain("authorization");
    const bad = told(await ask({ scheme: "http" }));
    expect(bad).toMatchObject({
      status: 200,
      upstream: {},
      metadata: { shadow_reason: "INSECURE_TRANSPORT" },
    });
    expect(bad.removed).toContain("x-tollgate-user");
  });
});

describe("a limit or a scope in shadow", () => {
  beforeEach(async () => {
    world = createGatewayWorld(WATCHED_SHOP);
    ({ key } = await world.fill());
  });

  it("lets pass as who it is, tells Envoy why it would not have, and the client nothing", async () => {
    for (let asked = 0; asked < 2; asked++)
      expect(told(await ask()).metadata).toMatchObject({ shadow_reason: "" });
    const { status, upstream, removed, headers, metadata } = told(await ask());
    expect({ status, user: upstream["x-tollgate-user"] }).toEqual({ status: 200, user: "ann" });
    expect(removed).toContain("authorization");
    expect(headers).toEqual({ "ratelimit-policy": '"points";q=10;w=60', ratelimit: '"points";r=7;t=60' });
    expect(metadata).toMatchObject({
      allowed: true,
      reason: "",
      shadow_reason: "POINTS_EXCEEDED",
      points: { limit_name: "points" },
    });
    const fields = { workspaceId: "w1", userId: "ann", type: "token", scopes: ["items.read"] };
    const { secret } = await world.createKey(fields);
    const writing = told(await ask({ method: "POST", headers: { authorization: `Bearer ${secret}` } }));
    expect(writing).toMatchObject({
      status: 200,
      upstream: { "x-tollgate-user": "ann", "x-tollgate-permissions": "items.read" },
      metadata: { shadow_reason: "SCOPE_INSUFFICIENT" },
    });
  });

  it("is none of the policies that a refusal names, nor its time to wait", async () => {
    for (let asked = 0; asked < 10; asked++) await ask();
    const { status, headers, body } = told(await ask());
    expect(status).toBe(429);
    expect(JSON.parse(body ?? "")).toMatchObject({ "violated-policies": ["points"] });
    expect(headers).toMatchObject({ "ratelimit-policy": '"points";q=10;w=60' });
  });
});

it("refuses an identity that no header can carry, instead of half of it", async () => {
  const many = Array.from({ length: 300 }, (_, index) => `location-${"x".repeat(50)}-${index}`);
  await world.putMember("w1", "bob", { role: "clerk", allLocations: false, locationIds: many });
  const { secret } = await world.createKey({
    workspaceId: "w1",
    userId: "bob",
    type: "token",
    scopes: ["items.read"],
  });
  expect(told(await ask({ headers: { authorization: `Bearer ${secret}` } })).status).toBe(503);
  expect(world.undecided).toEqual(["IDENTITY_TOO_LARGE"]);
});
