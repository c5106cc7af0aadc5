import { readFileSync } from "node:fs";
import { type Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { createRedisCorrections } from "../../src/redis/redis-corrections.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { freePort } from "../support/free-port.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { until } from "../support/until.ts";

/** The words of `ACL SETUSER …` as docs/points.md has them: of Redis, then of the Sentinels. */
const documented = readFileSync(inRepository("docs", "points.md"), "utf8")
  .split("\n")
  .map((line) => line.trim())
  .filter((line) => line.startsWith("ACL SETUSER "))
  .map((line) => line.split(" ").slice(2));

const [user = [], sentinelUser = []] = documented;
const commands = user.filter((word) => word.startsWith("+")).map((word) => word.slice(1));
/** What a server alone has no use for. */
const ofClusters = ["cluster|slots", "cluster|info", "asking"];

let server: RedisServer;
let admin: Redis;
beforeAll(async () => {
  server = await startRedis();
  admin = new Redis(server.url, { protocol: 2 });
});
afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

function urlOf({ port }: RedisServer, database = ""): string {
  return `redis://tollgate:password@127.0.0.1:${port}${database}`;
}

async function setUser(client: Redis, words: readonly string[]): Promise<void> {
  await client.call("ACL", "SETUSER", "tollgate", "reset");
  await client.call("ACL", "SETUSER", ...words);
}

/** A cluster of one node. */
async function startNode(): Promise<{ node: RedisServer; nodeAdmin: Redis }> {
  const node = await startRedis({
    args: [
      ...["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"],
      ...["--cluster-port", String(await freePort())],
    ],
  });
  const nodeAdmin = new Redis(node.url, { protocol: 2 });
  await nodeAdmin.cluster("ADDSLOTS", ...Array.from({ length: 16_384 }, (_, slot) => slot));
  await until(async () => (await nodeAdmin.cluster("INFO")).includes("cluster_state:ok"));
  return { node, nodeAdmin };
}

/** Takes of each shape, repeats, blocks, points given back. Throws what fails. */
async function useAll(redis: Redis | Cluster): Promise<void> {
  const store = createRedisBuckets(redis, { budgetMs: 10_000 });
  const corrections = createRedisCorrections(redis);
  await store.prepare();
  for (const shape of ["sliding", "fixed", "bucket"] as const) {
    const charge = chargeOf({ shape, points: 10, cost: 4, blockMs: 60_000 });
    for (const requestId of ["a", "a", "b"]) await store.take(takeOf(charge, { requestId }), inTime());
    expect((await store.take(takeOf(charge), inTime())).outcome).toBe("exceeded");
    await corrections.giveBack({ charges: [charge], requestId: "g", what: "cost" }, inTime());
    await corrections.giveBack({ charges: [charge], requestId: "", what: "all" }, inTime());
    expect((await store.take(takeOf(charge), inTime())).states[0]?.remaining).toBe(6);
  }
}

async function refusal(url: string): Promise<TollgateError> {
  const outcome = await createRedis(url, { onError: () => {} }).then(
    (redis) => redis.disconnect(),
    (error: unknown) => error,
  );
  if (!(outcome instanceof TollgateError)) throw new Error("it was not refused", { cause: outcome });
  return outcome;
}

test("docs/points.md has a user for Redis and one for its Sentinels", () => {
  expect(documented).toHaveLength(2);
  expect(user.slice(0, 5)).toEqual(["tollgate", "on", ">password", "~tg:*", "-@all"]);
  expect(sentinelUser).toEqual([
    ...["tollgate", "on", ">password", "-@all"],
    ...["+sentinel|get-master-addr-by-name", "+sentinel|master"],
  ]);
});

describe("the documented user", () => {
  test("may do all that Tollgate does, and connect again, on a server", async () => {
    await setUser(admin, user);
    const told: (string | undefined)[] = [];
    const redis = await createRedis(urlOf(server, "/3"), {
      onError: () => {},
      onReconnect: (problem) => told.push(problem),
    });
    await useAll(redis);
    await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    await until(() => told.length > 0);
    expect(told).toEqual([undefined]);
    await useAll(redis);
    redis.disconnect();
  });

  test("may do all that Tollgate does in a cluster", async () => {
    const { node, nodeAdmin } = await startNode();
    await setUser(nodeAdmin, user);
    const cluster = await createRedis(urlOf(node), { onError: () => {} });
    expect(cluster.isCluster).toBe(true);
    await useAll(cluster);
    cluster.disconnect();
    nodeAdmin.disconnect();
    await node.stop();
  });

  for (const command of commands.filter((each) => !ofClusters.includes(each))) {
    test(`is refused at the start without ${command}`, async () => {
      await setUser(admin, [...user, `-${command}`]);
      const error = await refusal(urlOf(server, "/3"));
      expect(error).toMatchObject({ code: "failed_precondition", reason: "REDIS_REFUSED" });
      expect(error.message.toLowerCase()).toMatch(new RegExp(`\\b${command.replace("|", " ")}\\b`));
      expect(error.message).toContain("docs/points.md");
    });
  }

  for (const command of ofClusters) {
    test(`is refused by a cluster without ${command}`, async () => {
      const { node, nodeAdmin } = await startNode();
      await setUser(nodeAdmin, [...user, `-${command}`]);
      const error = await refusal(urlOf(node));
      expect(error.message).toContain(command.replace("|", " ").toUpperCase());
      nodeAdmin.disconnect();
      await node.stop();
    });
  }

  test("is refused at the start without the keys", async () => {
    await setUser(
      admin,
      user.map((word) => (word === "~tg:*" ? "~other:*" : word)),
    );
    expect((await refusal(urlOf(server))).message).toContain("on the keys tg:*");
  });

  test("that may not select the database any more charges nothing in another, and goes on there when it may again", async () => {
    await setUser(admin, user);
    await admin.flushall();
    const told: (string | undefined)[] = [];
    const redis = (await createRedis(urlOf(server, "/3"), {
      onError: () => {},
      onReconnect: (problem) => told.push(problem),
    })) as Redis;
    let becameReady = 0;
    redis.on("ready", () => becameReady++);
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    const charge = chargeOf({ points: 10, cost: 4 });
    await store.take(takeOf(charge), inTime());
    await setUser(admin, [...user, "-select"]);
    await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    // Several attempts, each of which could have been used.
    await until(() => told.length >= 3);
    await expect(store.take(takeOf(charge), inTime())).rejects.toThrow("did not answer");
    expect([await admin.dbsize(), becameReady]).toEqual([0, 0]);
    expect(new Set(told)).toEqual(new Set([expect.stringMatching(/database 3.*NOPERM/s)]));
    await setUser(admin, user);
    await until(() => told.at(-1) === undefined);
    expect((await store.take(takeOf(charge), inTime())).states[0]?.remaining).toBe(2);
    expect(await admin.dbsize()).toBe(0);
    redis.disconnect();
  });

  test("that loses a command is told when it connects again", async () => {
    await setUser(admin, user);
    const told: (string | undefined)[] = [];
    const redis = await createRedis(urlOf(server), {
      onError: () => {},
      onReconnect: (problem) => told.push(problem),
    });
    for (const lost of ["del", "info"]) {
      const before = told.length;
      await setUser(admin, [...user, `-${lost}`]);
      await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await until(() => told.length > before);
      expect(told.at(-1)?.toLowerCase()).toContain(lost);
    }
    redis.disconnect();
  });
});
