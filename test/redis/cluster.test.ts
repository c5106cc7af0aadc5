import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets, type RedisCall } from "../../src/redis/redis-buckets.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

const SLOTS = 16_384;

let servers: readonly RedisServer[];
let cluster: Cluster;

beforeAll(async () => {
  const clusterArgs = ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"];
  // Its bus listens on the port + 10000.
  servers = await Promise.all([startRedis({ args: clusterArgs }), startRedis({ args: clusterArgs })]);
  const admins = servers.map(({ url }) => new Redis(url, { protocol: 2 }));
  const half = SLOTS / 2;
  await Promise.all(
    admins.map((admin, node) =>
      admin.cluster("ADDSLOTS", ...Array.from({ length: half }, (_, slot) => node * half + slot)),
    ),
  );
  await admins[0]?.cluster("MEET", "127.0.0.1", servers[1]?.port ?? 0);
  for (const admin of admins) {
    while (!(await admin.cluster("INFO")).includes("cluster_state:ok")) await admin.ping();
    admin.disconnect();
  }
  cluster = (await createRedis(servers[0]?.url ?? "", {
    onError: (error) => {
      throw error;
    },
  })) as Cluster;
});
afterAll(async () => {
  cluster.disconnect();
  await Promise.all(servers.map((server) => server.stop()));
});

test("a server in cluster mode is reached as a cluster, whose nodes are all used", async () => {
  expect(cluster).toBeInstanceOf(Cluster);
  const store = createRedisBuckets(cluster, { budgetMs: 10_000 });
  const charges = Array.from({ length: 100 }, (_, workspace) => ({
    ...chargeOf({ points: 300, cost: 2 }),
    shardBy: `workspace-${workspace}`,
  }));
  await Promise.all(charges.map((charge) => store.take(takeOf(charge, { requestId: "r" }), inTime())));
  const held = await Promise.all(cluster.nodes("master").map((node) => node.dbsize()));
  expect(held).toHaveLength(2);
  expect(Math.min(...held)).toBeGreaterThan(0);
  expect(held.reduce((sum, count) => sum + count, 0)).toBe(200);
});

test("takes of one turn go in one call a shard, and each bucket stays exact", async () => {
  const calls: RedisCall[] = [];
  const store = createRedisBuckets(cluster, {
    budgetMs: 10_000,
    shards: 4,
    observe: (call) => calls.push(call),
  });
  const charges = Array.from({ length: 20 }, (_, workspace) => ({
    ...chargeOf({ points: 20, cost: 2 }),
    shardBy: `workspace-${workspace}`,
  }));
  await Promise.all(charges.map((charge) => store.take(takeOf(charge, { mode: "peek" }), inTime())));
  calls.length = 0;
  const answers = await Promise.all(
    charges.flatMap((charge) => Array.from({ length: 15 }, () => store.take(takeOf(charge), inTime()))),
  );
  expect(answers.filter(({ outcome }) => outcome === "admitted")).toHaveLength(20 * 10);
  expect(calls.length).toBeLessThanOrEqual(4 * 3);
});

test("a take over two shards is refused as an error: it could not be one step", async () => {
  const store = createRedisBuckets(cluster, { budgetMs: 10_000 });
  const charges = ["one", "another", "a third"].map((shardBy) => ({ ...chargeOf(), shardBy }));
  await expect(store.take(takeOf(charges), inTime())).rejects.toMatchObject({ code: "unavailable" });
});
