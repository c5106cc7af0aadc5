import { Redis } from "ioredis";
import type { LimitShape } from "../../src/core/policy.ts";
import type { Charge, TakeRequest } from "../../src/core/ports.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets, type RedisBuckets } from "../../src/redis/redis-buckets.ts";
import { assembleTakeScript, takeScript } from "../../src/redis/take-script.ts";
import { startRedis } from "../../test/support/redis.ts";
import { closedLoop } from "../load/closed-loop.ts";
import { filledBuckets, inFlight, loadedBuckets, type PointsSubject } from "./points-subject.ts";

const windowMs = 60_000;
/** Far more than what is charged: the load must not be refused. */
const points = 100_000;
/** Takes that are handed over at once to make buckets. */
const fillTakes = 2000;
/** Far more than any take needs: a bench that fails because the machine was busy says nothing. */
const patienceMs = 60_000;
const subWindows = 60;
/** Takes that are in flight as a turn ends may fall into the next one. */
const fewestInUse = 50;
const clockKey = "bench-clock";
/** Far more than a turn lasts. */
const clockLastsS = 300;
const commands = ["eval", "evalsha"];
const admitted = "admitted by store";

/** One limit of that shape, 64 takes in flight in this process: the script and its caller without a server. */
export async function startTollgatePoints(options: {
  name: string;
  shape: LimitShape;
}): Promise<PointsSubject> {
  const { redis, client } = await startOwnRedis();
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
      const request = requestOf(options.shape, next++ % loadedBuckets);
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
  const script = assembleTakeScript(`tonumber(redis.call('GET', '${clockKey}'))`);
  const store = createRedisBuckets(client, { budgetMs: patienceMs, script });
  let clockMs = 0;
  let next = 0;
  async function beginTurn(): Promise<void> {
    // Redis drops keys by its own clock, so that this one must not fall behind it.
    clockMs = Math.max(clockMs + windowMs / subWindows, Date.now());
    await client.set(clockKey, (clockMs * 1000).toFixed(0), "EX", clockLastsS);
  }
  async function warmUp(): Promise<void> {
    next = 0;
    for (let turn = 0; turn <= subWindows; turn++) {
      await beginTurn();
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
      if (bucket === 0) await beginTurn();
      return take(store, requestOf("sliding", bucket), { spent: fewestInUse });
    }),
    async stop() {
      client.disconnect();
      await redis.stop();
    },
  };
}

async function startOwnRedis() {
  const redis = await startRedis();
  const client = await createRedis(redis.url, {
    onError: (error) => {
      throw error;
    },
  });
  if (!(client instanceof Redis)) throw new Error("the bench's Redis is a cluster");
  await client.script("LOAD", takeScript.source);
  return { redis, client };
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
      take(store, requestOf(shape, from + index)),
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

/** Of a key in a workspace of its own. */
function requestOf(shape: LimitShape, bucket: number): TakeRequest {
  const charge: Charge = {
    limit: {
      name: "points",
      per: "key",
      points,
      descriptor: new Map(),
      planPoints: new Map(),
      environments: [],
      windowMs,
      shape,
      blockMs: 0,
    },
    points,
    bucket: `retrac/points/key-${bucket}`,
    shardBy: `retrac/workspace-${bucket}`,
    cost: 1,
  };
  return { charges: [charge], mode: "enforce", requestId: "", onOutage: "deny" };
}
