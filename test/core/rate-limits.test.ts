import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { storeUnavailable, TollgateError } from "../../src/core/errors.ts";
import type { BucketStore, TakeRequest } from "../../src/core/ports.ts";
import {
  createRateLimits,
  type RateLimitDecision,
  type RateLimitDescriptor,
} from "../../src/core/rate-limits.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { withOutage } from "../../src/points/outage.ts";
import { admin, callerWith, createWorld, NO_DEADLINE } from "./world.ts";

const shop = `
api: shop
plans: [free, pro]
requires: {plan: free}
permissions: {items.read: 1, items.list: {cost: 1, any_key: true}}
roles: {owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}}
scopes: {items.read: {}}
key_types:
  bound: {prefix: shop_, workspace: bound, scopes: selected, acts_as: creator}
  roaming: {prefix: shop_any_, workspace: {query: shop}, scopes: all, acts_as: creator}
routes:
  - {match: "GET /items", permission: items.read}
  - {match: "GET /shops", permission: items.list, workspace: none}
limits:
  - {name: minute, per: workspace, points: 10, plan_points: {pro: 20}, window: 60s, block: 30s}
  - {name: each, per: key, points: 8, window: 60s}
  - {name: logins, per: descriptor, descriptor: {remote_address: "*", path: /login}, points: 5, window: 60s, block: 30s}
  - {name: second, per: descriptor, descriptor: {remote_address: "*"}, points: 6, window: 1s}
  - {name: hour, per: descriptor, descriptor: {remote_address: "*"}, points: 12, window: 1h}
`;
const other = `
api: other
permissions: {do: 1}
roles: {admin: {permissions: ["*"], creates_keys: true}}
scopes: {do: {}}
key_types: {token: {prefix: other_, workspace: bound, scopes: selected, acts_as: workspace}}
`;

const manyLimits = `
api: many
permissions: {do: 1}
roles: {admin: {permissions: ["*"], creates_keys: true}}
scopes: {do: {}}
key_types: {token: {prefix: many_, workspace: bound, scopes: selected, acts_as: workspace}}
limits:
${[1, 2, 3, 4].map((hours) => `  - {name: h${hours}, per: descriptor, descriptor: {remote_address: "*"}, points: 10, window: ${hours}h}`).join("\n")}
`;

let world: ReturnType<typeof createWorld>;
let keyId: string;
let secret: string;

beforeEach(async () => {
  world = createWorld(shop);
  await world.putWorkspace("w1", { plan: "free" });
  await world.putMember("w1", "ann", { role: "owner" });
  const made = await world.createKey({
    workspaceId: "w1",
    userId: "ann",
    type: "bound",
    scopes: ["items.read"],
  });
  keyId = made.key.id;
  secret = made.secret;
});

/** Entries by key, and `points`, 1 where not told. */
type Descriptor = Readonly<Record<string, string | number>>;

function limit(
  descriptors: readonly Descriptor[],
  { api = "shop", caller = admin, deadline = NO_DEADLINE } = {},
): Promise<RateLimitDecision> {
  return world.rateLimits.limit(
    {
      api,
      descriptors: asDescriptors(descriptors),
    },
    caller,
    deadline,
  );
}

function asDescriptors(descriptors: readonly Descriptor[]): RateLimitDescriptor[] {
  return descriptors.map(({ points = 1, ...entries }) => ({
    entries: Object.entries(entries).map(([key, value]) => ({ key, value: String(value) })),
    points: Number(points),
  }));
}

/** Of each descriptor: whether it passes, and its tightest limit with what is left of it. */
function statuses({ descriptors }: RateLimitDecision): string[] {
  return descriptors.map(({ allowed, tightest }) => {
    const left = tightest === undefined ? "" : ` ${tightest.charge.limit.name} ${tightest.state.remaining}`;
    return `${allowed ? "passes" : "refused"}${left}`;
  });
}

