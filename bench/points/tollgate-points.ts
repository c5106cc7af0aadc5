import type { LimitShape } from "../../src/core/policy.ts";
import type { TakeRequest } from "../../src/core/ports.ts";
import { SUB_WINDOWS } from "../../src/points/sliding.ts";
import { createRedisBuckets, type RedisBuckets } from "../../src/redis/redis-buckets.ts";
import { takeScript } from "../../src/redis/take-script.ts";
import { closedLoop } from "../load/closed-loop.ts";
import { startOwnRedis } from "./own-redis.ts";
import { filledBuckets, inFlight, loadedBuckets, type PointsSubject } from "./points-subject.ts";
import { createSlidingClock } from "./sliding-clock.ts";
import { patienceMs, points, takeOf } from "./take-of.ts";

/** Takes that are handed over at once to make buckets. */
const fillTakes = 2000;
/** Takes that are in flight as a turn ends may fall into the next one. */
const fewestInUse = 50;
const commands = ["eval", "evalsha"];
const admitted = "admitted by store";

/** One limit of that shape, 64 takes in flight in this process: the script and its caller without a server. */
export async function startTollgatePoints(options: {
  name: string;
  shape: LimitShape;
}): Promise<PointsSubject> {
  const { redis, client } = await startOwnRedis();
  await client.script("LOAD", takeScript.source);
  const store = createRedisBuckets(client, { budgetMs: patienceMs });
  let next = 0;
  return {
    name: options.name,
    redis,
    commands,
    admitted,
    async fill() {
      await takeOfEach(store, { shape: options.shape, count: filledBuckets });
      return filledBuckets;
    },
    warmUp: () => takeOfEach(store, { shape: options.shape, count: loadedBuckets }),
    load: loadOf(async () => {
      const request = takeOf(options.shape, { bucket: next++ % loadedBuckets });
      return take(store, request);
    }),
    async stop() {
      client.disconnect();
      await redis.stop();
    },
  };
}

/**
 * The dearest case of `sliding`: every sub-window is in use, and each take ends one, begins one and drops
 * one. On a clock that the bench sets, a sub-window further after each turn of all buckets.
 */
export async function startBusySlidingPoints(options: { name: string }): Promise<PointsSubject> {
  const { redis, client } = await startOwnRedis();
  const clock = createSlidingClock(client);
  const store = createRedisBuckets(client, { budgetMs: patienceMs, script: clock.script });
  let next = 0;
  async function warmUp(): Promise<void> {
    next = 0;
    for (let turn = 0; turn <= SUB_WINDOWS; turn++) {
      await clock.beginSubWindow();
      await takeOfEach(store, { shape: "sliding", count: loadedBuckets });
    }
  }
  return {
    name: options.name,
    redis,
    commands,
    admitted,
    async fill() {
      await warmUp();
      return loadedBuckets;
    },
    warmUp,
    load: loadOf(async () => {
      const bucket = next++ % loadedBuckets;
      if (bucket === 0) await clock.beginSubWindow();
      return take(store, takeOf("sliding", { bucket }), { spent: fewestInUse });
    }),
    async stop() {
      client.disconnect();
      await redis.stop();
    },
  };
}

function loadOf(call: () => Promise<string>): PointsSubject["load"] {
  const caller = async () => ({ status: await call(), isUnexpected: false });
  return {
    run: (bounds) =>
      closedLoop(
        Array.from({ length: inFlight }, () => caller),
        bounds,
      ),
    close() {},
  };
}

async function takeOfEach(
  store: RedisBuckets,
  { shape, count }: { shape: LimitShape; count: number },
): Promise<void> {
  for (let from = 0; from < count; from += fillTakes) {
    const takes = Array.from({ length: Math.min(fillTakes, count - from) }, (_, index) =>
      take(store, takeOf(shape, { bucket: from + index })),
    );
    const refused = (await Promise.all(takes)).find((status) => status !== admitted);
    if (refused !== undefined) throw new Error(`a bucket could not be made: ${refused}`);
  }
}

/** `spent`: what the bucket must have counted, at least. */
async function take(
  store: RedisBuckets,
  request: TakeRequest,
  { spent = 1 }: { spent?: number } = {},
): Promise<string> {
  const { outcome, decidedBy, states } = await store.take(request, performance.now() + patienceMs);
  const counted = points - (states[0]?.remaining ?? points);
  return counted < spent ? `${counted} points counted` : `${outcome} by ${decidedBy}`;
}
