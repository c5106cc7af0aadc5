import { once } from "node:events";
import type { Redis } from "ioredis";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import type { Charge, TakeAnswer } from "../../src/core/ports.ts";
import { NoReply } from "../../src/points/no-reply.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets, type RedisBuckets } from "../../src/redis/redis-buckets.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

const unavailable = { name: "TollgateError", code: "unavailable", reason: "STORE_UNAVAILABLE" };

let server: RedisServer;
let redis: Redis;
/** With the budget that is meant for production. */
let store: RedisBuckets;
/** With time enough on the slowest machine. */
let patient: RedisBuckets;
beforeEach(async () => {
  server = await startRedis();
  redis = (await createRedis(server.url, { onError: () => {} })) as Redis;
  store = createRedisBuckets(redis);
  patient = createRedisBuckets(redis, { budgetMs: 10_000 });
  await answerWhenBack(chargeOf());
});
afterEach(async () => {
  redis.disconnect();
  await server.kill();
});

/** The first answer once the store works again. */
async function answerWhenBack(charge: Charge, of: RedisBuckets = store): Promise<TakeAnswer> {
  for (;;) {
    try {
      return await of.take(takeOf(charge, { mode: "peek" }), inTime());
    } catch (error) {
      if (!(error instanceof TollgateError && error.code === "unavailable")) throw error;
    }
  }
}

test("takes fail while the server is dead, none hangs, and they work again when it is back", async () => {
  const charge = chargeOf({ points: 5 });
  await patient.take(takeOf(charge), inTime());
  const closed = once(redis, "close");
  await server.kill();
  await closed;
  const takes = Array.from({ length: 50 }, () => store.take(takeOf(charge), inTime()));
  for (const outcome of await Promise.allSettled(takes)) {
    expect(outcome).toMatchObject({ status: "rejected", reason: unavailable });
    // Never sent, so surely not charged.
    expect(outcome).not.toMatchObject({ reason: { cause: { name: "NoReply" } } });
  }
  expect(store.ready).toBe(false);
  await server.restart();
  // Without persistence it comes back empty.
  expect((await answerWhenBack(charge)).states).toMatchObject([{ remaining: 5 }]);
  expect(store.ready).toBe(true);
});

test("a server that was killed with takes in flight charges none of them twice", async () => {
  await server.stop();
  server = await startRedis({ port: server.port, args: ["--appendonly", "yes", "--appendfsync", "always"] });
  const charge = chargeOf({ points: 1_000_000_000, windowMs: 600_000 });
  await answerWhenBack(charge);
  let admitted = 0;
  let lost = 0;
  const takes = Array.from({ length: 20 }, async () => {
    while (lost === 0) {
      await store.take(takeOf(charge), inTime()).then(
        () => admitted++,
        () => lost++,
      );
    }
  });
  await answerWhenBack(charge);
  await server.kill();
  await Promise.all(takes);
  expect(lost).toBeGreaterThan(0);
  await server.restart();
  const { states } = await answerWhenBack(charge);
  const charged = 1_000_000_000 - (states[0]?.remaining ?? 0);
  expect(charged).toBeGreaterThanOrEqual(admitted);
  expect(charged).toBeLessThanOrEqual(admitted + lost);
});

test("takes that a frozen server gets to after their time charge nothing", async () => {
  const charge = chargeOf({ points: 5 });
  await patient.take(takeOf(charge), inTime());
  server.pause();
  const takes = await Promise.allSettled(
    Array.from({ length: 3 }, () => store.take(takeOf(charge), inTime())),
  );
  expect(takes).toMatchObject(Array.from({ length: 3 }, () => ({ status: "rejected", reason: unavailable })));
  server.resume();
  expect((await answerWhenBack(charge)).states).toMatchObject([{ remaining: 4 }]);
});

test("a take without a reply learns later what became of it: nothing, a charge, or that nobody knows", async () => {
  const proxy = await startTcpProxy({ toPort: server.port });
  const throughProxy = (await createRedis(`redis://127.0.0.1:${proxy.port}`, { onError: () => {} })) as Redis;
  const hasty = createRedisBuckets(throughProxy, { budgetMs: 1000 });
  const charge = chargeOf({ points: 5 });
  await hasty.take(takeOf(charge), inTime());

  server.pause();
  const frozen = await silenceOf(hasty.take(takeOf(charge), inTime()));
  server.resume();
  expect(await frozen.fate).toBe("nothing");

  proxy.delayReplies(1500);
  const slow = await silenceOf(hasty.take(takeOf(charge), inTime()));
  expect(await slow.fate).toBe("charged");
  expect((await answerWhenBack(charge)).states).toMatchObject([{ remaining: 3 }]);

  proxy.dropReplies();
  const cut = await silenceOf(hasty.take(takeOf(charge), inTime()));
  proxy.cut();
  expect(await cut.fate).toBe("unknown");
  throughProxy.disconnect();
  await proxy.stop();
});

async function silenceOf(taken: Promise<TakeAnswer>): Promise<NoReply> {
  const error = await taken.catch((thrown: unknown) => thrown);
  if (error instanceof TollgateError && error.cause instanceof NoReply) return error.cause;
  throw new Error("the take did not end without a reply", { cause: error });
}