it("a request that would count in more than 100 buckets at once is refused whole", async () => {
  const addresses = (count: number): Descriptor[] =>
    Array.from({ length: count }, (_, index) => ({ remote_address: `192.0.2.${index}` }));
  const many = createWorld(manyLimits);
  const ask = (count: number): Promise<RateLimitDecision> =>
    many.rateLimits.limit({ api: "many", descriptors: asDescriptors(addresses(count)) }, admin, NO_DEADLINE);
  expect((await ask(25)).limits).toHaveLength(100);
  await expect(ask(26)).rejects.toMatchObject({
    code: "invalid_argument",
    violations: [{ field: "descriptors", description: "they count in 104 buckets, and at most in 100" }],
  });
  expect((await ask(1)).limits).toMatchObject(Array(4).fill({ remaining: 8 }));
});

describe("a key that was checked", () => {
  it("is charged in the buckets that a check of it is charged in", async () => {
    expect((await world.check(secret, "GET /items", { points: 3 })).limits).toMatchObject([
      { limitName: "minute", remaining: 7 },
      { limitName: "each", remaining: 5 },
    ]);
    const decision = await limit([{ key_id: keyId, points: 2 }]);
    expect(decision).toMatchObject({
      api: "shop",
      allowed: true,
      reason: undefined,
      degraded: [],
      limits: [
        { limitName: "minute", remaining: 5 },
        { limitName: "each", remaining: 3 },
      ],
    });
    expect(statuses(decision)).toEqual(["passes each 3"]);
    expect((await world.check(secret, "GET /items", { mode: "peek" })).limits).toMatchObject([
      { remaining: 5 },
      { remaining: 3 },
    ]);
  });

  it("may be told with the workspace that it is bound to, and with no other", async () => {
    await world.putWorkspace("w2", { plan: "free" });
    await world.putMember("w2", "ann", { role: "owner" });
    expect(await limit([{ key_id: keyId, workspace_id: "w1" }])).toMatchObject({
      allowed: true,
      limits: [{ limitName: "minute", remaining: 9 }, { limitName: "each" }],
    });
    expect(await limit([{ key_id: keyId, workspace_id: "w2" }])).toMatchObject({
      allowed: false,
      reason: "WORKSPACE_NOT_ALLOWED",
      limits: [],
    });
  });

  it("is charged in the workspace that the check found, by its plan there; without one by key", async () => {
    await world.putWorkspace("w2", { plan: "pro" });
    await world.putMember("w2", "ann", { role: "owner" });
    const { key, secret } = await world.createKey({ workspaceId: "w1", userId: "ann", type: "roaming" });
    await world.check(secret, "GET /items?shop=w2", { points: 4 });
    expect((await limit([{ key_id: key.id, workspace_id: "w2", points: 3 }])).limits).toMatchObject([
      { limitName: "minute", limit: 20, remaining: 13 },
      { limitName: "each", remaining: 1 },
    ]);
    await world.check(secret, "GET /shops");
    const none = await limit([{ key_id: key.id, points: 0 }]);
    expect(none.limits).toMatchObject([
      { limitName: "minute", limit: 10, remaining: 9 },
      { limitName: "each", remaining: 0 },
    ]);
  });

  it.each<[string, () => Promise<unknown>, string]>([
    [
      "revoked",
      () => world.keys.revoke({ target: { keyId }, reason: "", actorUserId: "" }, admin, NO_DEADLINE),
      "KEY_REVOKED",
    ],
    [
      "whose workspace is suspended",
      () => world.putWorkspace("w1", { suspended: true }),
      "WORKSPACE_SUSPENDED",
    ],
    ["whose workspace's plan is gone", () => world.putWorkspace("w1", { plan: "" }), "PLAN_REQUIRED"],
    [
      "whose owner left",
      () =>
        world.directory.removeMember(
          { directory: "", workspaceId: "w1", userId: "ann", sourceVersion: 0n },
          admin,
          NO_DEADLINE,
        ),
      "NOT_A_MEMBER",
    ],
  ])("and is now one %s is refused, and nothing of the request is charged", async (_, change, reason) => {
    await change();
    const decision = await limit([{ remote_address: "1.1.1.1" }, { key_id: keyId }]);
    expect(decision).toMatchObject({ allowed: false, reason, limits: [], retryAfterMs: 0 });
    expect(statuses(decision)).toEqual(["passes", "refused"]);
    expect(statuses(await limit([{ remote_address: "1.1.1.1", points: 0 }]))).toEqual(["passes second 6"]);
  });

  it("and is unknown, or another api's, is refused", async () => {
    world.reload(shop, other);
    await world.putWorkspace("w1", {}, "other");
    await world.putMember("w1", "ann", { role: "admin" }, "other");
    const { key } = await world.createKey({ api: "other", workspaceId: "w1", userId: "ann", scopes: ["do"] });
    for (const stranger of [key.id, "key_nobody"]) {
      expect(await limit([{ key_id: stranger }])).toMatchObject({ allowed: false, reason: "KEY_UNKNOWN" });
    }
    expect(await limit([{ key_id: key.id }], { api: "other" })).toMatchObject({ allowed: true });
  });

  it.each(["", "x".repeat(70_000), "key\0", "kéy"])(
    "and cannot be an id is refused unasked: %j",
    async (id) => {
      const unasked = () => {
        throw new Error("the stores were asked");
      };
      const rights = {
        within: unasked,
        keyByDigest: unasked,
        keyById: unasked,
        workspace: unasked,
        member: unasked,
        footing: unasked,
        callerToken: unasked,
      };
      const { limit } = createRateLimits({
        policies: world.policies,
        rights,
        buckets: { take: unasked },
        nowMs: world.now,
      });
      const input = { api: "shop", descriptors: [{ entries: [{ key: "key_id", value: id }], points: 1 }] };
      expect(await limit(input, admin, NO_DEADLINE)).toMatchObject({ reason: "KEY_UNKNOWN" });
    },
  );

  it("is not told by key_id beside other entries, nor by workspace_id alone", async () => {
    expect(statuses(await limit([{ key_id: keyId, path: "/" }, { workspace_id: "w1" }]))).toEqual([
      "passes",
      "passes",
    ]);
  });
});

