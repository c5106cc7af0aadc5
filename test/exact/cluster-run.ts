import { randomBytes } from "node:crypto";
import { createJsonApi } from "../support/json-api.ts";
import { type NodeProxy, startNodeProxy } from "../support/node-proxy.ts";
import { type ClusterNode, type RedisCluster, startRedisCluster } from "../support/redis-cluster.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { LONGEST_ANSWER_MS } from "./asking.ts";
import { type BrokenRule, findViolations, type Violation } from "./checker.ts";
import { runClient } from "./clients.ts";
import { type ClusterFault, causeClusterFaults } from "./cluster-faults.ts";
import { acquainted, recovered, SERVERS, spendAll } from "./exact-run.ts";
import type { Decision, ExactLimit } from "./history.ts";
import { type AskedServer, startAskedServer } from "./servers.ts";
import { createSubjects, longerLimits, type OnOutage, writePolicies } from "./subjects.ts";

export interface ClusterRunOptions {
  readonly seed: number;
  readonly onOutage: OnOutage;
  /** At least so many, repeats not counted. */
  readonly decisions: number;
  readonly clients: number;
  readonly subjects: number;
  /** An empty database. */
  readonly databaseUrl: string;
  /** How long a server waits for Redis: longer than usual where all of this shares a busy machine. */
  readonly budgetMs: number;
  /** How long a client waits between two calls, below. */
  readonly clientPauseMs: number;
  /** How long it is from one fault to the next, below. */
  readonly faultPauseMs: number;
  /** Faults from one killed master to the next; 0: none is killed, and Redis loses nothing. */
  readonly killsMasterEvery: number;
  /** What replicas get, they get so much later, and what is on its way when their master is killed is lost. */
  readonly replicasBehindMs: number;
  /** Windows so many times as long, with as many points: what is lost shows only while its window runs. Default 1. */
  readonly windows?: number;
}

export interface ClusterRun {
  readonly history: readonly Decision[];
  readonly faults: readonly ClusterFault[];
  readonly cutReplies: number;
  readonly violations: readonly Violation[];
  /** Those that a killed master's lost charges can explain. */
  readonly byLoss: readonly Violation[];
  /** Decisions so long before or after a killed master that no loss explains what is wrong with them. */
  readonly beyondLoss: number;
  /** Keys that would stay in Redis for ever. */
  readonly keysWithoutExpiry: readonly string[];
}

