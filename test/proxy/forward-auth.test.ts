import { beforeEach, describe, expect, it } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { call, createGatewayWorld, WATCHED_SHOP } from "./gateway-world.ts";

let world: ReturnType<typeof createGatewayWorld>;
let key: string;
let keyId: string;

beforeEach(async () => {
  world = createGatewayWorld();
  ({ key, keyId } = await world.fill());
});

interface Question {
  /** Of the request to Tollgate. */
  readonly query?: string;
  /** Instead of the usual ones; undefined: without it. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Beside them. */
  readonly more?: readonly (readonly [string, string])[];
  readonly remoteAddress?: string | undefined;
  readonly announcesBody?: boolean;
}

async function ask({ query = "", headers = {}, more = [], announcesBody = false, ...from }: Question = {}) {
  const sent = {
    "X-Forwarded-Method": "GET",
    "X-Forwarded-Uri": "/items",
    "X-Forwarded-Host": "api.shop.test",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "192.0.2.1",
    Authorization: `Bearer ${key}`,
    ...headers,
  };
  const lines = [...Object.entries(sent), ...more].filter(([, value]) => value !== undefined);
  const answer = await world.forwardAuth.answer(
    {
      url: `/forward-auth${query}`,
      rawHeaders: lines.flat(),
      announcesBody,
      remoteAddress: "remoteAddress" in from ? from.remoteAddress : "127.0.0.1",
    },
    call,
  );
  return { ...answer, headers: Object.fromEntries(answer.headers) };
}

it("lets pass with who it is for the API and the points for the client", async () => {
  expect(await ask()).toEqual({
    status: 200,
    headers: {
      "x-tollgate-key-id": keyId,
      "x-tollgate-user": "ann",
      "x-tollgate-workspace": "w1",
      "x-tollgate-role": "owner",
      "x-tollgate-permissions": "all,items.read,items.write",
      "x-tollgate-locations": "*",
      "ratelimit-policy": '"points";q=10;w=60',
      ratelimit: '"points";r=9;t=60',
      "cache-control": "no-store",
    },
    body: "",
  });
});

it("lets pass what only a limit in shadow would refuse, as who it is, and tells nothing of that limit", async () => {
  world = createGatewayWorld(WATCHED_SHOP);
  ({ key, keyId } = await world.fill());
  for (let asked = 0; asked < 3; asked++) await ask();
  expect(await ask()).toMatchObject({
    status: 200,
    headers: { "x-tollgate-key-id": keyId, "ratelimit-policy": '"points";q=10;w=60' },
  });
  expect(world.decisions.at(-1)).toMatchObject({ shadowReason: "BLOCKED" });
});

it("answers a refusal as the client is to see it", async () => {
  const { status, headers, body } = await ask({ headers: { Authorization: undefined } });
  expect(status).toBe(401);
  expect(headers).toMatchObject({
    "www-authenticate": 'Bearer realm="shop"',
    "content-type": "application/problem+json",
  });
  expect(JSON.parse(body)).toMatchObject({ status: 401, reason: "KEY_MISSING" });
});

describe("nginx", () => {
  it.each([
    ["401", 401, { Authorization: undefined }],
    ["403", 403, { "X-Forwarded-Proto": "http" }],
    ["404", 403, { "X-Forwarded-Uri": "/nothing" }],
    ["400", 403, { "X-Forwarded-Uri": "/all" }],
    ["503", 403, { "X-Forwarded-Method": undefined }],
  ])("is told %s as %d, with what the client shall see in headers", async (told, status, headers) => {
    const answer = await ask({ query: "?gateway=nginx", headers });
    expect(answer).toMatchObject({ status, body: "", headers: { "x-tollgate-status": told } });
    expect(JSON.parse(answer.headers["x-tollgate-problem"] ?? "")).toMatchObject({ status: Number(told) });
  });

  it("is told Retry-After and the points of a refusal by them", async () => {
    for (let count = 0; count < 10; count++) await ask();
    const { headers } = await ask({ query: "?gateway=nginx" });
    expect(headers).toMatchObject({
      "x-tollgate-status": "429",
      "retry-after": "60",
      ratelimit: '"points";r=0;t=60',
    });
  });
});