describe("a limit per descriptor", () => {
  it("counts each set of values by itself, in whatever order they come", async () => {
    const login = { remote_address: "1.1.1.1", path: "/login" };
    const elsewhere = { path: "/login", remote_address: "2.2.2.2" };
    expect(statuses(await limit([{ ...login, points: 3 }, elsewhere]))).toEqual([
      "passes logins 2",
      "passes logins 4",
    ]);
    expect(statuses(await limit([{ path: "/login", remote_address: "1.1.1.1" }]))).toEqual([
      "passes logins 1",
    ]);
  });

  it("matches descriptors of exactly its entries, with its values; others pass uncharged", async () => {
    const strangers = [
      { remote_address: "1.1.1.1", path: "/logout" },
      { remote_address: "1.1.1.1", path: "/login", method: "GET" },
      { path: "/login" },
      { remote_addres: "1.1.1.1", path: "/login" },
    ];
    const decision = await limit(strangers.map((stranger) => ({ ...stranger, points: 1_000_000_000 })));
    expect(decision).toMatchObject({ allowed: true, limits: [], points: undefined, degraded: [] });
    expect(statuses(decision)).toEqual(["passes", "passes", "passes", "passes"]);
  });

  it("is charged beside every other that matches, or not at all", async () => {
    const descriptor = { remote_address: "1.1.1.1" };
    expect(await limit([{ ...descriptor, points: 6 }])).toMatchObject({
      limits: [
        { limitName: "second", remaining: 0 },
        { limitName: "hour", remaining: 6 },
      ],
    });
    expect(await limit([descriptor])).toMatchObject({ allowed: false, reason: "POINTS_EXCEEDED" });
    world.wait(1000);
    const last = await limit([{ ...descriptor, points: 6 }]);
    expect(last).toMatchObject({ allowed: true, limits: [{ remaining: 0 }, { remaining: 0 }] });
    world.wait(1000);
    expect(statuses(await limit([descriptor]))).toEqual(["refused hour 0"]);
    expect((await limit([{ ...descriptor, points: 0 }])).limits).toMatchObject([
      { limitName: "second", remaining: 6 },
      { limitName: "hour", remaining: 0 },
    ]);
  });

  it("is of no concern to checks and to consumed points", async () => {
    const names = ["minute", "each"];
    const checked = await world.check(secret, "GET /items");
    const consumed = await world.consume(keyId, 1);
    for (const { limits } of [checked, consumed]) {
      expect(limits.map(({ limitName }) => limitName)).toEqual(names);
    }
  });
});

