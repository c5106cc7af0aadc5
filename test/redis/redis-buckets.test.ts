import type { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { LimitShape } from "../../src/core/policy.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets, type RedisCall } from "../../src/redis/redis-buckets.ts";
import { bucketStoreContract, chargeOf, inTime, newBucket, takeOf } from "../contract/bucket-store.ts";
import { redisUrl } from "../support/redis.ts";
import { createSetClockBuckets, zeroMs } from "./set-clock.ts";

async function connect(): Promise<Redis> {
  const redis = await createRedis(redisUrl(), {
    onError: (error) => {
      throw error;
    },
  });
  if (redis.isCluster) throw new Error("the test run's Redis is a cluster");
  return redis as Redis;
}

bucketStoreContract("the Redis store", async () => {
  const redis = await connect();
  return {
    ...createSetClockBuckets(redis),
    async close() {
      redis.disconnect();
    },
  };
});

describe("on Redis's own clock", () => {
  let redis: Redis;
  beforeAll(async () => {
    redis = await connect();
    // Each test makes stores of its own on this one connection.
    redis.setMaxListeners(100);
  });
  beforeEach(() => redis.flushdb());
  afterAll(() => redis.disconnect());

  async function redisMs(): Promise<number> {
    const [seconds, micros] = await redis.time();
    return Number(seconds) * 1000 + Number(micros) / 1000;
  }

  test("600 concurrent takes of 2 from four connections on a limit of 300 admit exactly 150", async () => {
    const others = await Promise.all([connect(), connect(), connect()]);
    const stores = [redis, ...others].map((each) => createRedisBuckets(each, { budgetMs: 10_000 }));
    for (const shape of ["sliding", "fixed"] as const) {
      const charge = chargeOf({ shape, points: 300, cost: 2 });
      const answers = await Promise.all(
        Array.from({ length: 150 }, () => stores.map((store) => store.take(takeOf(charge), inTime()))).flat(),
      );
      expect(answers.filter(({ outcome }) => outcome === "admitted")).toHaveLength(150);
    }
    for (const other of others) other.disconnect();
  });

  test("in no interval of the window's length are more points admitted, while many press for them", async () => {
    const stores = [redis, await connect()].map((each) => createRedisBuckets(each, { budgetMs: 10_000 }));
    const charge = chargeOf({ points: 20, windowMs: 300, cost: 1 });
    const admitted: { from: number; to: number }[] = [];
    const end = (await redisMs()) + 1500;
    while ((await redisMs()) < end) {
      const from = await redisMs();
      const answers = await Promise.all(
        [...stores, ...stores, ...stores].map((store) => store.take(takeOf(charge), inTime())),
      );
      const to = await redisMs();
      for (const answer of answers) if (answer.outcome === "admitted") admitted.push({ from, to });
    }
    for (const { from: first } of admitted) {
      const surelyWithin = admitted.filter(({ from, to }) => from >= first && to < first + 300);
      expect(surelyWithin.length).toBeLessThanOrEqual(20);
    }
    expect(admitted.length).toBeGreaterThanOrEqual(60);
  });

  test("a block ends by itself, and not before its time", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    const charge = chargeOf({ points: 1, windowMs: 50, blockMs: 200 });
    const before = await redisMs();
    await store.take(takeOf(charge, { mode: "record" }), inTime());
    await store.take(takeOf(charge, { mode: "record" }), inTime());
    let answer = await store.take(takeOf(charge), inTime());
    expect(answer.outcome).toBe("blocked");
    while (answer.outcome === "blocked") answer = await store.take(takeOf(charge), inTime());
    expect(answer.outcome).toBe("admitted");
    expect((await redisMs()) - before).toBeGreaterThanOrEqual(200);
  });

  test("every key expires, and not before what it holds has ended", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    const before = await redisMs();
    for (const shape of ["sliding", "fixed", "bucket"] as const) {
      for (const windowMs of [1000, 60_000, 86_400_000]) {
        const charge = chargeOf({ shape, windowMs, points: 2, cost: 2, blockMs: 5000 });
        await store.take(takeOf(charge, { requestId: "r" }), inTime());
        await store.take(takeOf(charge), inTime());
        await store.take(takeOf({ ...charge, cost: 3 }, { mode: "record" }), inTime());
        await store.take(takeOf(chargeOf({ shape, windowMs, points: 4, cost: 1 })), inTime());
      }
    }
    const keys = await redis.keys("*");
    expect(keys).toHaveLength(27);
    for (const key of keys) {
      const windowMs = Number(/(\d+):[^:]+$/.exec(key)?.[1] ?? 0);
      const expiry = await redis.call("PEXPIRETIME", key);
      const least = key.includes(":r:") ? 600_000 : windowMs / 4;
      expect(Number(expiry) - before).toBeGreaterThanOrEqual(least);
      expect(Number(expiry) - before).toBeLessThan(86_400_000 * 3);
    }
  });

  test("a bucket in steady use keeps its expiry ahead of its last charge", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    for (const shape of ["sliding", "fixed", "bucket"] as const) {
      const charge = chargeOf({ shape, windowMs: 200, points: 1000, cost: 10 });
      const end = (await redisMs()) + 700;
      let resetMs = 0;
      while ((await redisMs()) < end) {
        const now = await redisMs();
        resetMs = (await store.take(takeOf(charge), inTime())).states[0]?.resetMs ?? 0;
        const [key = ""] = await redis.keys(`*:2${shape.charAt(0)}200:*`);
        expect(Number(await redis.call("PEXPIRETIME", key))).toBeGreaterThanOrEqual(
          Math.floor(now + resetMs),
        );
      }
      expect(resetMs).toBeGreaterThan(0);
    }
  });

  /** Plays 400 charges, each a sixtieth of the window after the other, and answers the key. */
  async function busyBucket(options: { shape: LimitShape; windowMs: number }): Promise<string> {
    const { store, setClock } = createSetClockBuckets(redis);
    const charge = chargeOf({ ...options, points: 1_000_000 });
    for (let call = 0; call < 400; call++) {
      await setClock((call * options.windowMs) / 60);
      await store.take(takeOf(charge), inTime());
    }
    const [key = "", ...others] = await redis.keys("tg:*");
    expect(others).toEqual([]);
    return key;
  }

  test("a sliding bucket whose every sub-window is in use keeps 6 bytes for each", async () => {
    const key = await busyBucket({ shape: "sliding", windowMs: 60_000 });
    // A header, which holds the newest, and those before it that count: the 60th is just a window old.
    expect(await redis.strlen(key)).toBe(57 + 6 * 59);
  });

  test("a sub-window that goes while none begins is taken off once", async () => {
    const { store, setClock } = createSetClockBuckets(redis);
    const charge = chargeOf({ windowMs: 60_000, points: 10 });
    const remaining: (number | undefined)[] = [];
    for (const ms of [1000, 1500, 61_100, 61_600, 61_700, 61_800]) {
      await setClock(ms);
      remaining.push((await store.take(takeOf(charge), inTime())).states[0]?.remaining);
    }
    expect(remaining).toEqual([9, 8, 7, 8, 7, 6]);
  });

  test("a bucket takes at most 200 bytes of Redis, a busy sliding one 600, whatever its window", async () => {
    const longest = 30 * 86_400_000;
    for (const windowMs of [1, 1000, 60_000, 3_600_000, longest]) {
      for (const shape of ["sliding", "fixed", "bucket"] as const) {
        await redis.flushdb();
        const busy = await busyBucket({ shape, windowMs });
        const most = shape === "sliding" ? 600 : 200;
        expect(Number(await redis.memory("USAGE", busy))).toBeLessThanOrEqual(most);
      }
    }
  });

  test("a key lasts through all the writes of a busy sliding bucket, and expires", async () => {
    const key = await busyBucket({ shape: "sliding", windowMs: 60_000 });
    const lastChargeMs = zeroMs + 399 * 1000;
    const leftMs = Number(await redis.call("PEXPIRETIME", key)) - lastChargeMs;
    expect(leftMs).toBeGreaterThanOrEqual(60_000);
    expect(leftMs).toBeLessThan(3 * 60_000);
  });

  test("no key's name holds an id as it is", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    const charge = { ...chargeOf({ bucket: "acme-limit-subject" }), shardBy: "acme-workspace" };
    await store.take(takeOf(charge, { requestId: "acme-request" }), inTime());
    const keys = await redis.keys("*");
    expect(keys.sort()).toEqual([
      expect.stringMatching(/^tg:\{\d+\}:2s60000:[\w-]{22}$/),
      expect.stringMatching(/^tg:\{\d+\}:r:[\w-]{22}$/),
    ]);
    expect(new Set(keys.map((key) => /\{\d+\}/.exec(key)?.[0])).size).toBe(1);
  });

  test("a take that nobody waits for by the time it would be sent is not sent, and charges nothing", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    const charge = chargeOf({ points: 10, cost: 1 });
    const gone = { isAborted: false };
    const abandoned = store.take({ ...takeOf(charge), waiter: gone }, inTime());
    const kept = store.take({ ...takeOf(charge), waiter: { isAborted: false } }, inTime());
    gone.isAborted = true;
    await expect(abandoned).rejects.toMatchObject({ code: "unavailable", cause: { name: "NotSent" } });
    expect((await kept).states[0]?.remaining).toBe(9);
    expect((await store.take(takeOf({ ...charge, cost: 0 }), inTime())).states[0]?.remaining).toBe(9);
  });

  test("takes of one turn of the event loop go in one call", async () => {
    const calls: RedisCall[] = [];
    const store = createRedisBuckets(redis, { budgetMs: 10_000, observe: (call) => calls.push(call) });
    await store.take(takeOf(chargeOf()), inTime());
    calls.length = 0;
    await Promise.all(Array.from({ length: 64 }, () => store.take(takeOf(chargeOf()), inTime())));
    expect(calls).toMatchObject([{ takes: 64, outcome: "answered" }]);
  });

  /** Until what was to be done as soon as this is done; the turn of the event loop has not ended. */
  function ticked(): Promise<void> {
    return new Promise((resolve) => process.nextTick(resolve));
  }

  test("takes that come one at a time go before the turn of the event loop ends, others together at its end", async () => {
    const own = await connect();
    let sent = 0;
    const send = own.sendCommand.bind(own);
    own.sendCommand = (command) => {
      sent++;
      return send(command);
    };
    const store = createRedisBuckets(own, { budgetMs: 10_000 });
    await store.take(takeOf(chargeOf()), inTime());
    sent = 0;
    const takeSome = async (count: number) => {
      const takes: Promise<unknown>[] = [];
      for (let index = 0; index < count; index++) {
        takes.push(store.take(takeOf(chargeOf()), inTime()));
        await ticked();
      }
      return takes;
    };
    const takes = await takeSome(4);
    // The first alone; the others while it is under way.
    expect(sent).toBe(1);
    await Promise.all(takes);
    expect(sent).toBe(2);
    const more = await takeSome(4);
    expect(sent).toBe(2);
    await Promise.all(more);
    expect(sent).toBe(3);
    own.disconnect();
  });

  test("one who asks again and again while takes fail at once does not keep the process from reading", async () => {
    const own = await connect();
    const store = createRedisBuckets(own, { budgetMs: 10_000 });
    await store.take(takeOf(chargeOf()), inTime());
    own.disconnect();
    let hasTurned = false;
    setImmediate(() => {
      hasTurned = true;
    });
    let takes = 0;
    while (!hasTurned && takes < 100) {
      takes++;
      await store.take(takeOf(chargeOf()), inTime()).catch(() => {});
    }
    expect(takes).toBeLessThan(100);
  });

  test("however many limits the takes of one turn have, a call holds few, and none is lost", async () => {
    const calls: RedisCall[] = [];
    const store = createRedisBuckets(redis, { budgetMs: 20_000, observe: (call) => calls.push(call) });
    // In one call, Lua could not unpack so many keys.
    const requests = Array.from({ length: 100 }, () => ({
      ...takeOf(chargeOf()),
      charges: Array.from({ length: 90 }, () => chargeOf()),
    }));
    const answers = await Promise.all(requests.map((request) => store.take(request, inTime())));
    expect(answers.filter(({ outcome }) => outcome === "admitted")).toHaveLength(100);
    expect(calls.every(({ takes, outcome }) => takes === 1 && outcome === "answered")).toBe(true);
  });

  test("more takes than one call holds go in several, in their order", async () => {
    const calls: RedisCall[] = [];
    const store = createRedisBuckets(redis, { budgetMs: 10_000, observe: (call) => calls.push(call) });
    const charge = chargeOf({ points: 1000 });
    const answers = await Promise.all(
      Array.from({ length: 250 }, () => store.take(takeOf(charge), inTime())),
    );
    expect(answers.map(({ states }) => states[0]?.remaining)).toEqual(
      Array.from({ length: 250 }, (_, call) => 999 - call),
    );
    expect(Math.max(...calls.map(({ takes }) => takes))).toBe(64);
  });

  test("a server that forgot the script is taught it, and each take is charged once", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    const charge = chargeOf({ points: 100, cost: 1 });
    for (let round = 1; round <= 3; round++) {
      await redis.script("FLUSH");
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => store.take(takeOf(charge), inTime())),
      );
      expect(answers.at(-1)?.states[0]?.remaining).toBe(100 - 10 * round);
    }
  });

  test("a take that a wrong estimate of Redis's clock made late is sent again, and charged once", async () => {
    const calls: RedisCall[] = [];
    const observe = (call: RedisCall) => calls.push(call);
    const { store, setClock } = createSetClockBuckets(redis, { budgetMs: 10_000, observe });
    const charge = chargeOf({ points: 10, windowMs: 86_400_000 });
    await setClock(0);
    await store.take(takeOf(charge), inTime());
    calls.length = 0;
    await setClock(3_600_000);
    expect((await store.take(takeOf(charge), inTime())).states).toMatchObject([{ remaining: 8 }]);
    expect(calls).toHaveLength(2);
  });

  test("a take that is late each time it is sent fails, and is charged nothing", async () => {
    const { store, setClock } = createSetClockBuckets(redis, { budgetMs: 10_000 });
    const charge = chargeOf({ points: 10, windowMs: 86_400_000 });
    await setClock(0);
    await store.take(takeOf(charge), inTime());
    const calls: RedisCall[] = [];
    const observe = (call: RedisCall) => calls.push(call);
    const leaping = createSetClockBuckets(redis, { budgetMs: 10_000, leapMs: 60_000, observe }).store;
    await expect(leaping.take(takeOf(charge), inTime())).rejects.toMatchObject({
      reason: "STORE_UNAVAILABLE",
    });
    expect(calls).toHaveLength(2);
    expect((await store.take(takeOf(charge, { mode: "peek" }), inTime())).states).toMatchObject([
      { remaining: 9 },
    ]);
  });

  test("a bucket that cannot be read refuses its own takes only, and is left as it is", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    for (const shape of ["sliding", "fixed", "bucket"] as const) {
      for (const broken of [
        "",
        "junk",
        "\u0001".repeat(49),
        "\u0002".repeat(49),
        `\u0003${"\u007f\u007f".repeat(24)}`,
        "x".repeat(65),
        "\u0003".repeat(66),
        "\u0001".repeat(57),
        `\u0001${"\0".repeat(57)}`,
        `\u0001${"\0".repeat(56 + 5)}`,
      ]) {
        await redis.flushdb();
        const bad = chargeOf({ shape });
        const good = chargeOf({ shape, points: 5 });
        await store.take(takeOf(bad), inTime());
        const [key = ""] = await redis.keys("*");
        await redis.set(key, broken);
        const [first, second, third] = await Promise.allSettled([
          store.take(takeOf(good), inTime()),
          store.take(takeOf([good, bad]), inTime()),
          store.take(takeOf(good), inTime()),
        ]);
        expect(first).toMatchObject({ status: "fulfilled", value: { states: [{ remaining: 4 }] } });
        expect(second).toMatchObject({ status: "rejected", reason: { reason: "STORE_UNAVAILABLE" } });
        expect(third).toMatchObject({ status: "fulfilled", value: { states: [{ remaining: 3 }] } });
        expect(await redis.get(key)).toBe(broken);
      }
    }
  });

  test("a record of the largest cost fails neither the call nor a stranger's take in it", async () => {
    const calls: RedisCall[] = [];
    const observe = (call: RedisCall) => calls.push(call);
    const store = createRedisBuckets(redis, { budgetMs: 10_000, observe });
    for (const shape of ["sliding", "fixed", "bucket"] as const) {
      const stranger = chargeOf({ shape, points: 5 });
      const windowMs = 30 * 86_400_000;
      const huge = chargeOf({ shape, points: 1, windowMs, blockMs: windowMs, cost: 2 ** 32 - 1 });
      const answers = await Promise.all([
        store.take(takeOf(stranger, { requestId: "r1" }), inTime()),
        store.take(takeOf(huge, { mode: "record", requestId: "r2" }), inTime()),
        store.take(takeOf(stranger), inTime()),
      ]);
      expect(answers.map(({ states }) => states[0]?.remaining)).toEqual([4, 0, 3]);
    }
    for (const call of calls) expect(call).toMatchObject({ takes: 3, outcome: "answered" });
    const tenYearsOnMs = (await redisMs()) + 3650 * 86_400_000 + 120_000;
    for (const key of await redis.keys("*")) {
      expect(Number(await redis.call("PEXPIRETIME", key))).toBeLessThan(tenYearsOnMs);
    }
  });

  test("a stored number that no use leads to fails no take but its own bucket's", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    for (const shape of ["sliding", "fixed", "bucket"] as const) {
      // The doubles of a header, behind the shape's byte.
      for (let field = 1; field < (shape === "sliding" ? 57 : 49); field += 8) {
        for (const value of [0, 2 ** 53, 1e25, 1e300, Number.POSITIVE_INFINITY, Number.NaN, -1, 0.5]) {
          await redis.flushdb();
          const good = chargeOf({ shape, points: 5 });
          const bad = chargeOf({ shape, points: 5, blockMs: 5000, cost: 3 });
          await store.take(takeOf(bad, { mode: "record" }), inTime());
          const [key = ""] = await redis.keys("*");
          const state = (await redis.getBuffer(key)) ?? Buffer.alloc(0);
          state.writeDoubleLE(value, field);
          await redis.set(key, state);
          for (const [index, mode] of (["enforce", "record"] as const).entries()) {
            const [stranger] = await Promise.allSettled([
              store.take(takeOf(good), inTime()),
              store.take(takeOf(bad, { mode }), inTime()),
            ]);
            const states = [{ remaining: 4 - index }];
            expect(stranger).toMatchObject({ status: "fulfilled", value: { states } });
          }
        }
      }
    }
  });

  test("a bucket of a limit in shadow that cannot be read refuses nobody, and is left as it is", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    for (const shape of ["sliding", "fixed", "bucket"] as const) {
      await redis.flushdb();
      const bad = chargeOf({ shape, points: 7, blockMs: 1000, shadow: true });
      const good = chargeOf({ shape, points: 5 });
      await store.take(takeOf(bad), inTime());
      const [key = ""] = await redis.keys("*");
      await redis.set(key, "junk");
      const answer = await store.take(takeOf([good, bad], { requestId: "r" }), inTime());
      expect(answer).toMatchObject({
        outcome: "admitted",
        states: [{ remaining: 4 }, { outcome: "admitted", remaining: 7, resetMs: 0, blockedMs: 0 }],
      });
      expect(await redis.get(key)).toBe("junk");
    }
  });

  test("a key of another type where a bucket or request_id should be cannot be read either", async () => {
    const store = createRedisBuckets(redis, { budgetMs: 10_000 });
    const charge = chargeOf();
    await store.take(takeOf(charge, { requestId: "r" }), inTime());
    const keys = await redis.keys("*");
    expect(keys).toHaveLength(2);
    for (const key of keys) {
      const held = await redis.getBuffer(key);
      await redis.del(key);
      await redis.rpush(key, "a list");
      await expect(store.take(takeOf(charge, { requestId: "r" }), inTime())).rejects.toMatchObject({
        reason: "STORE_UNAVAILABLE",
      });
      expect(await redis.type(key)).toBe("list");
      await redis.del(key);
      await redis.set(key, held ?? "");
    }
    expect((await store.take(takeOf(charge, { requestId: "r" }), inTime())).outcome).toBe("admitted");
  });

  test("another number of shards is another place", async () => {
    const charge = chargeOf({ points: 1, bucket: newBucket() });
    const names = new Set<string>();
    for (const shards of [1, 7, 64]) {
      await redis.flushdb();
      await createRedisBuckets(redis, { shards, budgetMs: 10_000 }).take(takeOf(charge), inTime());
      const [key = ""] = await redis.keys("*");
      expect(Number(/\{(\d+)\}/.exec(key)?.[1])).toBeLessThan(shards);
      names.add(key);
    }
    expect(names.size).toBeGreaterThan(1);
  });
});
