import { setTimeout as delay } from "node:timers/promises";
import type { ClusterNode, MasterNode, RedisCluster } from "../support/redis-cluster.ts";
import { type Choices, createChoices } from "./choices.ts";
import type { AskedServer } from "./servers.ts";

export const clusterFaultKinds = [
  "moved slots",
  "failover",
  "cut",
  "paused node",
  "script flush",
  "killed server",
  "killed master",
] as const;

export type ClusterFaultKind = (typeof clusterFaultKinds)[number];

/** A fault that has ended: the cluster is whole again. Milliseconds of the monotonic clock. */
export interface ClusterFault {
  readonly kind: ClusterFaultKind;
  readonly fromMs: number;
  readonly toMs: number;
  /** Of "moved slots". */
  readonly keys?: number;
}

export interface ClusterFaultOptions {
  readonly seed: number;
  readonly servers: readonly AskedServer[];
  readonly cluster: RedisCluster;
  /** From the end of one fault to the next: from 0 to below that. */
  readonly pauseMs: number;
  /** Faults from one killed master to the next; 0: none is killed. */
  readonly killsMasterEvery: number;
  /** A call of a server arrives there, and its reply does not come back. */
  readonly cutNextReply: (node: ClusterNode) => void;
  /** Answers once a replica is master and the killed node was started again. */
  readonly killMaster: (master: MasterNode) => Promise<void>;
  readonly onFault: (fault: ClusterFault) => void;
  /** A node will cut a reply; beside the faults. */
  readonly onCutReply: () => void;
  /** Aborted: no fault begins any more. */
  readonly signal: AbortSignal;
}

/** However short the run, these come. */
const first: readonly ClusterFaultKind[] = ["cut", "moved slots", "failover"];

/** How often each comes then; a failover takes the longest. */
const later: readonly ClusterFaultKind[] = [
  "moved slots",
  "moved slots",
  "moved slots",
  "failover",
  "failover",
  "cut",
  "cut",
  "cut",
  "paused node",
  "script flush",
  "killed server",
];

const MOST_SLOTS = 4;

/** Between two replies that are cut: from 0 to below that. */
const CUT_REPLY_MS = 250;

/**
 * One fault after another until `signal`: between two the cluster is whole. All the while single replies are cut.
 * The order is the seed's, the hour is not.
 */
export async function causeClusterFaults(options: ClusterFaultOptions): Promise<void> {
  await Promise.all([changeCluster(options), cutReplies(options)]);
}

/** None while a server is started: it would not get ready. */
async function cutReplies({
  seed,
  servers,
  cluster,
  cutNextReply,
  onCutReply,
  signal,
}: ClusterFaultOptions): Promise<void> {
  const choices = createChoices(seed, -3);
  while (!signal.aborted) {
    const node = choices.oneOf(cluster.nodes);
    if (servers.every(({ isUp }) => isUp)) {
      cutNextReply(node);
      onCutReply();
    }
    await delay(choices.below(CUT_REPLY_MS));
  }
}

async function changeCluster(options: ClusterFaultOptions): Promise<void> {
  const { seed, killsMasterEvery, pauseMs, onFault, signal } = options;
  const choices = createChoices(seed, -2);
  for (let count = 1; !signal.aborted; count++) {
    const killsMaster = killsMasterEvery > 0 && count % killsMasterEvery === 0;
    const kind = killsMaster ? "killed master" : (first[count - 1] ?? choices.oneOf(later));
    const pause = choices.below(pauseMs);
    const fromMs = performance.now();
    const keys = await cause(kind, { ...options, choices });
    await options.cluster.whole();
    onFault({ kind, fromMs, toMs: performance.now(), ...(keys !== undefined && { keys }) });
    await delay(pause);
  }
}

async function cause(
  kind: ClusterFaultKind,
  { cluster, servers, choices, ...options }: ClusterFaultOptions & { choices: Choices },
): Promise<number | undefined> {
  const server = choices.oneOf(servers);
  const masters = await cluster.masters();
  const master = choices.oneOf(await holdingKeys(masters, options.signal));
  const other = choices.oneOf(masters.filter(({ id }) => id !== master.id));
  const slots = 1 + choices.below(MOST_SLOTS);
  if (kind === "moved slots") return moveSlots(cluster, { from: master, to: other, slots });
  if (kind === "failover") await cluster.failOver(master);
  else if (kind === "cut") await master.admin.call("CLIENT", "KILL", "TYPE", "normal");
  else if (kind === "script flush") await master.admin.script("FLUSH");
  else if (kind === "killed server") await server.killAndRestart();
  else if (kind === "killed master") await options.killMaster(master);
  else {
    master.server.pause();
    await delay(200);
    master.server.resume();
  }
  return undefined;
}

/** Those that hold any; at the start none does yet. With `signal` all, as nobody asks any more. */
async function holdingKeys(
  masters: readonly MasterNode[],
  signal: AbortSignal,
): Promise<readonly MasterNode[]> {
  while (!signal.aborted) {
    const sizes = await Promise.all(masters.map(({ admin }) => admin.dbsize()));
    const holding = masters.filter((_, index) => (sizes[index] as number) > 0);
    if (holding.length > 0) return holding;
    await delay(20);
  }
  return masters;
}

/** Slots that hold keys: those of some of them. */
async function moveSlots(
  cluster: RedisCluster,
  { from, to, slots }: { from: MasterNode; to: ClusterNode; slots: number },
): Promise<number> {
  const held = new Set<number>();
  for (let look = 0; look < slots; look++) {
    const key = await from.admin.randomkey();
    if (key !== null) held.add(await from.admin.cluster("KEYSLOT", key));
  }
  let keys = 0;
  for (const slot of held) keys += await cluster.moveSlot(slot, { from, to });
  return keys;
}
