import { beforeEach, describe, expect, it } from "vitest";
import type { BucketStore } from "../../src/core/ports.ts";
import { newSecret } from "../../src/core/secret.ts";
import { admin, callerWith, createWorld, NO_DEADLINE } from "./world.ts";

const shop = `
api: shop
hosts: [api.shop.test, {host: sandbox.shop.test, environment: test}, "*.eu.shop.test"]
https: required
plans: [free, pro]
permissions: {items.read: 1, items.write: 2, ping: {cost: 1, any_key: true}}
roles:
  owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}
  clerk: {permissions: [items.read], creates_keys: true, manages_keys: own}
scopes: {items.read: {}, items.write: {}}
locations: {query: shopId}
metadata_upstream: [team]
key_types:
  live: {prefix: shop_live_, environment: live, workspace: bound, scopes: selected, acts_as: creator, legacy: ["^old-[0-9]{16}$"]}
  sandbox: {prefix: shop_test_, environment: test, workspace: bound, scopes: selected, acts_as: creator}
  robot: {prefix: shop_bot_, environment: live, workspace: bound, scopes: selected, acts_as: service_account}
  roaming: {prefix: shop_any_, environment: live, workspace: {query: shop}, scopes: all, acts_as: creator}
routes:
  - {match: "GET /items", permission: items.read}
  - {match: "POST /items", permission: items.write, cost: 7}
  - {match: "GET /me", permission: ping, workspace: none}
  - {match: "GET /status", access: public}
limits:
  - {name: minute, per: workspace, points: 10, plan_points: {pro: 20}, window: 60s, block: 30s}
  - {name: each, per: key, points: 15, window: 60s}
`;
const other = `
api: other
hosts: [other.test]
permissions: {do: 1}
roles: {admin: {permissions: ["*"], creates_keys: true}}
scopes: {do: {}}
key_types: {token: {prefix: other_, workspace: bound, scopes: selected, acts_as: workspace}}
limits: [{name: points, per: key, points: 5, window: 1s}]
`;

let world: ReturnType<typeof createWorld>;
let secret: string;

beforeEach(async () => {
  world = createWorld(shop);
  await world.putWorkspace("w1", { plan: "free" });
  await world.putMember("w1", "ann", { role: "owner" });
  await world.putMember("w1", "bob", { role: "clerk", allLocations: false, locationIds: ["north"] });
  ({ secret } = await world.createKey({
    workspaceId: "w1",
    userId: "ann",
    type: "live",
    scopes: ["items.read items.write"],
    metadata: { team: "a", note: "inside" },
  }));
});

