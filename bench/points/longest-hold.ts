import type { Redis } from "ioredis";
import { SUB_WINDOWS } from "../../src/points/sliding.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { percentile } from "../load/percentile.ts";
import { markdownTable } from "../markdown-table.ts";
import { startOwnRedis } from "./own-redis.ts";
import type { PointsPart } from "./points-part.ts";
import { readRedisInfo } from "./redis-info.ts";
import { createSlidingClock } from "./sliding-clock.ts";
import { patienceMs, takeOf } from "./take-of.ts";

/** Far more than one call takes in. */
const takesAtOnce = 1000;
const measuredCalls = 200;

interface HoldCase {
  readonly limits: number;
  readonly hasRequestId: boolean;
}

/** Up to the most limits that a policy may have. */
const cases: readonly HoldCase[] = [
  { limits: 1, hasRequestId: false },
  { limits: 1, hasRequestId: true },
  { limits: 3, hasRequestId: true },
  { limits: 16, hasRequestId: true },
];

/** How long the largest calls of the script keep Redis from others: time by Redis's own clock, in microseconds. */
export interface Hold extends HoldCase {
  readonly takes: number;
  /** Buckets and request_ids, each of them written. */
  readonly keys: number;
  readonly medianUs: number;
  readonly p99Us: number;
  readonly mostUs: number;
}

/** The dearest takes of `sliding`, each of another subject: every sub-window is in use, and each ends and begins one. */
export async function measureLongestHold(): Promise<PointsPart> {
  const holds: Hold[] = [];
  const { redis, client } = await startOwnRedis();
  try {
    for (const each of cases) {
      await client.flushall();
      holds.push(await measureHold(client, each));
    }
    return { figures: holds, table: longestHoldTable(holds), faults: [] };
  } finally {
    client.disconnect();
    await redis.stop();
  }
}

async function measureHold(client: Redis, { limits, hasRequestId }: HoldCase): Promise<Hold> {
  const clock = createSlidingClock(client);
  let largest = 0;
  const store = createRedisBuckets(client, {
    budgetMs: patienceMs,
    script: clock.script,
    observe: ({ takes }) => {
      largest = Math.max(largest, takes);
    },
  });
  let requestIds = 0;
  const takeAtOnce = async (takes: number): Promise<void> => {
    await clock.beginSubWindow();
    const requests = Array.from({ length: takes }, (_, bucket) =>
      takeOf("sliding", { bucket, limits, requestId: hasRequestId ? `order-${requestIds++}` : "" }),
    );
    const answers = await Promise.all(
      requests.map((request) => store.take(request, performance.now() + patienceMs)),
    );
    const refused = answers.find(({ outcome, decidedBy }) => outcome !== "admitted" || decidedBy !== "store");
    if (refused !== undefined) throw new Error(`a point was not given: ${JSON.stringify(refused)}`);
  };

  await takeAtOnce(takesAtOnce);
  const takes = largest;
  await client.flushall();
  for (let subWindow = 0; subWindow <= SUB_WINDOWS; subWindow++) await takeAtOnce(takes);
  const heldUs: number[] = [];
  for (let call = 0; call < measuredCalls; call++) {
    const before = await readRedisInfo(client, ["evalsha"]);
    await takeAtOnce(takes);
    const after = await readRedisInfo(client, ["evalsha"]);
    if (after.calls - before.calls !== 1) throw new Error(`${takes} takes were not sent in one call`);
    heldUs.push(after.commandUs - before.commandUs);
  }
  const sorted = Float64Array.from(heldUs).sort();
  return {
    limits,
    hasRequestId,
    takes,
    keys: takes * limits * (hasRequestId ? 2 : 1),
    medianUs: percentile(sorted, 0.5),
    p99Us: percentile(sorted, 0.99),
    mostUs: percentile(sorted, 1),
  };
}

/** A Markdown table: a row a case. */
export function longestHoldTable(holds: readonly Hold[]): string {
  return markdownTable(
    ["limits each", "request_ids", "takes in a call", "keys", "µs, median", "99 of 100 within", "most"],
    holds.map(({ limits, hasRequestId, takes, keys, medianUs, p99Us, mostUs }) => [
      String(limits),
      hasRequestId ? "yes" : "no",
      String(takes),
      String(keys),
      medianUs.toFixed(0),
      p99Us.toFixed(0),
      mostUs.toFixed(0),
    ]),
  );
}
