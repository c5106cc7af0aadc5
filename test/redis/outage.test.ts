import type { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { OnOutage } from "../../src/core/policy.ts";
import type { Charge, TakeAnswer, TakeRequest } from "../../src/core/ports.ts";
import type { BreakerState } from "../../src/points/breaker.ts";
import { type OutageEvent, type OutageTolerantBuckets, withOutage } from "../../src/points/outage.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets, type RedisBuckets } from "../../src/redis/redis-buckets.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";
import { until } from "../support/until.ts";

let server: RedisServer;
let redis: Redis;
let store: OutageTolerantBuckets;
let patient: RedisBuckets;
const told: OutageEvent[] = [];
beforeAll(async () => {
  server = await startRedis();
  redis = (await createRedis(server.url, { onError: () => {} })) as Redis;
  store = withOutage(createRedisBuckets(redis), {
    budgetMs: 25,
    liveReplicas: () => 2,
    onEvent: (event) => {
      if (event.kind === "told") told.push(event);
    },
  });
  patient = createRedisBuckets(redis, { budgetMs: 10_000 });
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

function take(charge: Charge, onOutage: OnOutage): Promise<TakeAnswer> {
  return store.take({ ...takeOf(charge), onOutage }, inTime());
}

/** Keeps this process from all else, as a long turn does. */
function stall(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

/** Until the takes of this turn are sent. */
function sent(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Takes nothing, again and again, until the breaker is in that state. */
async function untilBreakerIs(state: BreakerState): Promise<void> {
  while (store.breakerState !== state) await take(chargeOf({ cost: 0 }), "deny");
}

test("a burst of 1000 takes on a frozen Redis is decided by each policy's rule, and none hangs", async () => {
  const charge = chargeOf({ points: 300 });
  await patient.take(takeOf(charge), inTime());
  let warm: TakeAnswer;
  do warm = await take(chargeOf({ cost: 0 }), "deny");
  while (warm.outcome !== "admitted");
  server.pause();
  const admitted = await Promise.all(
    (["deny", "local", "allow"] as const).map(async (onOutage) => {
      const answers = await Promise.all(Array.from({ length: 1000 }, () => take(charge, onOutage)));
      return answers.filter(({ outcome }) => outcome === "admitted").length;
    }),
  );
  expect(admitted).toEqual([0, 150, 1000]);
  await untilBreakerIs("open");
  server.resume();
  await untilBreakerIs("closed");
  // What the frozen server found to be late it did not charge; what was used here it is told, once.
  await until(() => told.length > 0);
  expect(told).toEqual([{ kind: "told", uses: 1, lost: 0 }]);
  expect(await patient.take(takeOf(charge, { mode: "peek" }), inTime())).toMatchObject({
    states: [{ remaining: 300 - 1 - 150 }],
  });
});

test("takes whose time is up before this process gets to send them say nothing about Redis", async () => {
  await untilBreakerIs("closed");
  for (let round = 0; round < 5; round++) {
    const late = store.take({ ...takeOf(chargeOf()), onOutage: "local" }, performance.now() + 30);
    stall(40);
    await expect(late).rejects.toMatchObject({ code: "deadline_exceeded" });
  }
  expect(store.breakerState).toBe("closed");
});

test("a reply that came while this process stood still for seconds is the answer", async () => {
  await untilBreakerIs("closed");
  const charge = chargeOf({ points: 5 });
  const taken = take(charge, "local");
  await sent();
  stall(2500);
  expect(await taken).toMatchObject({ decidedBy: "store", states: [{ remaining: 4 }] });
  expect(store.breakerState).toBe("closed");
  expect(redis.status).toBe("ready");
});

test("8000 takes of one turn on as many buckets are all decided by a healthy Redis", async () => {
  // Far less than all of them take together, on any machine.
  const budgetMs = 100;
  const buckets = createRedisBuckets(redis, { budgetMs });
  const tolerant = withOutage(buckets, { budgetMs, liveReplicas: () => 2 });
  await buckets.prepare();
  const answers = await Promise.all(
    Array.from({ length: 8000 }, () => tolerant.take(takeOf(chargeOf()), inTime())),
  );
  expect(answers.filter(({ decidedBy }) => decidedBy === "store")).toHaveLength(8000);
  expect(tolerant.breakerState).toBe("closed");
});

test("of 8000 takes of one turn on a frozen Redis those behind the first few are not sent any more", async () => {
  await untilBreakerIs("closed");
  const before = await scriptCalls();
  server.pause();
  const answers = await Promise.all(Array.from({ length: 8000 }, () => take(chargeOf(), "deny")));
  server.resume();
  expect(answers.filter(({ outcome }) => outcome === "unavailable")).toHaveLength(8000);
  expect((await scriptCalls()) - before).toBeLessThanOrEqual(4);
});

describe("behind a connection that loses replies", () => {
  let proxy: TcpProxy;
  let throughProxy: Redis;
  let behind: OutageTolerantBuckets;
  const toldBehind: OutageEvent[] = [];
  beforeAll(async () => {
    proxy = await startTcpProxy({ toPort: server.port });
    throughProxy = (await createRedis(`redis://127.0.0.1:${proxy.port}`, { onError: () => {} })) as Redis;
    behind = withOutage(createRedisBuckets(throughProxy, { budgetMs: 10_000 }), {
      budgetMs: 10_000,
      liveReplicas: () => 1,
      onEvent: (event) => {
        if (event.kind === "told") toldBehind.push(event);
      },
    });
  });
  afterAll(async () => {
    throughProxy.disconnect();
    await proxy.stop();
  });

  /** Takes, and loses the reply to it. Answers when the store answers again. */
  async function takeUnheard(charge: Charge, requestId: string): Promise<TakeAnswer> {
    // On the new connection Redis's clock is unknown at first; a call more would be lost instead.
    await untilStoreAnswers();
    const before = toldBehind.length;
    proxy.cutNextReply();
    const answer = await behind.take({ ...takeOf(charge, { requestId }), onOutage: "local" }, inTime());
    await untilStoreAnswers();
    await until(() => toldBehind.length > before);
    return answer;
  }

  async function untilStoreAnswers(): Promise<void> {
    const request: TakeRequest = { ...takeOf(chargeOf({ cost: 0 })), onOutage: "local" };
    while ((await behind.take(request, inTime())).decidedBy !== "store");
  }

  test("with a request_id the take is decided here, and charged once however it is told and asked again", async () => {
    const charge = chargeOf({ points: 5 });
    expect(await takeUnheard(charge, "r")).toMatchObject({ outcome: "admitted", decidedBy: "local" });
    for (let repeat = 0; repeat < 2; repeat++) {
      expect(
        await behind.take({ ...takeOf(charge, { requestId: "r" }), onOutage: "local" }, inTime()),
      ).toEqual(
        expect.objectContaining({ decidedBy: "store", states: [expect.objectContaining({ remaining: 4 })] }),
      );
    }
    expect(toldBehind.at(-1)).toEqual({ kind: "told", uses: 1, lost: 0 });
  });

  test("without one the take is charged once too: it is never told", async () => {
    const charge = chargeOf({ points: 5 });
    expect(await takeUnheard(charge, "")).toMatchObject({ outcome: "admitted", decidedBy: "local" });
    expect(await patient.take(takeOf(charge, { mode: "peek" }), inTime())).toMatchObject({
      states: [{ remaining: 4 }],
    });
    expect(toldBehind.at(-1)).toEqual({ kind: "told", uses: 0, lost: 1 });
  });
});

async function scriptCalls(): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info("commandstats"))?.[1] ?? 0);
}
