import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { freePort } from "../support/free-port.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { until } from "../support/until.ts";

const onError = (): void => {};

/** What createRedis throws for a URL, which is to be a TollgateError that names REDIS_URL. */
async function refusal(url: string): Promise<TollgateError> {
  const outcome = await createRedis(url, { onError, connectTimeoutMs: 2000 }).then(
    (redis) => redis.disconnect(),
    (error: unknown) => error,
  );
  if (!(outcome instanceof TollgateError))
    throw new Error("createRedis threw no TollgateError", { cause: outcome });
  expect(outcome.message).toContain("REDIS_URL");
  return outcome;
}

describe("a server that asks for a password", () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await startRedis({ args: ["--requirepass", "correct-horse"] });
  });
  afterAll(() => server.stop());

  const withPassword = (password: string): string => `redis://:${password}@127.0.0.1:${server.port}`;

  test("is reached with it", async () => {
    const redis = await createRedis(withPassword("correct-horse"), { onError });
    expect(redis.status).toBe("ready");
    redis.disconnect();
  });

  test("refuses the start without one, and with a wrong one, and neither the error nor its cause tells it", async () => {
    for (const url of [server.url, withPassword("battery-staple")]) {
      const error = await refusal(url);
      expect(error).toMatchObject({ code: "failed_precondition", reason: "REDIS_REFUSED" });
      expect(error.message).toMatch(/NOAUTH|WRONGPASS/);
      expect(error.message).toContain(`redis://127.0.0.1:${server.port}`);
      expect(
        JSON.stringify([error, error.message, error.stack, error.cause, String(error.cause)]),
      ).not.toContain("battery-staple");
      expect(Object.keys(error.cause as Error)).toEqual([]);
    }
  });
});

test("a server that evicts when it is reached again is told at each reconnect, until it does not any more", async () => {
  const server = await startRedis();
  const told: (string | undefined)[] = [];
  const redis = (await createRedis(server.url, {
    onError,
    onReconnect: (problem) => told.push(problem),
  })) as Redis;
  expect(told).toEqual([]);
  const admin = (await createRedis(server.url, { onError })) as Redis;
  const reconnect = async (): Promise<void> => {
    const before = told.length;
    await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
    await until(() => told.length > before);
  };
  await admin.config("SET", "maxmemory-policy", "allkeys-lru");
  await reconnect();
  await reconnect();
  await admin.config("SET", "maxmemory-policy", "noeviction");
  await reconnect();
  expect(told).toEqual([
    expect.stringContaining("maxmemory-policy is allkeys-lru"),
    expect.stringContaining("maxmemory-policy is allkeys-lru"),
    undefined,
  ]);
  redis.disconnect();
  admin.disconnect();
  await server.stop();
});

describe("the start is refused", () => {
  for (const policy of ["allkeys-lru", "volatile-ttl"]) {
    test(`where the server may evict keys (${policy})`, async () => {
      const server = await startRedis({ args: ["--maxmemory-policy", policy] });
      const error = await refusal(server.url);
      expect(error).toMatchObject({ code: "failed_precondition", reason: "REDIS_UNFIT" });
      expect(error.message).toContain(`maxmemory-policy is ${policy}`);
      expect(error.message).toContain("noeviction");
      await server.stop();
    });
  }

  test("by a replica", async () => {
    const server = await startRedis({ args: ["--replicaof", `127.0.0.1 ${await freePort()}`] });
    expect((await refusal(server.url)).message).toContain("replica");
    await server.stop();
  });

  test("where nobody listens", async () => {
    const error = await refusal(`redis://someone:hidden@127.0.0.1:${await freePort()}`);
    expect(error).toMatchObject({ code: "unavailable", reason: "REDIS_UNREACHABLE" });
    expect(error.message).toContain("ECONNREFUSED");
    expect(error.message).not.toContain("hidden");
  });

  test("where the server accepts connections and does not answer", async () => {
    const server = await startRedis();
    server.pause();
    const error = await refusal(server.url);
    expect(error).toMatchObject({ code: "unavailable", reason: "REDIS_UNREACHABLE" });
    server.resume();
    await server.stop();
  });

  test("for a database that the server does not have", async () => {
    const server = await startRedis();
    expect(await refusal(`${server.url}/999`)).toMatchObject({ reason: "REDIS_REFUSED" });
    await server.stop();
  });

  for (const url of [
    "",
    "127.0.0.1:6379",
    "http://127.0.0.1",
    "redis://",
    "redis://127.0.0.1/points",
    "redis://:hidden@127.0.0.1/0?enableOfflineQueue=true",
    "redis://:hidden@127.0.0.1:port",
    "redis://:hidden@127.0.0.1:70000",
    "redis://:hidden@127.0.0.1:0",
    "redis://:hidden%@127.0.0.1",
    "redis://:hidden@one,two",
    "redis+sentinel://:hidden@one:1,two:2",
    "redis+sentinel://:hidden@one:1,two:2/",
    "redis+sentinel://:hidden@one:1,,two:2/mymaster",
    "redis+sentinel://:hidden@one:1,two:2/mymaster/points",
    "redis+sentinel://:hidden@one:1,two:2/mymaster?db=1",
    "redis-sentinel://:hidden@one/mymaster",
    "redis+sentinel://me:123/hidden@one:1",
    "redis+sentinel://me:123/hidden@one:1/mymaster",
    "redis+sentinel://me:123/456/hidden@one:1",
    "redis+sentinel://:hidden@one/my%20master",
  ]) {
    test(`for the URL ${JSON.stringify(url)}`, async () => {
      const error = await refusal(url);
      expect(error).toMatchObject({ code: "invalid_argument", reason: "REDIS_URL_INVALID" });
      expect(error.message).not.toContain("hidden");
    });
  }
});
