import { randomBytes } from "node:crypto";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { freePort } from "./free-port.ts";
import { reapFolder } from "./reaper.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { until } from "./until.ts";

export interface RedisClusterOptions {
  /** Default 3; the slots are spread over them. */
  masters?: number;
  /** Of each master. Default 1. */
  replicas?: number;
  /** After that long without a word a node is held to be gone. Default 5000: none is by mistake. */
  nodeTimeoutMs?: number;
  /** On top of ours, for each node. */
  args?: readonly string[];
  /** Answers the port that a node announces in place of its own: something that leads there. */
  announce?: (port: number) => Promise<number>;
}

/** A node, which may be a master now and a replica later. */
export interface ClusterNode {
  readonly server: RedisServer;
  /** Straight to this node, whatever its role; waits while the node is down. */
  readonly admin: Redis;
  readonly id: string;
}

export interface MasterNode extends ClusterNode {
  readonly replicas: readonly ClusterNode[];
  /** First and last, both included. */
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/** A Redis Cluster of one's own, without persistence. Nothing here is to be called while something else of it runs. */
export interface RedisCluster {
  readonly nodes: readonly ClusterNode[];
  masters(): Promise<readonly MasterNode[]>;
  /** The master's first replica takes its place with its consent (CLUSTER FAILOVER); answers the new master. */
  failOver(master: MasterNode): Promise<ClusterNode>;
  /** Moves a slot with its keys, as `redis-cli --cluster reshard` does; answers how many keys that were. */
  moveSlot(slot: number, way: { from: ClusterNode; to: ClusterNode }): Promise<number>;
  /** Until a replica of this master, which is gone, is master. */
  takenOver(master: MasterNode): Promise<ClusterNode>;
  /** Until all nodes are up, replicas follow their masters, and each node knows all of that. */
  whole(): Promise<void>;
  stop(): Promise<void>;
}

const SLOTS = 16_384;

/** Between two looks at a cluster that is to come to terms. */
const LOOK_AGAIN_MS = 20;

/** Keys that one MIGRATE moves: `redis-cli`'s own number. */
const KEYS_AT_ONCE = 10;

export async function startRedisCluster({
  masters = 3,
  replicas = 1,
  nodeTimeoutMs = 5000,
  args = [],
  announce = async (port) => port,
}: RedisClusterOptions = {}): Promise<RedisCluster> {
  const plans: NodePlan[] = [];
  const ports = new Set<number>();
  const count = masters * (1 + replicas);
  // Nobody listens on them yet, so that the same one may be found twice.
  while (ports.size < 2 * count) ports.add(await freePort());
  for (let number = 0; number < count; number++) {
    const [port, busPort] = [...ports].slice(2 * number) as [number, number];
    const id = randomBytes(20).toString("hex");
    plans.push({ number, id, port, busPort, announcedPort: await announce(port) });
  }
  const folder = mkdtempSync(join(tmpdir(), "tollgate-cluster-"));
  reapFolder(folder);
  const nodes = await Promise.all(
    plans.map(async (plan) => {
      const file = join(folder, `${plan.id}.conf`);
      writeFileSync(file, knownNodes(plans, { masters, own: plan }));
      const ownArgs = ["--cluster-config-file", file, "--cluster-announce-port", String(plan.announcedPort)];
      return startNode(plan, [...clusterArguments(nodeTimeoutMs), ...ownArgs, ...args]);
    }),
  );
  const cluster = clusterOf(nodes);
  await cluster.whole();
  return cluster;
}

interface NodePlan {
  readonly number: number;
  readonly id: string;
  readonly port: number;
  readonly busPort: number;
  readonly announcedPort: number;
}

async function startNode({ id, port, busPort }: NodePlan, args: readonly string[]): Promise<ClusterNode> {
  const server = await startRedis({ port, args: [...args, "--cluster-port", String(busPort)] });
  const admin = new Redis(server.url, {
    protocol: 2,
    maxRetriesPerRequest: null,
    retryStrategy: () => LOOK_AGAIN_MS,
  });
  // A node that is killed is not reached for a while.
  admin.on("error", () => {});
  return { server, admin, id };
}

function clusterArguments(nodeTimeoutMs: number): string[] {
  return [
    ...["--cluster-enabled", "yes", "--cluster-node-timeout", String(nodeTimeoutMs)],
    // However old what a replica holds: the cluster is to be whole again.
    ...["--cluster-replica-validity-factor", "0", "--cluster-migration-barrier", "99"],
    ...["--repl-diskless-sync-delay", "0"],
  ];
}

/** The nodes' own file: they know each other from the start, which takes many seconds by CLUSTER MEET. */
function knownNodes(
  plans: readonly NodePlan[],
  { masters, own }: { masters: number; own: NodePlan },
): string {
  const lines = plans.map(({ number, id, announcedPort, busPort }) => {
    const master = plans[number % masters] as NodePlan;
    const isMaster = number < masters;
    const first = Math.floor((number * SLOTS) / masters);
    const last = Math.floor(((number + 1) * SLOTS) / masters) - 1;
    return [
      ...[id, `127.0.0.1:${announcedPort}@${busPort}`],
      `${id === own.id ? "myself," : ""}${isMaster ? "master" : "slave"}`,
      ...[isMaster ? "-" : master.id, "0", "0", String(master.number + 1), "connected"],
      ...(isMaster ? [`${first}-${last}`] : []),
    ].join(" ");
  });
  return `${lines.join("\n")}\nvars currentEpoch ${masters} lastVoteEpoch 0\n`;
}

function clusterOf(nodes: readonly ClusterNode[]): RedisCluster {
  const byId = new Map(nodes.map((node) => [node.id, node]));

  async function isWhole(): Promise<boolean> {
    const views = await Promise.all(nodes.map(({ admin }) => viewOf(admin)));
    const pictures = new Set(views.map((view) => JSON.stringify(view)));
    const [view = []] = views;
    if (pictures.size !== 1 || view.some(({ flags }) => flags.includes("fail"))) return false;
    const infos = await Promise.all(
      nodes.map(async ({ admin }) => `${await admin.info("replication")}${await admin.cluster("INFO")}`),
    );
    return infos.every(
      (info) => info.includes("cluster_state:ok") && !info.includes("master_link_status:down"),
    );
  }

  async function roleOf({ admin }: ClusterNode): Promise<unknown> {
    return (await admin.role())[0];
  }

  async function takenOver({ replicas }: MasterNode): Promise<ClusterNode> {
    let successor: ClusterNode | undefined;
    await soon(async () => {
      for (const replica of replicas) if ((await roleOf(replica)) === "master") successor = replica;
      return successor !== undefined;
    });
    return successor as ClusterNode;
  }

  return {
    nodes,
    takenOver,
    whole: () => soon(isWhole),

    async masters() {
      const up = nodes.find(({ admin }) => admin.status === "ready") as ClusterNode;
      const view = await viewOf(up.admin);
      const ofMaster = (id: string) => view.filter(({ masterId }) => masterId === id);
      return view
        .filter(({ masterId, slots }) => masterId === "-" && slots.length > 0)
        .map(({ id, slots }) => ({
          ...(byId.get(id) as ClusterNode),
          slots,
          replicas: ofMaster(id).map((replica) => byId.get(replica.id) as ClusterNode),
        }));
    },

    async failOver(master) {
      const [replica] = master.replicas;
      if (replica === undefined) throw new Error("the master has no replica");
      await replica.admin.cluster("FAILOVER");
      return takenOver(master);
    },

    async moveSlot(slot, { from, to }) {
      await to.admin.cluster("SETSLOT", slot, "IMPORTING", from.id);
      await from.admin.cluster("SETSLOT", slot, "MIGRATING", to.id);
      let moved = 0;
      for (;;) {
        const keys = await from.admin.cluster("GETKEYSINSLOT", slot, KEYS_AT_ONCE);
        if (keys.length === 0) break;
        await from.admin.migrate("127.0.0.1", to.server.port, "", 0, 5000, "KEYS", ...keys);
        moved += keys.length;
      }
      for (const { admin } of [to, from, ...nodes.filter(({ id }) => id !== to.id && id !== from.id)]) {
        // A replica cannot be told; it hears of it.
        if ((await admin.role())[0] === "master") await admin.cluster("SETSLOT", slot, "NODE", to.id);
      }
      return moved;
    },

    async stop() {
      for (const { admin } of nodes) admin.disconnect();
      await Promise.all(nodes.map(({ server }) => server.stop()));
    },
  };
}

interface NodeView {
  readonly id: string;
  readonly flags: readonly string[];
  /** "-": it is a master itself. */
  readonly masterId: string;
  readonly slots: readonly (readonly [first: number, last: number])[];
}

/** What a node knows of all, by id: the lines of CLUSTER NODES without what differs from node to node. */
async function viewOf(admin: Redis): Promise<NodeView[]> {
  const lines = String(await admin.cluster("NODES"))
    .trim()
    .split("\n");
  const view = lines.map((line) => {
    const [id = "", , flags = "", masterId = "", , , , , ...slots] = line.split(" ");
    return {
      id,
      flags: flags.split(",").filter((flag) => flag !== "myself"),
      masterId,
      // One that is just being moved stands in brackets.
      slots: slots.filter((range) => !range.startsWith("[")).map(rangeOf),
    };
  });
  return view.sort((a, b) => (a.id < b.id ? -1 : 1));
}

function rangeOf(text: string): readonly [first: number, last: number] {
  const [first = "", last = first] = text.split("-");
  return [Number(first), Number(last)];
}

async function soon(isSo: () => Promise<boolean>): Promise<void> {
  await until(async () => {
    if (await isSo()) return true;
    await delay(LOOK_AGAIN_MS);
    return false;
  });
}