describe("the first step that fails decides", () => {
  it("passes all steps in their order, and tells them with explain", async () => {
    const decision = await world.check(secret, "GET https://api.shop.test/items", { explain: true });
    expect(decision.allowed).toBe(true);
    expect(decision.steps.map((step) => step.name)).toEqual([
      "transport",
      "credential",
      "format",
      "key",
      "address",
      "route",
      "workspace",
      "plan",
      "scope_available",
      "role",
      "scope",
      "location",
      "cost",
      "points",
    ]);
    expect(decision.steps.every((step) => step.passed)).toBe(true);
    expect(JSON.stringify(decision)).not.toContain(secret);
  });

  it("refuses plain http even without a key", async () => {
    expect(await world.check("", "GET http://api.shop.test/items")).toMatchObject({
      reason: "INSECURE_TRANSPORT",
    });
    expect(await world.check("", "GET HTTP://api.shop.test/items".replace("HTTP", "http"))).toMatchObject({
      reason: "INSECURE_TRANSPORT",
    });
  });

  it("allows a public route without a key, and charges nothing", async () => {
    const decision = await world.check("", "GET https://api.shop.test/status");
    expect(decision).toMatchObject({ allowed: true, limits: [], principal: undefined });
  });

  it("tells an unknown route only to who has a live key", async () => {
    expect(await world.check("", "GET /nothing")).toMatchObject({ reason: "KEY_MISSING" });
    expect(await world.check(newSecret("shop_live_"), "GET /nothing")).toMatchObject({
      reason: "KEY_UNKNOWN",
    });
    expect(await world.check(secret, "GET /nothing")).toMatchObject({ reason: "ROUTE_UNKNOWN" });
    expect(await world.check(secret, "GET /items/../items")).toMatchObject({ reason: "ROUTE_UNKNOWN" });
    expect(await world.check(secret, "GET /items?x=1#y")).toMatchObject({ reason: "ROUTE_UNKNOWN" });
  });

  it.each([
    ["with Bearer left on", (key: string) => `Bearer ${key}`],
    ["with a character changed", (key: string) => `${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`],
    ["with another type's prefix", (key: string) => key.replace("live", "test")],
    ["with a prefix that nobody has", () => newSecret("nobody_")],
    ["of a megabyte", () => "x".repeat(1024 * 1024)],
    ["with a NUL", (key: string) => `${key}\0`],
  ])("refuses a key %s as malformed", async (_, change) => {
    expect(await world.check(change(secret), "items.read")).toMatchObject({
      reason: "KEY_MALFORMED",
      principal: undefined,
    });
  });

  it("refuses a well-formed key of another api as unknown", async () => {
    world = createWorld(shop, other);
    await world.putWorkspace("w1", {}, "other");
    await world.putMember("w1", "ann", { role: "admin" }, "other");
    const issued = await world.createKey({ api: "other", workspaceId: "w1", userId: "ann", scopes: ["do"] });
    expect(await world.check(issued.secret, "items.read", { api: "shop" })).toMatchObject({
      reason: "KEY_UNKNOWN",
    });
    expect(await world.check(issued.secret, "do", { api: "other" })).toMatchObject({ allowed: true });
  });

  it("looks an imported key up by its pattern, without a checksum", async () => {
    expect(await world.check("old-1234567890123456", "items.read")).toMatchObject({ reason: "KEY_UNKNOWN" });
    expect(await world.check("old-123456789012345", "items.read")).toMatchObject({ reason: "KEY_MALFORMED" });
  });

  it("tells the principal's ids and no rights when the key is not live", async () => {
    const { key } = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "live",
      scopes: ["items.read"],
      expireTimeMs: world.now() + 1000,
    });
    const decision = await world.check(secret, "items.read");
    expect(decision.principal).toMatchObject({
      role: "owner",
      plan: "free",
      permissions: ["items.read", "items.write", "ping"],
      metadata: { team: "a" },
    });
    await world.keys.revoke({ target: { key: secret }, reason: "leak", actorUserId: "" }, admin, NO_DEADLINE);
    expect(await world.check(secret, "items.read")).toMatchObject({
      reason: "KEY_REVOKED",
      principal: { keyId: decision.principal?.keyId, role: "", permissions: [], metadata: {} },
    });
    expect(key.id).not.toBe(decision.principal?.keyId);
  });
});

describe("hosts and environments", () => {
  it("choose the api by host, exact before wildcard, with a port and in any case", async () => {
    world = createWorld(shop, other);
    await expect(world.check("", "do")).rejects.toMatchObject({ code: "invalid_argument" });
    expect(await world.check("", "GET https://API.shop.test:443/items")).toMatchObject({ api: "shop" });
    expect(await world.check("", "GET https://a.b.eu.shop.test/items")).toMatchObject({ api: "shop" });
    expect(await world.check("", "GET http://other.test/x")).toMatchObject({ api: "other" });
    await expect(world.check("", "GET https://nowhere.test/items")).rejects.toMatchObject({
      code: "invalid_argument",
    });
    await expect(world.check("", "do", { api: "nope" })).rejects.toMatchObject({ code: "not_found" });
  });

  it("let only keys of the host's environment in", async () => {
    const sandbox = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "sandbox",
      scopes: ["items.read"],
    });
    const at = (host: string) => `GET https://${host}/items`;
    expect(await world.check(sandbox.secret, at("sandbox.shop.test"))).toMatchObject({ allowed: true });
    expect(await world.check(secret, at("sandbox.shop.test"))).toMatchObject({ reason: "KEY_UNKNOWN" });
    expect(await world.check(sandbox.secret, at("api.shop.test"))).toMatchObject({ allowed: true });
    // A Host of the client's own is no way around it.
    for (const host of ["10.0.0.7", "sandbox.shop.test..", "other.test"]) {
      for (const api of ["", "shop"]) {
        expect(await world.check(secret, at(host), { api })).toMatchObject({ reason: "KEY_UNKNOWN" });
      }
    }
  });
});

