import { Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Charge } from "../../src/core/ports.ts";
import { NoReply } from "../../src/points/no-reply.ts";
import { withOutage } from "../../src/points/outage.ts";
import { createRedis, isCluster } from "../../src/redis/connect.ts";
import { createKeyNames } from "../../src/redis/key-names.ts";
import { createRedisBuckets, type RedisCall } from "../../src/redis/redis-buckets.ts";
import { createRedisCorrections } from "../../src/redis/redis-corrections.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { freePort } from "../support/free-port.ts";
import { type NodeProxy, startNodeProxy } from "../support/node-proxy.ts";
import { startRedis } from "../support/redis.ts";
import { type MasterNode, type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { until } from "../support/until.ts";

const SLOTS = 16_384;

let whole: RedisCluster;
let cluster: Cluster;

beforeAll(async () => {
  whole = await startRedisCluster({ masters: 2 });
  cluster = await connectTo(whole);
});
afterAll(async () => {
  cluster.disconnect();
  await whole.stop();
});

async function connectTo({ nodes }: RedisCluster): Promise<Cluster> {
  const client = await createRedis(nodes[0]?.server.url ?? "", {
    onError: (error) => {
      throw error;
    },
  });
  return client as Cluster;
}

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
  const server = await startRedis({
    args: ["--cluster-enabled", "yes", "--cluster-port", String(await freePort())],
  });
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

test("any node leads to the cluster, a replica too: it may have been the master when its name was written down", async () => {
  const [master] = await whole.masters();
  const replica = await createRedis(master?.replicas[0]?.server.url ?? "", { onError: () => {} });
  const { outcome } = await createRedisBuckets(replica, { budgetMs: 10_000 }).take(
    takeOf(chargeOf()),
    inTime(),
  );
  expect(outcome).toBe("admitted");
  replica.disconnect();
});

test("a replica never answers for its master, whose connections were all cut", async () => {
  const proxies: NodeProxy[] = [];
  const one = await startRedisCluster({
    masters: 1,
    announce: async (port) => {
      const proxy = await startNodeProxy({ toPort: port });
      proxies.push(proxy);
      return proxy.port;
    },
  });
  const [master] = (await one.masters()) as [MasterNode];
  // A master tells of its replica once that has something.
  await master.admin.set("something", "to follow");
  await until(async () => String(await master.admin.cluster("SLOTS")).includes(String(proxies[1]?.port)));
  const client = await connectTo(one);
  const store = createRedisBuckets(client, { budgetMs: 10_000 });
  const charge = chargeOf({ points: 10, cost: 4 });
  for (const proxy of proxies) proxy.stallReplicas();
  await store.take(takeOf(charge), inTime());
  for (let round = 0; round < 5; round++) {
    await master.admin.call("CLIENT", "KILL", "TYPE", "normal");
    await until(() => client.nodes("master").length === 0);
    const { states } = await store.take(takeOf(charge, { mode: "peek" }), inTime());
    expect(states.map(({ remaining }) => remaining)).toEqual([6]);
  }
  client.disconnect();
  await one.stop();
  for (const proxy of proxies) await proxy.stop();
});

test("takes follow a master's successor within seconds, though the master only fell silent", async () => {
  const three = await startRedisCluster({ nodeTimeoutMs: 1500 });
  const client = await connectTo(three);
  const store = createRedisBuckets(client, { budgetMs: 100 });
  const [master] = (await three.masters()) as [MasterNode];
  const charge = await chargeKeptBy(master);
  await until(() => answers(store.take(takeOf(charge), inTime())));
  master.server.pause();
  await three.takenOver(master);
  // Less than the driver waits for a silent connection.
  const deadlineMs = performance.now() + 6000;
  let follows = false;
  await until(async () => {
    follows = await answers(store.take(takeOf(charge), inTime()));
    return follows || performance.now() > deadlineMs;
  });
  expect(follows).toBe(true);
  master.server.resume();
  client.disconnect();
  await three.stop();
});

test("a take does not wait for a cluster that is down, and is known to have done nothing", async () => {
  const one = await startRedisCluster({ masters: 1, replicas: 0 });
  const client = await connectTo(one);
  const store = createRedisBuckets(client, { budgetMs: 10_000 });
  await one.nodes[0]?.admin.cluster("DELSLOTS", 0);
  const error = await store.take(takeOf(chargeOf()), inTime()).catch((caught: Error) => caught);
  expect(error).toMatchObject({
    code: "unavailable",
    cause: { message: expect.stringMatching(/^CLUSTERDOWN /) },
  });
  expect((error as Error).cause).not.toBeInstanceOf(NoReply);
  client.disconnect();
  await one.stop();
});

test("a node that a moving slot is asked of and that refuses fails the take, and nothing else", async () => {
  const [from, to] = (await whole.masters()) as [MasterNode, MasterNode];
  const charge = await chargeKeptBy(from);
  const slot = await from.admin.cluster("KEYSLOT", createKeyNames({ shards: 64 }).bucket(charge));
  await to.admin.cluster("SETSLOT", slot, "IMPORTING", from.id);
  await from.admin.cluster("SETSLOT", slot, "MIGRATING", to.id);
  await to.admin.call("ACL", "SETUSER", "default", "-asking");
  const store = createRedisBuckets(cluster, { budgetMs: 10_000 });
  await expect(store.take(takeOf(charge), inTime())).rejects.toMatchObject({ code: "unavailable" });
  await to.admin.call("ACL", "SETUSER", "default", "+asking");
  expect((await store.take(takeOf(charge), inTime())).outcome).toBe("admitted");
  for (const { admin } of [from, to]) await admin.cluster("SETSLOT", slot, "STABLE");
});

async function answers(take: Promise<unknown>): Promise<boolean> {
  return take.then(
    () => true,
    () => false,
  );
}

async function chargeKeptBy({ admin, slots }: MasterNode): Promise<Charge> {
  const names = createKeyNames({ shards: 64 });
  for (let number = 0; ; number++) {
    const charge = { ...chargeOf(), shardBy: `kept-${number}` };
    const slot = await admin.cluster("KEYSLOT", names.bucket(charge));
    if (slots.some(([first, last]) => first <= slot && slot <= last)) return charge;
  }
}
