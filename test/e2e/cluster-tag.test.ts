import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { admin, createWorld } from "../core/world.ts";
import { freePort } from "../support/free-port.ts";
import { createJsonApi, succeed } from "../support/json-api.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { PATIENT, startTollgate } from "../support/server-process.ts";

/** Limits of every kind of subject, for keys that name their workspace: they lie in several shards. */
const SPANNING = `
api: shop
permissions: {read: {cost: 1, any_key: true}}
roles: {owner: {permissions: ["*"], creates_keys: true}}
key_types: {token: {prefix: shop_, workspace: {query: shop}, scopes: all, acts_as: creator}}
limits:
  - {name: all, per: api, points: 7, window: 60s}
  - {name: shop, per: workspace, points: 5, window: 60s}
  - {name: each, per: key, points: 6, window: 60s}
  - {name: trial, per: user, points: 1, window: 60s, shadow: true}
  - {name: client, per: descriptor, descriptor: {remote_address: "*"}, points: 9, window: 60s}
`;
const TAGGED = `${SPANNING}tag: api\n`;

const folder = mkdtempSync(join(tmpdir(), "tollgate-tag-"));
let server: RedisServer;
let cluster: Cluster;

beforeAll(async () => {
  // Without a peer that tells it, it does not know its own address.
  const announced = ["--cluster-announce-ip", "127.0.0.1", "--cluster-port", String(await freePort())];
  server = await startRedis({ args: ["--cluster-enabled", "yes", ...announced] });
  const node = new Redis(server.url, { protocol: 2 });
  await node.cluster("ADDSLOTSRANGE", 0, 16_383);
  while (!(await node.cluster("INFO")).includes("cluster_state:ok")) await node.ping();
  node.disconnect();
  cluster = (await createRedis(server.url, {
    onError: (error) => {
      throw error;
    },
  })) as Cluster;
});
afterAll(async () => {
  cluster.disconnect();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

function environment(policy: string): Record<string, string> {
  const policies = mkdtempSync(join(folder, "policies-"));
  writeFileSync(join(policies, "shop.yaml"), policy);
  return {
    TOLLGATE_POLICIES: policies,
    TOLLGATE_DATA_DIR: mkdtempSync(join(folder, "data-")),
    TOLLGATE_LISTEN: "127.0.0.1:0",
    TOLLGATE_METRICS_LISTEN: "off",
    TOLLGATE_POINTS_BUDGET: PATIENT,
    REDIS_URL: server.url,
  };
}

test("limits that span shards do not start in Cluster without tag: api, which the message names", async () => {
  const { code, stderr } = await runTollgate(["serve"], { env: environment(SPANNING), mayFail: true });
  expect(code).not.toBe(0);
  expect(stderr).toMatch(/In Redis Cluster .*those of shop do not.*tag: api/s);
});

test("with tag: api they start, and every limit is charged in one step", async () => {
  const tollgate = await startTollgate({ env: environment(TAGGED) });
  const call = createJsonApi(tollgate.url, tollgate.adminToken);
  try {
    for (const id of ["w1", "w2"]) {
      await succeed(call("DirectoryService/PutWorkspace", { workspace: { id } }));
      const member = { workspaceId: id, userId: "ann", role: "owner", allLocations: true };
      await succeed(call("DirectoryService/PutMember", { member }));
    }
    const made = await succeed(call("CreateKey", { workspaceId: "w1", userId: "ann", name: "test" }));
    const check = (workspaceId: string, points: number) =>
      succeed(call("Check", { key: made.body.secret, permission: "read", workspaceId, points }));
    expect((await check("w1", 3)).body).toMatchObject({
      allowed: true,
      shadowReason: "DENY_REASON_COST_ABOVE_LIMIT",
      points: { limitName: "shop", remaining: 2 },
      limits: [
        { limitName: "all", remaining: 4, shadow: false },
        { limitName: "shop", remaining: 2 },
        { limitName: "each", remaining: 3 },
        { limitName: "trial", remaining: 1, shadow: true, shadowReason: "DENY_REASON_COST_ABOVE_LIMIT" },
      ],
    });
    expect((await check("w2", 3)).body.limits).toMatchObject([
      { remaining: 1 },
      { remaining: 2 },
      { remaining: 0 },
      { remaining: 1 },
    ]);
    expect((await check("w2", 1)).body).toMatchObject({
      allowed: false,
      reason: "DENY_REASON_POINTS_EXCEEDED",
      points: { limitName: "each" },
    });
  } finally {
    await tollgate.stop();
  }
});

test("descriptors of a key and of others are charged in one step with tag: api, and cannot be without", async () => {
  const limit = async (policy: string) => {
    const world = createWorld(policy);
    const store = createRedisBuckets(cluster, { budgetMs: 10_000 });
    // The rate limit service's own budget is Envoy's; here it is about what is charged, not about when.
    world.replaceBuckets({
      take: (request, deadline) => store.take({ ...request, budgetMs: 10_000 }, deadline),
    });
    await world.putWorkspace("w1");
    await world.putMember("w1", "ann", { role: "owner" });
    const { key } = await world.createKey({ workspaceId: "w1", userId: "ann" });
    const descriptors = [{ key_id: key.id, workspace_id: "w1" }, { remote_address: "192.0.2.1" }];
    return world.rateLimits.limit(
      {
        api: "shop",
        descriptors: descriptors.map((entries) => ({
          entries: Object.entries(entries).map(([name, value]) => ({ key: name, value })),
          points: 1,
        })),
      },
      admin,
      performance.now() + 10_000,
    );
  };
  await expect(limit(SPANNING)).rejects.toMatchObject({
    reason: "CROSS_SHARD",
    message: expect.stringContaining("tag: api"),
  });
  await cluster.nodes("master")[0]?.flushall();
  expect(await limit(TAGGED)).toMatchObject({
    allowed: true,
    limits: [{ remaining: 6 }, { remaining: 4 }, { remaining: 5 }, { remaining: 0 }, { remaining: 8 }],
  });
});