describe("addresses", () => {
  it("outside the key's ranges are refused, also when none was told", async () => {
    const restricted = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "live",
      scopes: ["items.read"],
      allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"],
    });
    for (const clientIp of ["10.1.2.3", "::ffff:10.1.2.3", "2001:db8::9"]) {
      expect(await world.check(restricted.secret, "items.read", { clientIp })).toMatchObject({
        allowed: true,
      });
    }
    for (const clientIp of ["", "11.0.0.1", "junk", "10.1.2.3, 11.0.0.1"]) {
      expect(await world.check(restricted.secret, "items.read", { clientIp })).toMatchObject({
        reason: "ADDRESS_DENIED",
      });
    }
  });
});

describe("the workspace", () => {
  it("of a bound key may not be named at all", async () => {
    expect(await world.check(secret, "items.read", { workspaceId: "w1" })).toMatchObject({
      reason: "WORKSPACE_NOT_ALLOWED",
    });
    expect(await world.check(secret, "GET /items?shop=w1")).toMatchObject({
      reason: "WORKSPACE_NOT_ALLOWED",
    });
    expect(await world.check(secret, "GET /items?shop=")).toMatchObject({ reason: "WORKSPACE_NOT_ALLOWED" });
  });

  it("of another key must be named exactly once", async () => {
    const roaming = await world.createKey({ workspaceId: "w1", userId: "ann", type: "roaming" });
    const check = (target: string, workspaceId = "") => world.check(roaming.secret, target, { workspaceId });
    expect(await check("GET /items?shop=w1")).toMatchObject({
      allowed: true,
      principal: { workspaceId: "w1" },
    });
    expect(await check("GET /items", "w1")).toMatchObject({ allowed: true });
    expect(await check("GET /items?shop=w1", "w1")).toMatchObject({ allowed: true });
    for (const query of ["", "?shop=", "?shop=w1&shop=w1", "?shop=w1&shop[]=w2", "?shop=w1&%73hop=w2"]) {
      expect(await check(`GET /items${query}`)).toMatchObject({ reason: "WORKSPACE_REQUIRED" });
    }
    for (const name of ["w2", "%00", "a%20b", "w1%0d%0a", "%zz"]) {
      expect(await check(`GET /items?shop=${name}`)).toMatchObject({ reason: "NOT_A_MEMBER" });
    }
    await expect(check("GET /items?shop=w1", "w2")).rejects.toMatchObject({
      code: "invalid_argument",
      violations: [{ field: "workspace_id" }],
    });
  });

  it("is not asked of a route without one, and its limit then counts by the key", async () => {
    const roaming = await world.createKey({ workspaceId: "w1", userId: "ann", type: "roaming" });
    for (let call = 1; call <= 10; call++) {
      expect(await world.check(roaming.secret, "GET /me")).toMatchObject({ allowed: true });
    }
    expect(await world.check(roaming.secret, "GET /me")).toMatchObject({
      reason: "POINTS_EXCEEDED",
      principal: { workspaceId: "", role: "" },
    });
    expect(await world.check(secret, "items.read")).toMatchObject({ allowed: true });
  });

  it("that is suspended refuses, and is told to members only", async () => {
    await world.putWorkspace("w1", { suspended: true });
    expect(await world.check(secret, "items.read")).toMatchObject({ reason: "WORKSPACE_SUSPENDED" });
    const roaming = await world
      .putWorkspace("w1", {})
      .then(() => world.createKey({ workspaceId: "w1", userId: "bob", type: "roaming" }));
    await world.putWorkspace("w9", { suspended: true });
    expect(await world.check(roaming.secret, "items.read", { workspaceId: "w9" })).toMatchObject({
      reason: "NOT_A_MEMBER",
    });
  });
});