describe("the descriptors of one request", () => {
  it("are charged all, or none where one is over its limit", async () => {
    const login = { remote_address: "1.1.1.1", path: "/login" };
    await limit([{ ...login, points: 4 }]);
    const decision = await limit([
      { key_id: keyId, points: 3 },
      { ...login, points: 2 },
      { remote_address: "1.1.1.1" },
    ]);
    expect(decision).toMatchObject({ allowed: false, reason: "POINTS_EXCEEDED" });
    expect(decision.retryAfterMs).toBe(60_000);
    expect(statuses(decision)).toEqual(["passes minute 10", "refused logins 0", "passes second 6"]);
    const after = await limit([
      { key_id: keyId, points: 0 },
      { remote_address: "1.1.1.1", points: 0 },
    ]);
    expect(after.limits.map(({ remaining }) => remaining)).toEqual([10, 8, 6, 12]);
  });

  it("that share a bucket are added up there, and each is told what is left for all", async () => {
    const descriptor = { remote_address: "1.1.1.1" };
    const first = await limit([{ ...descriptor, points: 2 }, descriptor]);
    expect(first).toMatchObject({ allowed: true, limits: [{ remaining: 3 }, { remaining: 9 }] });
    expect(statuses(first)).toEqual(["passes second 3", "passes second 3"]);
    const second = await limit([
      { ...descriptor, points: 2 },
      { ...descriptor, points: 2 },
    ]);
    expect(statuses(second)).toEqual(["refused second 3", "refused second 3"]);
  });

  it("of one key in two workspaces share the bucket of the key, with the fewer points", async () => {
    world.reload(shop.replace("points: 8, window", "points: 8, plan_points: {pro: 3}, window"));
    await world.putWorkspace("w2", { plan: "pro" });
    await world.putMember("w2", "ann", { role: "owner" });
    const { key } = await world.createKey({ workspaceId: "w1", userId: "ann", type: "roaming" });
    const in1 = { key_id: key.id, workspace_id: "w1", points: 2 };
    const in2 = { key_id: key.id, workspace_id: "w2", points: 2 };
    for (const both of [
      [in1, in2],
      [in2, in1],
    ]) {
      expect(await limit(both)).toMatchObject({ allowed: false, reason: "COST_ABOVE_LIMIT" });
    }
    expect(statuses(await limit([in1]))).toEqual(["passes each 6"]);
  });

  it("of a cost above a limit itself are refused, charge nothing and start no block", async () => {
    const login = { remote_address: "1.1.1.1", path: "/login" };
    const decision = await limit([{ ...login, points: 6 }, { key_id: keyId }]);
    expect(decision).toMatchObject({ allowed: false, reason: "COST_ABOVE_LIMIT", limits: [] });
    expect(statuses(decision)).toEqual(["refused", "passes"]);
    // Together as well, but for the one that costs nothing.
    const together = await limit([
      { ...login, points: 3 },
      { ...login, points: 0 },
      { ...login, points: 3 },
    ]);
    expect(statuses(together)).toEqual(["refused", "passes", "refused"]);
    expect(
      statuses(
        await limit([
          { ...login, points: 5 },
          { key_id: keyId, points: 0 },
        ]),
      ),
    ).toEqual(["passes logins 0", "passes minute 10"]);
  });

  it("cost nothing with 0 points, and then only a block refuses them", async () => {
    const login = { remote_address: "1.1.1.1", path: "/login" };
    const peek = { ...login, points: 0 };
    await limit([{ ...login, points: 5 }]);
    expect(await limit([peek])).toMatchObject({ allowed: true, limits: [{ remaining: 0, blockedMs: 0 }] });
    expect(statuses(await limit([peek, login]))).toEqual(["passes logins 0", "refused logins 0"]);
    const blocked = await limit([peek, { key_id: keyId }]);
    expect(blocked).toMatchObject({ allowed: false, reason: "BLOCKED", retryAfterMs: 30_000 });
    expect(statuses(blocked)).toEqual(["refused logins 0", "passes minute 10"]);
    world.wait(30_000);
    expect(statuses(await limit([peek, { key_id: keyId }]))).toEqual(["passes logins 0", "passes each 7"]);
  });

  it("are decided like a sum over buckets, whatever they are", async () => {
    const descriptors = fc.array(
      fc.record({
        remote_address: fc.constantFrom("a", "b", "c"),
        points: fc.integer({ min: 0, max: 4 }),
      }),
      { minLength: 1, maxLength: 5 },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(descriptors, { maxLength: 8 }), async (requests) => {
        world.replaceBuckets(createInProcessBuckets({ now: world.now }));
        const left = new Map([..."abc"].map((address) => [address, 6]));
        for (const request of requests) {
          const costs = new Map<string, number>();
          for (const { remote_address: address, points } of request) {
            costs.set(address, (costs.get(address) ?? 0) + points);
          }
          const isAdmitted = [...costs].every(([address, cost]) => cost <= (left.get(address) ?? 0));
          if (isAdmitted)
            for (const [address, cost] of costs) left.set(address, (left.get(address) ?? 0) - cost);
          const decision = await limit(request);
          expect(decision.allowed).toBe(isAdmitted);
          expect(decision.descriptors.every(({ allowed }) => allowed)).toBe(isAdmitted);
          expect(decision.descriptors).toHaveLength(request.length);
        }
        const peeks = [...left.keys()].map((address) => ({ remote_address: address, points: 0 }));
        const { limits } = await limit(peeks);
        const seconds = limits.filter(({ limitName }) => limitName === "second");
        expect(seconds.map(({ remaining }) => remaining)).toEqual([...left.values()]);
      }),
    );
  });
});