/** The exact run, on a Redis Cluster whose slots move and whose masters change while it runs. */
export async function clusterRun(options: ClusterRunOptions): Promise<ClusterRun> {
  const { seed, databaseUrl, killsMasterEvery, replicasBehindMs, windows = 1 } = options;
  const limits = longerLimits(windows);
  const proxies = new Map<number, NodeProxy>();
  const cluster = await startRedisCluster({
    // With no master to be missed, none is to be missed by mistake either.
    nodeTimeoutMs: killsMasterEvery > 0 ? 1500 : 5000,
    announce: async (port) => {
      const proxy = await startNodeProxy({ toPort: port });
      proxy.delayReplicas(replicasBehindMs);
      proxies.set(port, proxy);
      return proxy.port;
    },
  });
  const proxyOf = ({ server }: ClusterNode) => proxies.get(server.port) as NodeProxy;
  const env = {
    DATABASE_URL: databaseUrl,
    TOLLGATE_ADMIN_TOKEN: randomBytes(24).toString("hex"),
    TOLLGATE_POINTS_BUDGET: `${options.budgetMs}ms`,
    TOLLGATE_POLICIES: writePolicies(options.onOutage, windows),
  };
  const servers: AskedServer[] = [];
  const history: Decision[] = [];
  const faults: ClusterFault[] = [];
  let cutReplies = 0;
  try {
    await runTollgate(["migrate"], { env });
    for (let number = 1; number <= SERVERS; number++) {
      // Each by a node of its own, which is a master now, and later perhaps a replica.
      const { url } = (cluster.nodes[number] as RedisCluster["nodes"][number]).server;
      servers.push(
        await startAskedServer({
          number,
          env: { ...env, REDIS_URL: url },
          // A start that cannot reach Redis fails, as it should.
          beforeRestart: () => {
            for (const proxy of proxies.values()) proxy.calm();
          },
        }),
      );
    }
    const call = createJsonApi((servers[0] as AskedServer).url, env.TOLLGATE_ADMIN_TOKEN);
    const subjects = await createSubjects(call, options.subjects);
    await acquainted(databaseUrl);
    const onDecisions = (decisions: readonly Decision[]) => void history.push(...decisions);

    const calm = new AbortController();
    const storm = causeClusterFaults({
      seed,
      servers,
      cluster,
      pauseMs: options.faultPauseMs,
      killsMasterEvery,
      cutNextReply: (node) => proxyOf(node).cutNextReply(),
      async killMaster(master) {
        const proxy = proxyOf(master);
        proxy.cut();
        await master.server.kill();
        await cluster.takenOver(master);
        proxy.delayReplicas(replicasBehindMs);
        await master.server.restart();
      },
      signal: calm.signal,
      onFault: (fault) => void faults.push(fault),
      onCutReply: () => void cutReplies++,
    });
    const clients = Array.from({ length: options.clients }, (_, number) =>
      runClient({
        seed,
        number,
        questions: Math.ceil(options.decisions / options.clients),
        pauseMs: options.clientPauseMs,
        servers,
        subjects,
        onDecisions,
      }),
    );
    await Promise.all([Promise.all(clients).finally(() => calm.abort()), storm]);
    await recovered({ servers, subjects, limits });
    for (const server of servers) await spendAll({ server, subjects, onDecisions });
    const violations = findViolations(history, {
      limits,
      lateMs: options.budgetMs,
      toldLaterMs: options.onOutage === "local" ? TOLD_LATER_MS : 0,
      leastReplicas: SERVERS,
      longestAnswerMs: LONGEST_ANSWER_MS,
    });
    const kills = faults.filter(({ kind }) => kind === "killed master");
    const isNearKill = (decision: Decision) => kills.some((kill) => canShowLoss(kill, decision, limits));
    const byLoss = violations.filter(({ rule, decision }) => brokenByLoss.has(rule) && isNearKill(decision));
    return {
      history,
      faults,
      cutReplies,
      violations: violations.filter((violation) => !byLoss.includes(violation)),
      byLoss,
      beyondLoss: history.filter((decision) => !isNearKill(decision)).length,
      keysWithoutExpiry: await lastingKeys(cluster),
    };
  } finally {
    await Promise.all(servers.map((server) => server.stop()));
    await cluster.stop();
    await Promise.all([...proxies.values()].map((proxy) => proxy.stop()));
  }
}

/** Rules that lost charges, blocks and request_ids break. The others no loss explains. */
const brokenByLoss: ReadonlySet<BrokenRule> = new Set<BrokenRule>([
  ...(["over_admission", "charge_lost", "partly_charged", "admitted_in_block"] as const),
  ...(["block_not_started", "block_without_cause", "block_length"] as const),
  ...(["charged_twice", "refusal_charged", "repeat_refused"] as const),
]);

/** A repeat of what was lost is sent within that time, and is charged anew. */
const REPEATED_WITHIN_MS = 1000;

/** What was lost says something for a window, with what rounding adds, and a block. */
function canShowLoss(
  { fromMs, toMs }: ClusterFault,
  { sentMs, answeredMs }: Decision,
  limits: readonly ExactLimit[],
): boolean {
  const windowMs = Math.max(...limits.map((limit) => limit.windowMs));
  const blockMs = Math.max(...limits.map((limit) => limit.blockMs));
  // An over-admission is told by its first charge.
  return answeredMs >= fromMs - windowMs && sentMs <= toMs + REPEATED_WITHIN_MS + 1.02 * windowMs + blockMs;
}

/** The longest that a process is without a master, in which it keeps what it decided alone. */
const TOLD_LATER_MS = 20_000;

async function lastingKeys(cluster: RedisCluster): Promise<string[]> {
  const lasting: string[] = [];
  for (const { admin } of await cluster.masters()) {
    const keys = await admin.keys("*");
    for (const key of keys) if ((await admin.pttl(key)) === -1) lasting.push(key);
  }
  return lasting;
}