describe("rights", () => {
  it("are the owner's as they are now", async () => {
    expect(await world.check(secret, "POST /items")).toMatchObject({ allowed: true, points: { cost: 7 } });
    await world.putMember("w1", "ann", { role: "clerk" });
    expect(await world.check(secret, "POST /items")).toMatchObject({ reason: "ROLE_INSUFFICIENT" });
    expect(await world.check(secret, "GET /items")).toMatchObject({
      allowed: true,
      principal: { role: "clerk", permissions: ["items.read", "ping"] },
    });
    await world.directory.removeMember(
      { directory: "", workspaceId: "w1", userId: "ann", sourceVersion: 0n },
      admin,
      NO_DEADLINE,
    );
    expect(await world.check(secret, "GET /items")).toMatchObject({ reason: "NOT_A_MEMBER" });
  });

  it("of a service account are its own role's, whatever becomes of its creator", async () => {
    const robot = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "robot",
      role: "clerk",
      scopes: ["items.read"],
    });
    expect(robot.key).toMatchObject({ userId: "", createdBy: "ann", role: "clerk" });
    await world.directory.removeMember(
      { directory: "", workspaceId: "w1", userId: "ann", sourceVersion: 0n },
      admin,
      NO_DEADLINE,
    );
    expect(await world.check(robot.secret, "items.read")).toMatchObject({
      allowed: true,
      principal: { role: "clerk" },
    });
    expect(await world.check(robot.secret, "items.write")).toMatchObject({ reason: "ROLE_INSUFFICIENT" });
  });

  it("name the scopes that would have helped", async () => {
    const reader = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "live",
      scopes: ["items.read"],
    });
    expect(await world.check(reader.secret, "items.write")).toMatchObject({
      reason: "SCOPE_INSUFFICIENT",
      requiredScopes: ["items.write"],
    });
    expect(await world.check(reader.secret, "ping")).toMatchObject({ allowed: true });
    await world.putWorkspace("w1", { withheldScopes: ["items.read"] });
    expect(await world.check(reader.secret, "items.read")).toMatchObject({
      reason: "SCOPE_UNAVAILABLE",
      requiredScopes: ["items.read"],
    });
  });

  it("stop at the owner's locations, from field, query and path alike", async () => {
    const north = await world.createKey({
      workspaceId: "w1",
      userId: "bob",
      type: "live",
      scopes: ["items.read"],
    });
    expect(await world.check(north.secret, "GET /items")).toMatchObject({
      allowed: true,
      principal: { allLocations: false, locationIds: ["north"] },
    });
    expect(await world.check(north.secret, "GET /items?shopId=north")).toMatchObject({ allowed: true });
    for (const target of [
      "GET /items?shopId=south",
      "GET /items?shopId=north&shopId=south",
      "GET /items?shopId=",
    ]) {
      expect(await world.check(north.secret, target)).toMatchObject({ reason: "LOCATION_DENIED" });
    }
    expect(await world.check(north.secret, "items.read", { locationIds: ["south"] })).toMatchObject({
      reason: "LOCATION_DENIED",
    });
    expect(await world.check(secret, "GET /items?shopId=south")).toMatchObject({
      allowed: true,
      principal: { allLocations: true, locationIds: [] },
    });
  });
});