describe("a policy in shadow", () => {
  it("refuses nothing, counts, tells what it would have said, and starts no block", async () => {
    const login = { remote_address: "1.1.1.1", path: "/login" };
    world.reload(`${shop}enforcement: shadow\n`);
    await limit([{ ...login, points: 5 }]);
    const decision = await limit([login]);
    expect(decision).toMatchObject({
      allowed: true,
      reason: undefined,
      isShadow: true,
      shadowReason: "POINTS_EXCEEDED",
      retryAfterMs: 0,
    });
    expect(statuses(decision)).toEqual(["passes logins 0"]);
    expect(await limit([{ key_id: "key_nobody" }])).toMatchObject({
      allowed: true,
      shadowReason: "KEY_UNKNOWN",
    });
    world.reload(shop);
    expect(await limit([login])).toMatchObject({ allowed: false, reason: "POINTS_EXCEEDED" });
    expect(await limit([login])).toMatchObject({ reason: "BLOCKED" });
  });
});

describe("a limit in shadow", () => {
  const watched = (name: string) => {
    const line = new RegExp(`(name: ${name}, .*)}`);
    return (policy: string) => policy.replace(line, "$1, shadow: true}");
  };
  const client = { remote_address: "1.1.1.1" };

  it("is never over limit, and tightest of nothing; the others decide, and what it would say is told", async () => {
    world.reload(watched("second")(shop));
    await limit([{ ...client, points: 6 }]);
    const decision = await limit([client]);
    expect(decision).toMatchObject({
      allowed: true,
      reason: undefined,
      isShadow: false,
      shadowReason: "POINTS_EXCEEDED",
      points: { limitName: "hour", remaining: 5 },
      limits: [{ limitName: "second", shadow: { reason: "POINTS_EXCEEDED" } }, { limitName: "hour" }],
    });
    expect(statuses(decision)).toEqual(["passes hour 5"]);
    const refused = await limit([{ ...client, points: 6 }]);
    expect(refused).toMatchObject({
      reason: "POINTS_EXCEEDED",
      shadowReason: undefined,
      retryAfterMs: 3_600_000,
    });
  });

  it("does not refuse what several descriptors cost together", async () => {
    world.reload(watched("second")(shop));
    const decision = await limit([
      { ...client, points: 4 },
      { ...client, points: 4 },
    ]);
    expect(decision).toMatchObject({
      allowed: true,
      shadowReason: "COST_ABOVE_LIMIT",
      limits: [{ limitName: "second", remaining: 6 }, { remaining: 4 }],
    });
    expect(statuses(decision)).toEqual(["passes hour 4", "passes hour 4"]);
  });

  it("of a key is charged as a check charges it", async () => {
    world.reload(watched("each")(shop));
    await limit([{ key_id: keyId, points: 8 }]);
    expect(await limit([{ key_id: keyId }])).toMatchObject({
      allowed: true,
      shadowReason: "POINTS_EXCEEDED",
    });
    expect(await world.check(secret, "GET /items")).toMatchObject({
      allowed: true,
      shadowReason: "POINTS_EXCEEDED",
      limits: [{ remaining: 0 }, { remaining: 0 }],
    });
  });

  it("alone refuses nothing without the store, and beside another is no reason to pass", async () => {
    const down: BucketStore = {
      take: async () => ({ outcome: "unavailable", states: [], decidedBy: "store" }),
    };
    world.reload(watched("logins")(shop));
    world.replaceBuckets(down);
    const login = { ...client, path: "/login" };
    expect(await limit([login])).toMatchObject({
      allowed: true,
      shadowReason: "STORE_UNAVAILABLE",
      degraded: ["points_skipped"],
    });
    const both = await limit([login, client]);
    expect(both).toMatchObject({ allowed: false, reason: "STORE_UNAVAILABLE", shadowReason: undefined });
    expect(statuses(both)).toEqual(["passes", "refused"]);
  });
});