describe("what the gateway says of a request is believed", () => {
  it.each(["127.0.0.1", "::ffff:127.0.0.1", undefined])("from %s", async (remoteAddress) => {
    expect((await ask({ remoteAddress })).status).toBe(200);
  });

  it.each(["192.0.2.7", "::1", ""])("not from %j, which is not configured", async (remoteAddress) => {
    expect((await ask({ remoteAddress })).status).toBe(503);
    expect(world.undecided).toEqual(["GATEWAY_MISCONFIGURED"]);
  });

  it.each(["X-Forwarded-Method", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-Proto"])(
    "not where %s is missing, or is there twice",
    async (name) => {
      expect((await ask({ headers: { [name]: undefined } })).status).toBe(503);
      expect((await ask({ more: [[name.toLowerCase(), "/items"]] })).status).toBe(503);
      expect(world.decisions).toEqual([]);
    },
  );
});

it("takes for the client's address what the gateway has added last", async () => {
  await world.putWorkspace("w2");
  await world.putMember("w2", "ann", { role: "owner" });
  const { secret } = await world.createKey({
    workspaceId: "w2",
    userId: "ann",
    type: "token",
    scopes: ["items.read"],
    allowedCidrs: ["192.0.2.0/24"],
  });
  const from = (forwardedFor: string) =>
    ask({ headers: { Authorization: `Bearer ${secret}`, "X-Forwarded-For": forwardedFor } });
  expect((await from("203.0.113.9, 192.0.2.8")).status).toBe(200);
  expect((await from("192.0.2.8, 203.0.113.9")).status).toBe(403);
  const twice = await ask({
    headers: { Authorization: `Bearer ${secret}`, "X-Forwarded-For": "192.0.2.8" },
    more: [["x-forwarded-for", "203.0.113.9"]],
  });
  expect(twice.status).toBe(403);
});

it("refuses a client that sends two credentials", async () => {
  const { status, body } = await ask({ more: [["authorization", `Bearer ${key}`]] });
  expect(status).toBe(401);
  expect(JSON.parse(body)).toMatchObject({ reason: "KEY_MALFORMED" });
});

it("refuses a question that announces a body: what follows might be taken for it", async () => {
  expect((await ask({ announcesBody: true })).status).toBe(503);
  expect(world.warnings).toEqual([
    {
      reason: "GATEWAY_MISCONFIGURED",
      problem: "The gateway's configuration: the question must have no body, nor announce one.",
    },
  ]);
});

it("lets a preflight pass without a key, and without anyone's identity", async () => {
  const preflight = {
    Authorization: undefined,
    "X-Forwarded-Method": "OPTIONS",
    "X-Forwarded-Uri": "/shops/1",
    Origin: "https://app.test",
    "Access-Control-Request-Method": "GET",
  };
  expect(await ask({ headers: preflight })).toEqual({
    status: 200,
    headers: { "cache-control": "no-store" },
    body: "",
  });
});

it.each(["?mode=peek&mode=enforce", "?gatway=nginx", "?gateway=apache", "?mode=record", "?api=nothing"])(
  "refuses everything under a configuration that means nothing: %s",
  async (query) => {
    expect((await ask({ query })).status).toBe(503);
  },
);

it("charges nothing in the modes peek and rights", async () => {
  await ask({ query: "?mode=peek" });
  await ask({ query: "?api=shop&mode=rights" });
  expect((await ask()).headers["ratelimit"]).toBe('"points";r=9;t=60');
});

it("tells the gateway to refuse when the call itself failed", () => {
  const request = {
    url: "/forward-auth",
    rawHeaders: [],
    remoteAddress: "127.0.0.1",
    announcesBody: false,
  };
  const error = new TollgateError("unavailable", "gone", { reason: "STORE_UNAVAILABLE" });
  expect(world.forwardAuth.failed(request, error).status).toBe(503);
  const nginx = { ...request, url: "/forward-auth?gateway=nginx" };
  expect(world.forwardAuth.failed(nginx, error).status).toBe(403);
});
