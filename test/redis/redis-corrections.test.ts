import type { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { LimitShape } from "../../src/core/policy.ts";
import type { Charge } from "../../src/core/ports.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { assembleGiveBackScript } from "../../src/redis/give-back-script.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { createRedisCorrections } from "../../src/redis/redis-corrections.ts";
import { bucketCorrectionsContract } from "../contract/bucket-corrections.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { redisUrl, startRedis } from "../support/redis.ts";
import { CLOCK_KEY, createSetClockBuckets } from "./set-clock.ts";

const SEED = Number(process.env["SEED"] ?? Date.now());

async function connect(url = redisUrl()): Promise<Redis> {
  return (await createRedis(url, {
    onError: (error) => {
      throw error;
    },
  })) as Redis;
}

function onSetClock(redis: Redis) {
  const script = assembleGiveBackScript(`tonumber(redis.call('GET', '${CLOCK_KEY}'))`);
  return { ...createSetClockBuckets(redis), corrections: createRedisCorrections(redis, { script }) };
}

bucketCorrectionsContract("the Redis store", async () => {
  const redis = await connect();
  return {
    ...onSetClock(redis),
    async close() {
      redis.disconnect();
    },
  };
});

let redis: Redis;
beforeAll(async () => {
  redis = await connect();
});
afterAll(() => redis.disconnect());

test("on Redis's own clock points are given back, and the key keeps its expiry", async () => {
  const store = createRedisBuckets(redis, { budgetMs: 10_000 });
  const corrections = createRedisCorrections(redis);
  for (const shape of ["sliding", "fixed", "bucket"] as const) {
    await redis.flushdb();
    const charge = chargeOf({ shape, points: 10, cost: 10, windowMs: 3_600_000 });
    await store.take(takeOf(charge), inTime());
    const [key = ""] = await redis.keys("tg:*");
    const expiry = await redis.call("PEXPIRETIME", key);
    const some = { charges: [{ ...charge, cost: 4 }], what: "cost", requestId: "" } as const;
    expect(await corrections.giveBack(some, inTime())).toEqual([4]);
    expect(await redis.call("PEXPIRETIME", key)).toBe(expiry);
    await corrections.giveBack({ ...some, requestId: "g" }, inTime());
    const [id = ""] = await redis.keys("tg:*:r:*");
    expect(Number(await redis.call("PEXPIRETIME", id))).toBeGreaterThan(Date.now() + 3_500_000);
    await corrections.giveBack({ ...some, what: "all" }, inTime());
    expect(await redis.exists(key)).toBe(0);
  }
});

test("a bucket that cannot be read fails points given back, and giving all back mends it", async () => {
  const corrections = createRedisCorrections(redis);
  const store = createRedisBuckets(redis, { budgetMs: 10_000 });
  for (const junk of ["junk", "x".repeat(49), "y".repeat(63)]) {
    await redis.flushdb();
    const [good, bad] = [chargeOf({ points: 10, cost: 5 }), chargeOf({ points: 10, cost: 5 })];
    await store.take(takeOf(bad), inTime());
    const [key = ""] = await redis.keys("tg:*");
    await redis.set(key, junk);
    await store.take(takeOf(good), inTime());
    const charges = [good, bad];
    await expect(
      corrections.giveBack({ charges, what: "cost", requestId: "" }, inTime()),
    ).rejects.toMatchObject({ code: "unavailable", cause: { name: "UnreadableBucket" } });
    expect((await store.take(takeOf(good, { mode: "peek" }), inTime())).states).toMatchObject([
      { remaining: 5 },
    ]);
    await corrections.giveBack({ charges: [bad], what: "all", requestId: "" }, inTime());
    expect((await store.take(takeOf(bad), inTime())).states).toMatchObject([{ remaining: 5 }]);
  }
});

test("a key of another type fails points given back", async () => {
  await redis.flushdb();
  const charge = chargeOf({ points: 10, cost: 5 });
  await createRedisBuckets(redis, { budgetMs: 10_000 }).take(takeOf(charge), inTime());
  const [key = ""] = await redis.keys("tg:*");
  await redis.del(key);
  await redis.hset(key, "a", "b");
  const request = { charges: [charge], what: "cost", requestId: "" } as const;
  await expect(createRedisCorrections(redis).giveBack(request, inTime())).rejects.toMatchObject({
    cause: { name: "UnreadableBucket" },
  });
});

test("what Redis gets to after the deadline gives nothing back", async () => {
  const own = await startRedis();
  const slow = await connect(own.url);
  const corrections = createRedisCorrections(slow);
  const store = createRedisBuckets(slow, { budgetMs: 10_000 });
  const charge = chargeOf({ points: 10, cost: 8 });
  await store.take(takeOf(charge), inTime());
  await slow.call("CLIENT", "PAUSE", "200", "ALL");
  for (const what of ["all", "cost"] as const) {
    const late = corrections.giveBack({ charges: [charge], what, requestId: "" }, performance.now() + 20);
    await expect(late).rejects.toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
  }
  // Both are answered before this, and what they send then is sent before the take after it.
  await slow.ping();
  const { states } = await store.take(takeOf(charge, { mode: "peek" }), inTime());
  expect(states).toMatchObject([{ remaining: 2 }]);
  slow.disconnect();
  await own.stop();
});

test("without a connection it fails at once, and says that the store did not answer", async () => {
  const other = await connect();
  other.disconnect();
  const request = { charges: [chargeOf()], what: "all", requestId: "" } as const;
  await expect(createRedisCorrections(other).giveBack(request, inTime())).rejects.toMatchObject({
    code: "unavailable",
    reason: "STORE_UNAVAILABLE",
  });
});

test(`Redis gives back what the model gives back, whatever came before (SEED=${SEED})`, async () => {
  await redis.flushdb();
  const random = randomOf(SEED);
  const below = (bound: number) => Math.floor(random() * bound);
  const inRedis = onSetClock(redis);
  let clockMs = 0;
  const model = createInProcessBuckets({ now: () => clockMs });
  const shapes: readonly LimitShape[] = ["sliding", "fixed", "bucket"];
  const charges: Charge[] = shapes.map((shape) =>
    chargeOf({ shape, points: 50, windowMs: 6000, blockMs: shape === "fixed" ? 700 : 0 }),
  );
  for (let step = 0; step < 1500; step++) {
    clockMs += below(4) === 0 ? below(900) : below(40) / 8;
    await inRedis.setClock(clockMs);
    const charge = { ...(charges[below(3)] as Charge), cost: 1 + below(12) };
    const requestId = below(4) === 0 ? `r${below(5)}` : "";
    const both = [inRedis, { store: model, corrections: model }];
    let answers: Promise<unknown>[];
    if (below(5) === 0) {
      const what = below(8) === 0 ? "all" : "cost";
      const request = { charges: [charge], what, requestId: requestId && `g${charge.cost}` } as const;
      answers = both.map(({ corrections }) => corrections.giveBack(request, inTime()));
    } else {
      const mode = below(6) === 0 ? "record" : "enforce";
      const take = takeOf(charge, { mode, requestId: requestId && `${requestId}c${charge.cost}` });
      answers = both.map(({ store }) => store.take(take, inTime()));
    }
    const [told, expected] = await Promise.all(answers);
    expect(told, `step ${step}`).toEqual(expected);
  }
});

function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