describe("points", () => {
  it("are those of the workspace's plan, now", async () => {
    expect(await world.check(secret, "items.read")).toMatchObject({
      points: { limitName: "minute", limit: 10 },
    });
    await world.putWorkspace("w1", { plan: "pro" });
    expect(await world.check(secret, "items.read")).toMatchObject({
      limits: [
        { limitName: "minute", limit: 20, remaining: 18 },
        { limitName: "each", limit: 15, remaining: 13 },
      ],
    });
  });

  it("are told by the tightest limit, and all or none are charged", async () => {
    await world.putWorkspace("w1", { plan: "pro" });
    for (let call = 0; call < 2; call++) await world.check(secret, "items.read", { points: 7 });
    const refused = await world.check(secret, "items.read", { points: 2 });
    expect(refused).toMatchObject({ reason: "POINTS_EXCEEDED", points: { limitName: "each", remaining: 1 } });
    expect(refused.limits[0]).toMatchObject({ limitName: "minute", remaining: 6 });
    expect(refused.retryAfterMs).toBe(60_000);
  });

  it("block for the block's time after the limit is exceeded, and calls meanwhile do not extend it", async () => {
    for (let call = 0; call < 10; call++) await world.check(secret, "items.read");
    expect(await world.check(secret, "items.read")).toMatchObject({ reason: "POINTS_EXCEEDED" });
    world.wait(29_999);
    expect(await world.check(secret, "items.read")).toMatchObject({
      reason: "BLOCKED",
      points: { blockedMs: 1 },
    });
    expect(await world.check(secret, "items.read", { points: 0 })).toMatchObject({ reason: "BLOCKED" });
    world.wait(1);
    expect(await world.check(secret, "items.read", { points: 0 })).toMatchObject({ allowed: true });
  });

  it("that can never suffice are told so, and block nothing", async () => {
    expect(await world.check(secret, "items.read", { points: 11 })).toMatchObject({
      reason: "COST_ABOVE_LIMIT",
      retryAfterMs: 0,
      limits: [],
    });
    expect(await world.check(secret, "items.read", { points: 2 ** 32 - 1 })).toMatchObject({
      reason: "COST_ABOVE_LIMIT",
    });
    expect(await world.check(secret, "items.read", { points: 10 })).toMatchObject({ allowed: true });
  });

  it("are not spent by a peek or a refusal for another reason", async () => {
    const peek = await world.check(secret, "items.read", { points: 10, mode: "peek" });
    expect(peek).toMatchObject({ allowed: true, points: { remaining: 10, cost: 10 } });
    await world.check(secret, "GET /nothing", { points: 10 });
    expect(await world.check(secret, "items.read", { points: 10 })).toMatchObject({ allowed: true });
  });

  it("are recorded above the limit for work that is done", async () => {
    expect(await world.check(secret, "items.read", { points: 12, mode: "record" })).toMatchObject({
      allowed: true,
      points: { remaining: 0 },
    });
    expect(await world.check(secret, "items.read")).toMatchObject({ reason: "BLOCKED" });
  });

  it("are charged once a request_id and caller", async () => {
    const once = { points: 6, requestId: "r1" };
    for (let call = 0; call < 3; call++) {
      expect(await world.check(secret, "items.read", once)).toMatchObject({
        allowed: true,
        points: { remaining: 4 },
      });
    }
    expect(await world.check(secret, "items.read", once, callerWith(["check"]))).toMatchObject({
      reason: "POINTS_EXCEEDED",
    });
  });

  it("are consumed by a key's id or its secret, if the key is live", async () => {
    const keyId = (await world.check(secret, "items.read", { mode: "peek" })).principal?.keyId ?? "";
    expect(await world.consume(keyId, 4)).toMatchObject({ allowed: true, points: { remaining: 6 } });
    expect(await world.consume("", 4, { subject: { key: secret } })).toMatchObject({
      points: { remaining: 2 },
    });
    expect(await world.consume(keyId, 0)).toMatchObject({ allowed: true, points: { remaining: 2 } });
    expect(await world.consume("key_none", 1)).toMatchObject({ reason: "KEY_UNKNOWN" });
    await world.keys.revoke({ target: { keyId }, reason: "", actorUserId: "" }, admin, NO_DEADLINE);
    expect(await world.consume(keyId, 1)).toMatchObject({ reason: "KEY_REVOKED" });
  });
});

describe("whatever the client sends", () => {
  const long = "x".repeat(70_000);
  it.each<[string, string, object]>([
    ["a method of 70,000 letters", `${long} /items`, {}],
    ["a path of 70,000 letters", `GET /${long}`, {}],
    ["a path of controls", "GET /\0\n", {}],
    ["a host of 70,000 letters", `GET https://${long}/items`, { api: "shop" }],
    ["an address of 70,000 letters", "items.read", { clientIp: long }],
    ["a workspace that is no id", "items.read", { workspaceId: "a b\r\n" }],
    ["a location that is no id", "items.read", { locationIds: [long, "\0"] }],
  ])("%s is decided", async (_, target, fields) => {
    expect(typeof (await world.check(secret, target, fields)).allowed).toBe("boolean");
  });
});

describe("the caller", () => {
  it("who is limited to other apis gets no decision", async () => {
    await expect(
      world.check(secret, "items.read", {}, callerWith(["check"], ["other"])),
    ).rejects.toMatchObject({
      code: "permission_denied",
      reason: "API_NOT_GRANTED",
    });
  });

  it("of another api learns nothing of a key by its id", async () => {
    const { principal } = await world.check(secret, "items.read", { mode: "peek" });
    world.reload(shop, other);
    const input = {
      api: "",
      subject: { keyId: principal?.keyId ?? "" },
      workspaceId: "",
      points: 1,
      requestId: "",
      mode: "enforce" as const,
    };
    expect(
      await world.authorizer.consume(input, callerWith(["consume"], ["other"]), NO_DEADLINE),
    ).toMatchObject({
      api: "other",
      reason: "KEY_UNKNOWN",
      principal: undefined,
    });
  });

  it("who names an unknown permission gets INVALID_ARGUMENT", async () => {
    await expect(world.check(secret, "items.eat")).rejects.toMatchObject({ code: "invalid_argument" });
  });

  it("whose deadline has passed gets an error, never an allow", async () => {
    const input = {
      api: "",
      key: secret,
      target: { permission: "items.read" },
      workspaceId: "",
      locationIds: [],
      points: undefined,
      requestId: "",
      mode: "enforce" as const,
      explain: false,
      clientIp: "",
    };
    const late = async () => world.authorizer.check(input, admin, performance.now() - 1);
    await expect(late()).rejects.toMatchObject({ code: "deadline_exceeded" });
  });

  it("is told of uses only where a key admitted a request", async () => {
    await world.check(secret, "items.read");
    await world.check(secret, "items.read", { mode: "peek" });
    await world.check(secret, "GET /nothing");
    expect(world.uses).toHaveLength(1);
    expect(world.uses[0]).toMatchObject({ secret: "current", timeMs: world.now() });
  });
});