it("with tag: api a key and other descriptors are charged in one shard", async () => {
  const taken: TakeRequest[] = [];
  const buckets = createInProcessBuckets();
  world.reload(`${shop}tag: api\n`);
  world.replaceBuckets({
    take(request, deadline) {
      taken.push(request);
      return buckets.take(request, deadline);
    },
  });
  expect(await limit([{ key_id: keyId }, { remote_address: "1.1.1.1", path: "/login" }])).toMatchObject({
    allowed: true,
  });
  expect(taken.flatMap(({ charges }) => charges.map(({ shardBy }) => shardBy))).toEqual([
    "shop",
    "shop",
    "shop",
  ]);
});

describe("what cannot be decided is an error", () => {
  it.each<[string, readonly Descriptor[], object, object]>([
    ["an unknown api", [{ a: "1" }], { api: "none" }, { code: "not_found", reason: "API_UNKNOWN" }],
    [
      "a caller token of other apis",
      [{ a: "1" }],
      { caller: callerWith(["consume"], ["other"]) },
      { code: "permission_denied", reason: "API_NOT_GRANTED" },
    ],
    [
      "33 descriptors",
      Array.from({ length: 33 }, () => ({ a: "1" })),
      {},
      { code: "invalid_argument", violations: [{ field: "descriptors" }] },
    ],
  ])("%s", async (_, descriptors, options, error) => {
    await expect(limit(descriptors, options)).rejects.toMatchObject(error);
  });

  it("a key that stands twice in a descriptor", async () => {
    const twice = [
      { key: "a", value: "1" },
      { key: "a", value: "2" },
    ];
    const input = {
      api: "shop",
      descriptors: [
        { entries: twice.slice(1), points: 1 },
        { entries: twice, points: 1 },
      ],
    };
    await expect(world.rateLimits.limit(input, admin, NO_DEADLINE)).rejects.toMatchObject({
      code: "invalid_argument",
      violations: [{ field: "descriptors[1].entries" }],
    });
  });

  it("a deadline that has passed, and nothing is charged", async () => {
    const descriptor = { remote_address: "1.1.1.1" };
    const late = limit([descriptor], { deadline: performance.now() - 1 });
    await expect(late).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(statuses(await limit([{ ...descriptor, points: 0 }]))).toEqual(["passes second 6"]);
  });

  it("a deadline that passes while the points are taken", async () => {
    const deadline = performance.now() + 5;
    world.replaceBuckets({
      async take() {
        while (performance.now() <= deadline);
        return { outcome: "admitted", states: [], decidedBy: "nobody" };
      },
    });
    const late = limit([{ remote_address: "1.1.1.1" }], { deadline });
    await expect(late).rejects.toMatchObject({ code: "deadline_exceeded" });
  });

  it("limits that no one step of a Redis Cluster can charge", async () => {
    world.replaceBuckets({
      async take() {
        throw new TollgateError("internal", "Several shards.", { reason: "CROSS_SHARD" });
      },
    });
    const mixed = limit([{ key_id: keyId }, { remote_address: "1.1.1.1" }]);
    await expect(mixed).rejects.toMatchObject({
      code: "failed_precondition",
      reason: "CROSS_SHARD",
      message: expect.stringContaining("minute, each, second, hour"),
    });
  });
});