test("each take fails at its own deadline, a later one with the same call may still be answered", async () => {
  const charge = chargeOf({ points: 5 });
  await patient.take(takeOf(charge), inTime());
  server.pause();
  const long = patient.take(takeOf(charge), inTime());
  const short = patient.take(takeOf(charge), performance.now() + 20);
  await expect(short).rejects.toMatchObject(unavailable);
  server.resume();
  expect((await long).states).toMatchObject([{ remaining: 3 }]);
  expect((await answerWhenBack(charge)).states).toMatchObject([{ remaining: 3 }]);
});

test("a take with a shorter budget of its own fails by that, and charges nothing; a longer one is none", async () => {
  const charge = chargeOf({ points: 5 });
  await patient.take(takeOf(charge), inTime());
  server.pause();
  const usual = patient.take(takeOf(charge), inTime());
  const short = patient.take({ ...takeOf(charge), budgetMs: 15 }, inTime());
  await expect(short).rejects.toMatchObject(unavailable);
  const long = store.take({ ...takeOf(charge), budgetMs: 60_000 }, inTime());
  await expect(long).rejects.toMatchObject(unavailable);
  server.resume();
  expect((await usual).states).toMatchObject([{ remaining: 3 }]);
  expect((await answerWhenBack(charge)).states).toMatchObject([{ remaining: 3 }]);
});

test("takes whose own budget is over give up those behind them with as little, and no others", async () => {
  const charge = chargeOf({ points: 1000 });
  await patient.take(takeOf(charge), inTime());
  server.pause();
  const short = Array.from({ length: 250 }, () =>
    patient.take({ ...takeOf(charge), budgetMs: 15 }, inTime()),
  );
  const usual = Array.from({ length: 10 }, () => patient.take(takeOf(charge), inTime()));
  for (const outcome of await Promise.allSettled(short)) {
    expect(outcome).toMatchObject({ status: "rejected", reason: unavailable });
  }
  server.resume();
  const answers = await Promise.all(usual);
  expect(answers.map(({ states }) => states[0]?.remaining)).toEqual([
    998, 997, 996, 995, 994, 993, 992, 991, 990, 989,
  ]);
});

test("a connection whose peer has fallen silent is given up, and takes work again on a new one", async () => {
  // Not `once` of node:events, which ends at the error that comes first.
  const closed = new Promise((resolve) => redis.once("close", resolve));
  server.pause();
  await expect(store.take(takeOf(chargeOf()), inTime())).rejects.toMatchObject(unavailable);
  await closed;
  server.resume();
  expect(await answerWhenBack(chargeOf())).toMatchObject({ decidedBy: "store" });
}, 30_000);

test("takes fail with STORE_UNAVAILABLE while the server may write nothing, and charge nothing", async () => {
  const charge = chargeOf({ points: 5 });
  await patient.take(takeOf(charge), inTime());
  await redis.config("SET", "maxmemory", "1");
  const refused = await patient.take(takeOf([charge, chargeOf()]), inTime()).catch((error: unknown) => error);
  expect(refused).toMatchObject(unavailable);
  expect(String((refused as Error).cause)).toContain("OOM");
  await redis.config("SET", "maxmemory", "0");
  expect((await answerWhenBack(charge)).states).toMatchObject([{ remaining: 4 }]);
});

test("a driver's error is never the cause as it is: it would carry the command's arguments", async () => {
  await redis.config("SET", "maxmemory", "1");
  const error = await patient.take(takeOf(chargeOf()), inTime()).catch((thrown: unknown) => thrown);
  expect(Object.keys((error as Error).cause as Error)).toEqual([]);
});

describe("behind a connection that loses replies", () => {
  let proxy: TcpProxy;
  let throughProxy: Redis;
  beforeEach(async () => {
    proxy = await startTcpProxy({ toPort: server.port });
    throughProxy = (await createRedis(`redis://127.0.0.1:${proxy.port}`, { onError: () => {} })) as Redis;
  });
  afterEach(async () => {
    throughProxy.disconnect();
    await proxy.stop();
  });

  test("a take whose reply is lost with its connection is not sent again", async () => {
    const lossy = createRedisBuckets(throughProxy, { budgetMs: 10_000 });
    const charge = chargeOf({ points: 5 });
    await lossy.take(takeOf(charge), inTime());
    proxy.cutNextReply();
    await expect(lossy.take(takeOf(charge), inTime())).rejects.toMatchObject(unavailable);
    // Connected anew, with time enough to have sent it again.
    expect((await answerWhenBack(charge, lossy)).states).toMatchObject([{ remaining: 3 }]);
    expect((await answerWhenBack(charge)).states).toMatchObject([{ remaining: 3 }]);
  });

  test("with a request_id the take can be repeated, and is charged once", async () => {
    const lossy = createRedisBuckets(throughProxy, { budgetMs: 10_000 });
    const charge = chargeOf({ points: 5 });
    await lossy.take(takeOf(charge), inTime());
    proxy.cutNextReply();
    await expect(lossy.take(takeOf(charge, { requestId: "r" }), inTime())).rejects.toMatchObject(unavailable);
    await answerWhenBack(charge, lossy);
    expect(await lossy.take(takeOf(charge, { requestId: "r" }), inTime())).toMatchObject({
      outcome: "admitted",
      states: [{ remaining: 3 }],
    });
  });
});
