import type { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { OnOutage } from "../../src/core/policy.ts";
import type { Charge, TakeAnswer } from "../../src/core/ports.ts";
import type { BreakerState } from "../../src/points/breaker.ts";
import { type OutageTolerantBuckets, withOutage } from "../../src/points/outage.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets, type RedisBuckets } from "../../src/redis/redis-buckets.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";

let server: RedisServer;
let redis: Redis;
let store: OutageTolerantBuckets;
let patient: RedisBuckets;
beforeAll(async () => {
  server = await startRedis();
  redis = (await createRedis(server.url, { onError: () => {} })) as Redis;
  store = withOutage(createRedisBuckets(redis), { budgetMs: 25, liveReplicas: () => 2 });
  patient = createRedisBuckets(redis, { budgetMs: 10_000 });
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

function take(charge: Charge, onOutage: OnOutage): Promise<TakeAnswer> {
  return store.take({ ...takeOf(charge), onOutage }, inTime());
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
  // What the frozen server found to be late it did not charge.
  expect(await patient.take(takeOf(charge, { mode: "peek" }), inTime())).toMatchObject({
    states: [{ remaining: 299 }],
  });
});
