import { setTimeout as delay } from "node:timers/promises";
import { createRedis } from "../../src/redis/connect.ts";
import { type NodeProxy, startNodeProxy } from "../support/node-proxy.ts";
import { startRedis } from "../support/redis.ts";
import { type MasterNode, type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { until } from "../support/until.ts";
import {
  type ChargedBucket,
  type ChargingStores,
  createChargingStores,
  type Loss,
  lossOf,
  startCharging,
} from "./charged-buckets.ts";

/** One end of a master and what came of it. */
interface Outcome extends Loss {
  /** From the end to the first take of each of its buckets that Redis decided again; ms. */
  readonly outageMs: number;
  /** The part of it that came after a replica had become master, or the server was up again. */
  readonly afterwardsMs: number;
}

interface Ended {
  readonly endedMs: number;
  readonly backMs: number;
}

interface ClusterEnding {
  readonly args?: readonly string[];
  readonly end: (of: Members) => Promise<Ended>;
}

interface Members {
  readonly cluster: RedisCluster;
  readonly master: MasterNode;
  readonly proxy: NodeProxy;
}

const BUCKETS = 40;

/** How long buckets are charged before the end. */
const BEFORE_MS = 1500;

const STALL_MS = 5000;

const NODE_TIMEOUT_MS = 1500;

const minReplicas = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", "1"];

const clusterEndings: Readonly<Record<string, ClusterEnding>> = {
  "CLUSTER FAILOVER": {
    async end({ cluster, master }) {
      const endedMs = performance.now();
      await cluster.failOver(master);
      return { endedMs, backMs: performance.now() };
    },
  },
  "process killed": { end: killed },
  "machine gone, replica 10 ms behind": { end: goneBehind(10) },
  "machine gone, replica 100 ms behind": { end: goneBehind(100) },
  "machine gone, replica cut off for 5 s": { end: goneCutOff },
  "the same with min-replicas-to-write 1": { args: minReplicas, end: goneCutOff },
};

async function killed({ cluster, master, proxy }: Members): Promise<Ended> {
  const endedMs = performance.now();
  await master.server.kill();
  proxy.cut();
  await cluster.takenOver(master);
  const backMs = performance.now();
  await master.server.restart();
  return { endedMs, backMs };
}

function goneBehind(byMs: number): (members: Members) => Promise<Ended> {
  return async (members) => {
    members.proxy.delayReplicas(byMs);
    await delay(BEFORE_MS);
    return gone(members);
  };
}

async function goneCutOff(members: Members): Promise<Ended> {
  members.proxy.stallReplicas();
  await delay(STALL_MS);
  return gone(members);
}

/** Nothing that it sent and that has not arrived arrives any more. */
async function gone(members: Members): Promise<Ended> {
  members.proxy.cut();
  return killed(members);
}

const serverEndings: Readonly<Record<string, readonly string[]>> = {
  "one Redis restarted, no persistence": [],
  "one Redis killed, appendfsync no": ["--appendonly", "yes", "--appendfsync", "no"],
  "one Redis killed, appendfsync everysec": ["--appendonly", "yes", "--appendfsync", "everysec"],
  "one Redis killed, appendfsync always": ["--appendonly", "yes", "--appendfsync", "always"],
};

async function inCluster({ args = [], end }: ClusterEnding, times: number): Promise<Outcome[]> {
  const proxies = new Map<number, NodeProxy>();
  const cluster = await startRedisCluster({
    nodeTimeoutMs: NODE_TIMEOUT_MS,
    args,
    announce: async (port) => {
      const proxy = await startNodeProxy({ toPort: port });
      proxies.set(port, proxy);
      return proxy.port;
    },
  });
  const redis = await createRedis(cluster.nodes[0]?.server.url ?? "", { onError: () => {} });
  const stores = createChargingStores(redis);
  const outcomes: Outcome[] = [];
  for (let time = 0; time < times; time++) {
    const master = (await cluster.masters())[time % 3] as MasterNode;
    const proxy = proxies.get(master.server.port) as NodeProxy;
    outcomes.push(await measure(stores, { slots: master.slots, end: () => end({ cluster, master, proxy }) }));
    await cluster.whole();
  }
  redis.disconnect();
  await cluster.stop();
  for (const proxy of proxies.values()) await proxy.stop();
  return outcomes;
}

async function onServer(args: readonly string[], times: number): Promise<Outcome[]> {
  const server = await startRedis({ args });
  const redis = await createRedis(server.url, { onError: () => {} });
  const stores = createChargingStores(redis);
  const outcomes: Outcome[] = [];
  for (let time = 0; time < times; time++) {
    const end = async () => {
      const endedMs = performance.now();
      await server.kill();
      await server.restart();
      return { endedMs, backMs: performance.now() };
    };
    outcomes.push(await measure(stores, { slots: undefined, end }));
  }
  redis.disconnect();
  await server.stop();
  return outcomes;
}

async function measure(
  stores: ChargingStores,
  { slots, end }: { slots: MasterNode["slots"] | undefined; end: () => Promise<Ended> },
): Promise<Outcome> {
  const charging = startCharging(stores, { buckets: BUCKETS });
  const hit: ChargedBucket[] = [];
  for (const bucket of charging.buckets) {
    const slot = slots === undefined ? 0 : await stores.redis.cluster("KEYSLOT", bucket.key);
    if (slots === undefined || slots.some(([first, last]) => first <= slot && slot <= last)) hit.push(bucket);
  }
  await delay(BEFORE_MS);
  const { endedMs, backMs } = await end();
  const againMs = ({ takes }: ChargedBucket): number | undefined =>
    takes.find(({ isAdmitted, sentMs }) => isAdmitted && sentMs >= endedMs)?.answeredMs;
  await until(async () => {
    await delay(5);
    return hit.every((bucket) => againMs(bucket) !== undefined);
  });
  await charging.stop();
  const decidedMs = Math.max(...hit.map((bucket) => againMs(bucket) as number));
  const loss = await lossOf(stores, hit);
  return {
    ...loss,
    outageMs: decidedMs - endedMs,
    afterwardsMs: Math.max(0, decidedMs - backMs),
  };
}

function print(name: string, outcomes: readonly Outcome[]): void {
  const most = (values: readonly number[]) => Math.max(...values).toFixed(0);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const lines = [
    `${name}, ${outcomes.length} times`,
    `  lost by Redis      ${sum(outcomes.map(({ lost }) => lost))} of ${sum(outcomes.map(({ admitted }) => admitted))} charges`,
    `  admitted within    ${most(outcomes.map(({ lostSpanMs }) => lostSpanMs))} ms`,
    `  undecided for      ${most(outcomes.map(({ outageMs }) => outageMs))} ms at most`,
    `  once one was there ${most(outcomes.map(({ afterwardsMs }) => afterwardsMs))} ms at most`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

/**
 * Charges buckets in Redis Cluster, and in one Redis, while a master ends in one way or another, each so many `times`,
 * and prints what Redis had answered and then did not know any more.
 */
export async function measureLosses({ times }: { times: number }): Promise<void> {
  for (const [name, ending] of Object.entries(clusterEndings)) print(name, await inCluster(ending, times));
  for (const [name, args] of Object.entries(serverEndings)) print(name, await onServer(args, times));
}