describe("while the points' store does not answer", () => {
  /** Two replicas' share of it, in front of a store that never answers; and what it was asked. */
  function replaceByDown(): TakeRequest[] {
    const asked: TakeRequest[] = [];
    const down: BucketStore = {
      async take(request) {
        asked.push(request);
        throw storeUnavailable("redis", new Error("gone"));
      },
    };
    world.replaceBuckets(withOutage(down, { budgetMs: 25, liveReplicas: () => 2 }));
    return asked;
  }

  it("deny refuses each descriptor that a limit matches", async () => {
    world.reload(`${shop}on_outage: deny\n`);
    replaceByDown();
    const decision = await limit([{ remote_address: "1.1.1.1", points: 0 }, { a: "1" }, { key_id: keyId }]);
    expect(decision).toMatchObject({ allowed: false, reason: "STORE_UNAVAILABLE", degraded: [], limits: [] });
    expect(statuses(decision)).toEqual(["refused", "passes", "refused"]);
  });

  it("local decides by this replica's share, and says so", async () => {
    replaceByDown();
    const login = { remote_address: "1.1.1.1", path: "/login" };
    expect(await limit([{ ...login, points: 2 }])).toMatchObject({
      allowed: true,
      degraded: ["points_local"],
    });
    expect(await limit([login])).toMatchObject({ reason: "POINTS_EXCEEDED", degraded: ["points_local"] });
    expect(await limit([{ remote_address: "1.1.1.1", points: 4 }])).toMatchObject({
      reason: "STORE_UNAVAILABLE",
      degraded: ["points_local"],
    });
  });

  it("allow lets pass, and says so", async () => {
    world.reload(`${shop}on_outage: allow\n`);
    replaceByDown();
    const decision = await limit([{ remote_address: "1.1.1.1" }]);
    expect(decision).toMatchObject({ allowed: true, degraded: ["points_skipped"], limits: [] });
    expect(statuses(decision)).toEqual(["passes"]);
  });

  it("waits for it 15 ms at most, since Envoy waits 20", async () => {
    const asked = replaceByDown();
    await limit([{ remote_address: "1.1.1.1" }]);
    expect(asked).toMatchObject([{ budgetMs: 15, mode: "enforce", requestId: "" }]);
  });
});
