import { setTimeout as delay } from "node:timers/promises";
import type { Cluster, Redis } from "ioredis";
import type { BucketStore, Charge } from "../../src/core/ports.ts";
import { createKeyNames } from "../../src/redis/key-names.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";

/** A bucket that is charged one point after another, each under a request_id of its own. */
export interface ChargedBucket {
  readonly charge: Charge;
  /** Its name in Redis. */
  readonly key: string;
  readonly takes: readonly Take[];
}

/** Milliseconds of the monotonic clock. */
interface Take {
  readonly requestKey: string;
  readonly sentMs: number;
  readonly answeredMs: number;
  /** Otherwise it may have been charged. */
  readonly isAdmitted: boolean;
}

export interface Loss {
  readonly admitted: number;
  /** Of those: charges that Redis does not know any more. */
  readonly lost: number;
  /** From the answer to the first of them to that to the last; ms. */
  readonly lostSpanMs: number;
}

export interface Charging {
  readonly buckets: readonly ChargedBucket[];
  /** Sends no more, and waits for what was sent. */
  stop(): Promise<void>;
}

const names = createKeyNames({ shards: 64 });

/** All of a run are within one window. */
const HOUR_MS = 3_600_000;

const POINTS = 1_000_000;

/** Between two takes of a bucket, on average. */
const PAUSE_MS = 10;

/** Long: what is measured is Redis, not how busy this machine is. */
const BUDGET_MS = 100;

let lastRun = 0;

export interface ChargingStores {
  readonly redis: Redis | Cluster;
  readonly charged: BucketStore;
  readonly read: BucketStore;
}

export function createChargingStores(redis: Redis | Cluster): ChargingStores {
  return {
    redis,
    charged: createRedisBuckets(redis, { budgetMs: BUDGET_MS }),
    read: createRedisBuckets(redis, { budgetMs: 5000 }),
  };
}

export function startCharging(
  { charged }: ChargingStores,
  { buckets: count }: { buckets: number },
): Charging {
  const stopped = new AbortController();
  const run = ++lastRun;
  const buckets = Array.from({ length: count }, (_, number) => {
    const charge = chargeOf(`${run}-${number}`);
    return { charge, key: names.bucket(charge), takes: [] as Take[] };
  });
  const loops = buckets.map(async ({ charge, takes }) => {
    for (let number = 0; !stopped.signal.aborted; number++) {
      const requestId = String(number);
      const sentMs = performance.now();
      const isAdmitted = await charged
        .take({ charges: [charge], mode: "enforce", requestId, onOutage: "deny" }, sentMs + 1000)
        .then(
          ({ outcome }) => outcome === "admitted",
          () => false,
        );
      const requestKey = names.request(charge, requestId);
      takes.push({ requestKey, sentMs, answeredMs: performance.now(), isAdmitted });
      // At random, or all buckets go on in step.
      await delay(Math.random() * 2 * PAUSE_MS);
    }
  });
  return {
    buckets,
    async stop() {
      stopped.abort();
      await Promise.all(loops);
    },
  };
}

/** What Redis answered, and what it knows now. Throws where it knows of other charges than of request_ids. */
export async function lossOf(
  { redis, read }: ChargingStores,
  buckets: readonly ChargedBucket[],
): Promise<Loss> {
  const lostMs: number[] = [];
  let admitted = 0;
  for (const { charge, takes } of buckets) {
    const known = await Promise.all(takes.map(({ requestKey }) => redis.exists(requestKey)));
    const peek = { charges: [charge], mode: "peek", requestId: "", onOutage: "deny" } as const;
    const { states } = await read.take(peek, performance.now() + 5000);
    const spent = POINTS - (states[0]?.remaining ?? 0);
    const charged = known.filter((count) => count === 1).length;
    if (spent !== charged) throw new Error(`${spent} points are spent, by ${charged} request_ids`);
    takes.forEach(({ isAdmitted, answeredMs }, index) => {
      if (!isAdmitted) return;
      admitted++;
      if (known[index] === 0) lostMs.push(answeredMs);
    });
  }
  return {
    admitted,
    lost: lostMs.length,
    lostSpanMs: lostMs.length === 0 ? 0 : Math.max(...lostMs) - Math.min(...lostMs),
  };
}

function chargeOf(bucket: string): Charge {
  return {
    limit: {
      name: "points",
      per: "workspace",
      points: POINTS,
      descriptor: new Map(),
      planPoints: new Map(),
      environments: [],
      windowMs: HOUR_MS,
      shape: "fixed",
      blockMs: 0,
    },
    points: POINTS,
    bucket,
    shardBy: bucket,
    cost: 1,
  };
}
