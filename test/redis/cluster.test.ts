import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { withOutage } from "../../src/points/outage.ts";
import { createRedis, isCluster } from "../../src/redis/connect.ts";
import { createRedisBuckets, type RedisCall } from "../../src/redis/redis-buckets.ts";
import { createRedisCorrections } from "../../src/redis/redis-corrections.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { freePort } from "../support/free-port.ts";
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

test("points are given back on whatever node keeps them, of several limits at once", async () => {
  const store = createRedisBuckets(cluster, { budgetMs: 10_000 });
  const corrections = createRedisCorrections(cluster);
  for (let workspace = 0; workspace < 40; workspace++) {
    const charges = [1, 2].map(() => ({
      ...chargeOf({ points: 10, cost: 8 }),
      shardBy: `given-${workspace}`,
    }));
    await store.take(takeOf(charges), inTime());
    const some = { charges: charges.map((charge) => ({ ...charge, cost: 3 })), requestId: "g" };
    for (let call = 0; call < 2; call++) {
      expect(await corrections.giveBack({ ...some, what: "cost" }, inTime())).toEqual([3, 3]);
    }
    const { states } = await store.take(takeOf(charges, { mode: "peek" }), inTime());
    expect(states.map(({ remaining }) => remaining)).toEqual([5, 5]);
    await corrections.giveBack({ ...some, what: "all" }, inTime());
    expect((await store.take(takeOf(charges), inTime())).outcome).toBe("admitted");
  }
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

test("a take over two shards is an internal error of its own: it could not be one step", async () => {
  const store = withOutage(createRedisBuckets(cluster, { budgetMs: 10_000 }), {
    budgetMs: 10_000,
    liveReplicas: () => 1,
  });
  const charges = ["one", "another", "a third"].map((shardBy) => ({ ...chargeOf(), shardBy }));
  for (let round = 0; round < 5; round++) {
    const [over, within] = await Promise.allSettled([
      store.take(takeOf(charges), inTime()),
      store.take(takeOf(chargeOf()), inTime()),
    ]);
    expect(over).toMatchObject({ status: "rejected", reason: { code: "internal", reason: "CROSS_SHARD" } });
    expect(within).toMatchObject({ status: "fulfilled", value: { decidedBy: "store" } });
  }
  expect(store.breakerState).toBe("closed");
});

test("8000 takes of one turn over all shards are all decided by a healthy cluster", async () => {
  // Far less than all of them take together, on any machine.
  const store = createRedisBuckets(cluster, { budgetMs: 100 });
  const charges = Array.from({ length: 8000 }, (_, index) => ({ ...chargeOf(), shardBy: `w${index}` }));
  // So that each node has the script.
  const warm = createRedisBuckets(cluster, { budgetMs: 10_000 });
  await Promise.all(charges.map((charge) => warm.take(takeOf(charge), inTime())));
  const outcomes = await Promise.allSettled(charges.map((charge) => store.take(takeOf(charge), inTime())));
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(8000);
});

test("the client of a cluster is told from that of one server", async () => {
  const server = await startRedis();
  const redis = await createRedis(server.url, { onError: () => {} });
  expect([isCluster(cluster), isCluster(redis)]).toEqual([true, false]);
  redis.disconnect();
  await server.stop();
});

test("the start is refused when the cluster announces a node that cannot be reached", async () => {
  const server = await startRedis({ args: ["--cluster-enabled", "yes"] });
  const admin = new Redis(server.url, { protocol: 2 });
  await admin.cluster("ADDSLOTS", ...Array.from({ length: SLOTS }, (_, slot) => slot));
  while (!(await admin.cluster("INFO")).includes("cluster_state:ok")) await admin.ping();
  await admin.config("SET", "cluster-announce-ip", "127.0.0.2");
  await admin.config("SET", "cluster-announce-port", String(await freePort()));
  const refused = createRedis(server.url, { onError: () => {}, connectTimeoutMs: 500 });
  await expect(refused).rejects.toMatchObject({ code: "unavailable", reason: "REDIS_UNREACHABLE" });
  admin.disconnect();
  await server.stop();
});
