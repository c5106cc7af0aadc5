// npm run test:outage: how long decisions take while Redis is stopped, frozen or slow, and how soon points are exact
// when it is back. Exits 1 above the bounds. On a machine that has two processors to spare.
import { Redis } from "ioredis";
import type { Charge, TakeAnswer } from "../../src/core/ports.ts";
import { type OutageTolerantBuckets, withOutage } from "../../src/points/outage.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import { startRedis } from "../support/redis.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** Of the decisions of each burst, the first burst among them, 99 of 100 within. */
const MOST_MS = 30;
/** From Redis's return to the first decision by it. */
const MOST_BACK_MS = 1000;

const BURST = 1000;
const LATER_BURSTS = 20;
const PAUSE_MS = 50;
/** As a decision has by default. */
const DEADLINE_MS = 2000;

interface World {
  readonly server: Awaited<ReturnType<typeof startRedis>>;
  readonly proxy: TcpProxy;
}

interface Trouble {
  readonly name: string;
  /** Between the bursts and Redis's return. */
  readonly lastsMs: number;
  begin(world: World): Promise<void> | void;
  end(world: World): Promise<void> | void;
}

const troubles: readonly Trouble[] = [
  {
    name: "stopped",
    lastsMs: 2000,
    begin: ({ server }) => server.kill(),
    end: ({ server }) => server.restart(),
  },
  {
    name: "frozen",
    lastsMs: 0,
    begin: ({ server }) => server.pause(),
    end: ({ server }) => server.resume(),
  },
  {
    name: "frozen for 12 s",
    // The connection is given up meanwhile.
    lastsMs: 12_000,
    begin: ({ server }) => server.pause(),
    end: ({ server }) => server.resume(),
  },
  {
    name: "slow (100 ms)",
    lastsMs: 0,
    begin: ({ proxy }) => proxy.delayReplies(100),
    end: ({ proxy }) => proxy.delayReplies(0),
  },
];

const subjects = Array.from({ length: 50 }, (_, index) => chargeOf(`outage/subject-${index}`));
let failed = false;
for (const trouble of troubles) await measure(trouble);
process.exit(failed ? 1 : 0);

async function measure({ name, lastsMs, begin, end }: Trouble): Promise<void> {
  const server = await startRedis();
  const proxy = await startTcpProxy({ toPort: server.port });
  const world = { server, proxy };
  const redis = await createRedis(`redis://127.0.0.1:${proxy.port}`, { onError: () => {} });
  if (!(redis instanceof Redis)) throw new Error("not a cluster");
  const buckets = createRedisBuckets(redis);
  await buckets.prepare();
  const store = withOutage(buckets, { budgetMs: 25, liveReplicas: () => 3 });
  for (let round = 0; round < 20; round++) await burst(store);

  await begin(world);
  const first = await burst(store);
  const later: number[] = [];
  let worst: readonly number[] = [];
  for (let round = 0; round < LATER_BURSTS; round++) {
    await passed(PAUSE_MS);
    const { durations } = await burst(store);
    later.push(...durations);
    if (at(durations, 0.99) > at(worst, 0.99)) worst = durations;
  }
  await passed(lastsMs);
  await end(world);
  const backMs = await untilBack(store);

  line(`${name}: the first decision`, { ms: first.durations[0] ?? 0, bound: MOST_MS });
  line(`${name}: first burst, ${spread(first.durations)}`, { ms: at(first.durations, 0.99), bound: MOST_MS });
  line(`${name}: ${LATER_BURSTS} later bursts, ${spread(later)}`, { ms: at(worst, 0.99), bound: MOST_MS });
  line(`${name}: Redis decides again after`, { ms: backMs, bound: MOST_BACK_MS });
  redis.disconnect();
  await proxy.stop();
  await server.stop();
}

async function burst(
  store: OutageTolerantBuckets,
): Promise<{ answers: TakeAnswer[]; durations: readonly number[] }> {
  const durations: number[] = [];
  const answers = await Promise.all(
    Array.from({ length: BURST }, async (_, index) => {
      const startMs = performance.now();
      const charges = [subjects[index % subjects.length] as Charge];
      const onOutage = (["local", "deny", "allow"] as const)[index % 3] ?? "local";
      const answer = await store.take(
        { charges, mode: "enforce", requestId: "", onOutage },
        startMs + DEADLINE_MS,
      );
      durations[index] = performance.now() - startMs;
      return answer;
    }),
  );
  return { answers, durations };
}

function chargeOf(bucket: string): Charge {
  const points = 1_000_000;
  return {
    limit: {
      name: "points",
      per: "workspace",
      points,
      descriptor: new Map(),
      planPoints: new Map(),
      environments: [],
      windowMs: 1000,
      shape: "sliding",
      blockMs: 0,
    },
    points,
    bucket,
    shardBy: "one workspace",
    cost: 1,
  };
}

/** Until Redis has decided a whole burst. */
async function untilBack(store: OutageTolerantBuckets): Promise<number> {
  const startMs = performance.now();
  for (;;) {
    const atMs = performance.now();
    const { answers } = await burst(store);
    const isBack = answers.every(
      ({ decidedBy, outcome }) => decidedBy === "store" && outcome !== "unavailable",
    );
    if (isBack || atMs - startMs > 10 * MOST_BACK_MS) return atMs - startMs;
    await passed(5);
  }
}

function spread(durations: readonly number[]): string {
  return `p50 ${at(durations, 0.5).toFixed(1)}, max ${at(durations, 1).toFixed(1)}, p99`;
}

/** The duration that the part of them does not exceed. */
function at(durations: readonly number[], part: number): number {
  const sorted = [...durations].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * part) - 1)] ?? 0;
}

function line(what: string, { ms, bound }: { ms: number; bound: number }): void {
  const isWithin = ms <= bound;
  failed ||= !isWithin;
  process.stdout.write(
    `${what.padEnd(70)} ${ms.toFixed(1).padStart(7)} ms${isWithin ? "" : ` (above ${bound})`}\n`,
  );
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
