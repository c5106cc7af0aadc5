import { rememberUs, slackUs } from "../../src/points/retention.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { markdownTable } from "../markdown-table.ts";
import { startOwnRedis } from "./own-redis.ts";
import { measureMemory, type PointsMemory } from "./points-memory.ts";
import type { PointsPart } from "./points-part.ts";
import { readRedisInfo } from "./redis-info.ts";
import { patienceMs, takeOf, windowMs } from "./take-of.ts";

const requestIds = 100_000;
/** So few that their own memory does not show. */
const buckets = 100;
const atOnce = 2000;
/** What the bound is told for. */
const requestsPerSecond = 1000;
/** How long Redis keeps each: for as long as it is remembered, and a while longer. */
const keptS = (rememberUs(windowMs * 1000) + slackUs(windowMs * 1000)) / 1e6;

/** What remembered request_ids take: those of one limit with a window of a minute. */
export async function measureRequestIds(): Promise<PointsPart> {
  const { redis, client } = await startOwnRedis();
  try {
    const store = createRedisBuckets(client, { budgetMs: patienceMs });
    const takeEach = async (from: number, count: number, prefix: string): Promise<void> => {
      const requests = Array.from({ length: count }, (_, index) =>
        takeOf("fixed", {
          bucket: (from + index) % buckets,
          requestId: prefix === "" ? "" : `${prefix}-${from + index}`,
        }),
      );
      const answers = await Promise.all(
        requests.map((request) => store.take(request, performance.now() + patienceMs)),
      );
      const refused = answers.find(
        ({ outcome, decidedBy }) => outcome !== "admitted" || decidedBy !== "store",
      );
      if (refused !== undefined) throw new Error(`a point was not given: ${JSON.stringify(refused)}`);
    };
    await takeEach(0, buckets, "");
    const before = await readRedisInfo(client, []);
    for (let from = 0; from < requestIds; from += atOnce) await takeEach(from, atOnce, "order");
    const memory = await measureMemory(client, {
      entries: requestIds,
      before,
      latestExpiryMs: keptS * 1000,
    });
    return { figures: { keptS, memory }, table: requestIdsTable(memory), faults: memory.faults };
  } finally {
    client.disconnect();
    await redis.stop();
  }
}

/** A Markdown table of one row. */
export function requestIdsTable({ entries, bytesEach, largestBytes }: PointsMemory): string {
  const megabytes = (bytesEach * requestsPerSecond * keptS) / 1e6;
  return markdownTable(
    ["remembered request_ids", "bytes each", "MEMORY USAGE, most", "kept s", "MB at 1,000 requests/s"],
    [[String(entries), bytesEach.toFixed(0), String(largestBytes), String(keptS), megabytes.toFixed(0)]],
  );
}