describe("a policy in shadow", () => {
  beforeEach(() => world.reload(`${shop}\nenforcement: shadow\n`));

  it("refuses nothing and tells what it would have said", async () => {
    expect(await world.check("", "GET https://api.shop.test/items")).toMatchObject({
      allowed: true,
      reason: undefined,
      shadowReason: "KEY_MISSING",
    });
    expect(await world.check(secret, "GET https://api.shop.test/items")).toMatchObject({
      allowed: true,
      shadowReason: undefined,
    });
  });

  it("counts points and starts no block", async () => {
    for (let call = 0; call < 10; call++) await world.check(secret, "items.read");
    expect(await world.check(secret, "items.read")).toMatchObject({
      allowed: true,
      shadowReason: "POINTS_EXCEEDED",
      retryAfterMs: 0,
      points: { remaining: 0, blockedMs: 0 },
    });
    world.reload(shop);
    expect(await world.check(secret, "items.read")).toMatchObject({ reason: "POINTS_EXCEEDED" });
  });
});

describe("a limit in shadow", () => {
  const limits = (...lines: readonly string[]) =>
    shop.replace(/limits:[^]*$/, `limits:\n${lines.map((line) => `  - {${line}}\n`).join("")}`);
  const minute = "name: minute, per: workspace, points: 10, window: 60s, block: 30s";
  const trial = "name: trial, per: key, points: 3, window: 60s, block: 5s, shadow: true";

  it("never refuses: its refusal is told, with its state, and the others decide", async () => {
    world.reload(limits(trial, minute));
    expect(await world.check(secret, "items.read", { points: 3 })).toMatchObject({
      allowed: true,
      shadowReason: undefined,
      limits: [
        { limitName: "trial", remaining: 0, shadow: { reason: undefined } },
        { limitName: "minute", remaining: 7, shadow: undefined },
      ],
    });
    expect(await world.check(secret, "items.read", { explain: true })).toMatchObject({
      allowed: true,
      reason: undefined,
      isShadow: false,
      isOverruled: false,
      shadowReason: "POINTS_EXCEEDED",
      retryAfterMs: 0,
      points: { limitName: "minute", remaining: 6 },
      limits: [
        { limitName: "trial", remaining: 0, blockedMs: 5000, shadow: { reason: "POINTS_EXCEEDED" } },
        { limitName: "minute" },
      ],
      steps: expect.arrayContaining([
        expect.objectContaining({
          name: "points",
          passed: true,
          detail: expect.stringMatching(
            /^"minute": 6 of 10.* In shadow "trial" would refuse it: POINTS_EXCEEDED\.$/,
          ),
        }),
      ]),
    });
    expect(await world.check(secret, "items.read")).toMatchObject({
      allowed: true,
      shadowReason: "BLOCKED",
      limits: [{ shadow: { reason: "BLOCKED" } }, { remaining: 5 }],
    });
    expect(await world.check(secret, "items.read", { mode: "peek" })).toMatchObject({
      allowed: true,
      shadowReason: "BLOCKED",
    });
    expect(await world.check(secret, "items.read", { mode: "record" })).toMatchObject({
      allowed: true,
      shadowReason: undefined,
    });
  });

  it("is charged nothing of what another refuses, whose time to wait alone is told", async () => {
    world.reload(limits("name: trial, per: key, points: 11, window: 1h, shadow: true", minute));
    await world.check(secret, "items.read", { points: 10 });
    expect(await world.check(secret, "items.read", { points: 2 })).toMatchObject({
      allowed: false,
      reason: "POINTS_EXCEEDED",
      shadowReason: undefined,
      retryAfterMs: 60_000,
      points: { limitName: "minute" },
      limits: [{ limitName: "trial", remaining: 1, blockedMs: 0 }, { blockedMs: 30_000 }],
    });
  });

  it("tells a cost above it, charges the others, and starts no block", async () => {
    world.reload(limits(trial, minute));
    expect(await world.check(secret, "items.read", { points: 4, explain: true })).toMatchObject({
      allowed: true,
      shadowReason: "COST_ABOVE_LIMIT",
      cost: 4,
      limits: [{ remaining: 3, blockedMs: 0, shadow: { reason: "COST_ABOVE_LIMIT" } }, { remaining: 6 }],
      steps: expect.arrayContaining([
        { name: "cost", passed: true, detail: 'It costs 4; "trial" is 3, and in shadow.' },
      ]),
    });
    expect(await world.check(secret, "items.read", { points: 4, mode: "rights" })).toMatchObject({
      allowed: true,
      shadowReason: "COST_ABOVE_LIMIT",
    });
    expect(await world.check(secret, "items.read", { points: 11 })).toMatchObject({
      reason: "COST_ABOVE_LIMIT",
      shadowReason: undefined,
    });
  });

  it("alone is no limit at all to clients: none is the tightest", async () => {
    world.reload(limits(trial));
    await world.check(secret, "items.read", { points: 3 });
    expect(await world.check(secret, "items.read", { explain: true })).toMatchObject({
      allowed: true,
      points: undefined,
      limits: [{ limitName: "trial" }],
      shadowReason: "POINTS_EXCEEDED",
      steps: expect.arrayContaining([
        expect.objectContaining({ detail: expect.stringMatching(/^All limits are in shadow\./) }),
      ]),
    });
  });

  it("alone refuses nothing without its store either", async () => {
    const down: BucketStore = {
      take: async () => ({ outcome: "unavailable", states: [], decidedBy: "store" }),
    };
    world.reload(limits(trial));
    world.replaceBuckets(down);
    expect(await world.check(secret, "items.read")).toMatchObject({
      allowed: true,
      shadowReason: "STORE_UNAVAILABLE",
      degraded: ["points_skipped"],
    });
    world.reload(limits(trial, minute));
    expect(await world.check(secret, "items.read")).toMatchObject({
      allowed: false,
      reason: "STORE_UNAVAILABLE",
      degraded: [],
    });
  });

  it("goes on with what was counted when it is enforced", async () => {
    const larger = trial.replace("points: 3", "points: 8");
    world.reload(limits(larger, minute));
    await world.check(secret, "items.read", { points: 7 });
    world.reload(limits(larger.replace(", shadow: true", ""), minute));
    expect(await world.check(secret, "items.read", { points: 2 })).toMatchObject({
      allowed: false,
      reason: "POINTS_EXCEEDED",
      limits: [{ limitName: "trial", remaining: 0, blockedMs: 5000 }, { remaining: 3 }],
    });
  });

  it("tells consumers of points, too", async () => {
    world.reload(limits(trial, minute));
    const { keyId } = (await world.check(secret, "items.read", { points: 3 })).principal ?? { keyId: "" };
    expect(await world.consume(keyId, 1)).toMatchObject({
      allowed: true,
      shadowReason: "POINTS_EXCEEDED",
      points: { limitName: "minute", remaining: 6 },
    });
  });

  it("in a policy in shadow starts no block, and is told apart from what that overrules", async () => {
    world.reload(`${limits(trial, minute)}enforcement: shadow\n`);
    await world.check(secret, "items.read", { points: 3 });
    expect(await world.check(secret, "items.read")).toMatchObject({
      shadowReason: "POINTS_EXCEEDED",
      isOverruled: false,
      limits: [{ blockedMs: 0 }, { remaining: 6 }],
    });
    expect(await world.check(secret, "items.read", { points: 7 })).toMatchObject({
      allowed: true,
      shadowReason: "POINTS_EXCEEDED",
      isOverruled: true,
    });
  });
});

describe("a scope in shadow", () => {
  const scoped = (scopes: string) =>
    shop.replace("scopes: {items.read: {}, items.write: {}}", `scopes: {${scopes}}`);
  let reader: string;
  beforeEach(async () => {
    const fields = { workspaceId: "w1", userId: "ann", type: "live", scopes: ["items.read"] };
    reader = (await world.createKey(fields)).secret;
  });

  it("is not missed: the request is allowed, charged, and told of", async () => {
    world.reload(scoped("items.read: {}, items.write: {shadow: true}"));
    expect(await world.check(reader, "items.write", { explain: true })).toMatchObject({
      allowed: true,
      reason: undefined,
      shadowReason: "SCOPE_INSUFFICIENT",
      isOverruled: false,
      requiredScopes: ["items.write"],
      principal: { permissions: ["items.read", "ping"] },
      points: { remaining: 8 },
      steps: expect.arrayContaining([
        {
          name: "scope",
          passed: true,
          detail: "The key's scopes do not grant items.write; the scope items.write is in shadow.",
        },
      ]),
    });
    expect(await world.check(secret, "items.write")).toMatchObject({
      allowed: true,
      shadowReason: undefined,
      requiredScopes: [],
    });
  });

  it("passes over nothing but the scope: role, location and points refuse as ever", async () => {
    world.reload(scoped("items.read: {}, items.write: {shadow: true}"));
    const fields = { workspaceId: "w1", userId: "bob", type: "live", scopes: ["items.read"] };
    const clerk = (await world.createKey(fields)).secret;
    expect(await world.check(clerk, "items.write")).toMatchObject({ reason: "ROLE_INSUFFICIENT" });
    expect(await world.check(reader, "items.write", { points: 11 })).toMatchObject({
      allowed: false,
      reason: "COST_ABOVE_LIMIT",
      shadowReason: undefined,
      requiredScopes: [],
    });
  });

  it("is one of several that grant it: any of them in shadow is enough", async () => {
    const both = (shadow: string) =>
      scoped(`items.read: {}, items.write: {}, stock: {grants: [items.write]${shadow}}`);
    world.reload(both(", shadow: true"));
    expect(await world.check(reader, "items.write")).toMatchObject({
      allowed: true,
      shadowReason: "SCOPE_INSUFFICIENT",
      requiredScopes: ["items.write", "stock"],
    });
    world.reload(both(""));
    expect(await world.check(reader, "items.write")).toMatchObject({ reason: "SCOPE_INSUFFICIENT" });
  });

  it("opens only what it grants itself, not what it implies", async () => {
    const { secret: none } = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "live",
      scopes: ["items.write"],
    });
    world.reload(scoped("items.read: {}, items.write: {}, stock: {shadow: true, grants: [items.write]}"));
    expect(await world.check(none, "items.read")).toMatchObject({ reason: "SCOPE_INSUFFICIENT" });
    world.reload(
      `${shop
        .replace(
          "scopes: {items.read: {}, items.write: {}}",
          "scopes: {items.read: {}, items.write: {shadow: true}, old: {grants: [ping2]}}",
        )
        .replace("items.write: 2,", "items.write: 2, ping2: 1,")}write_implies_read: true\n`,
    );
    const { secret: old } = await world.createKey({
      workspaceId: "w1",
      userId: "ann",
      type: "live",
      scopes: ["old"],
    });
    expect(await world.check(old, "items.write")).toMatchObject({
      allowed: true,
      shadowReason: "SCOPE_INSUFFICIENT",
    });
    expect(await world.check(old, "items.read")).toMatchObject({ reason: "SCOPE_INSUFFICIENT" });
  });

  it("that is not available to the workspace opens nothing there", async () => {
    const gated = "items.write: {}, trial: {grants: [items.write], shadow: true, requires: {plan: pro}}";
    world.reload(scoped(`items.read: {}, ${gated}`));
    expect(await world.check(reader, "items.write")).toMatchObject({ reason: "SCOPE_INSUFFICIENT" });
    await world.putWorkspace("w1", { plan: "pro", withheldScopes: ["items.write", "trial"] });
    expect(await world.check(reader, "items.write")).toMatchObject({ reason: "SCOPE_UNAVAILABLE" });
    await world.putWorkspace("w1", { plan: "pro" });
    expect(await world.check(reader, "items.write")).toMatchObject({ allowed: true });
  });

  it("comes before a limit in shadow, as the steps do", async () => {
    world.reload(
      scoped("items.read: {}, items.write: {shadow: true}").replace(
        "window: 60s}\n",
        "window: 60s, shadow: true}\n",
      ),
    );
    expect(await world.check(reader, "items.write", { points: 9 })).toMatchObject({
      shadowReason: "SCOPE_INSUFFICIENT",
    });
  });
});
