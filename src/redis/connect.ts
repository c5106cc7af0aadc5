import { Cluster, Redis } from "ioredis";
import { TollgateError } from "../core/errors.ts";
import { readInfo, type Unfitness, unfitness } from "./fitness.ts";
import { plainError } from "./plain-error.ts";
import { reconnectDelayMs } from "./reconnect-delay.ts";
import { type HostPort, parseRedisUrl, type RedisAddress, type RedisUser } from "./redis-url.ts";
import { type ClientOptions, createSentinelClient } from "./sentinel-client.ts";
import { createSentinels } from "./sentinels.ts";
import { startError } from "./start-error.ts";
import { type RedisTls, tlsOptions } from "./tls-options.ts";

export interface CreateRedisOptions {
  /** Told of each fault of the connection from then on; it mends itself. Never holds the password. */
  readonly onError: (error: Error) => void;
  /**
   * Told after each reconnect what makes the server, or a node of the cluster, unfit to keep points now: another
   * one may answer, or the same with other settings. Undefined: nothing. Never holds the password.
   */
  readonly onReconnect?: (problem: string | undefined) => void;
  /** The most that the start waits for the server to answer, and then for all nodes of a cluster. */
  readonly connectTimeoutMs?: number;
  /** For `rediss`. Without: the authorities that Node.js knows, and no certificate of our own. */
  readonly tls?: RedisTls;
  /** Whom the Sentinels know us as; the URL's user is that of Redis. Without: nobody. */
  readonly sentinelUser?: RedisUser;
}

/**
 * Connects to the Redis or Valkey of a URL (see `parseRedisUrl`), and finds out whether it is fit to keep
 * points: version 6.2 or later, writable, never evicting, and its user may run what we need. A server in
 * cluster mode answers a Cluster client for all of its nodes; with Sentinels the client follows their
 * master. Throws TollgateError `invalid_argument` for a bad URL, `unavailable` REDIS_UNREACHABLE, or
 * `failed_precondition` REDIS_REFUSED (it asks for another password, certificate or right) or REDIS_UNFIT;
 * each names REDIS_URL and what is wrong, without the password.
 */
export async function createRedis(url: string, wanted: CreateRedisOptions): Promise<Redis | Cluster> {
  const { onError, onReconnect = () => {}, connectTimeoutMs = 5000 } = wanted;
  const address = parseRedisUrl(url);
  const { shown, db } = address;
  const options = { ...connectionOptions, ...address.user, connectTimeout: connectTimeoutMs };
  const faults: Error[] = [];
  const redis = createClient(address, { options, wanted });
  redis.on("error", (error: Error) => faults.push(error));
  try {
    const info = await within(connectTimeoutMs, fitInfo(redis, { db, shown }));
    redis.removeAllListeners("error");
    if (info.get("cluster_enabled") !== "1") {
      redis.on("error", (error: Error) => onError(plainError(error)));
      redis.on("ready", () => void tellProblem(redis, onReconnect));
      watchSelect(redis, onReconnect);
      return redis;
    }
    if (address.masterName !== undefined)
      throw unfit({ reason: "REDIS_UNFIT", problem: CLUSTER_BEHIND_SENTINELS }, shown);
  } catch (error) {
    redis.disconnect();
    throw error instanceof TollgateError ? error : startError(faults[0] ?? error, shown);
  }
  redis.disconnect();
  const cluster = new Cluster([...address.hosts], {
    redisOptions: address.tls ? { ...options, tls: tlsOptions(wanted.tls ?? {}) } : options,
    // Certificates name hosts as the URL and the cluster do: an address that was looked up is not in them.
    ...(address.tls ? { dnsLookup: (host, done) => done(null, host) } : {}),
    lazyConnect: true,
    enableOfflineQueue: false,
    // Any delay here sends a call again whose reply was lost, and so charges twice.
    retryDelayOnFailover: 0,
    // Takes do not wait for a cluster that is down.
    retryDelayOnClusterDown: 0,
    // Within a take's budget: a slot's last keys may move meanwhile.
    retryDelayOnTryAgain: 5,
    clusterRetryStrategy: reconnectDelayMs,
    scaleReads: "master",
  });
  cluster.on("+node", tameNode);
  await connectCluster(cluster, { shown, onError, connectTimeoutMs });
  watchNodes(cluster, onReconnect);
  watchSlots(cluster);
  return cluster;
}

/**
 * So that a master that fell silent, and so never says MOVED, is left soon after another took its place. The driver's
 * own `slotsRefreshInterval` goes on for ever when the client is disconnected during a refresh.
 */
function watchSlots(cluster: Cluster): void {
  const timer = setInterval(() => {
    if (cluster.status === "ready") cluster.refreshSlotsCache();
  }, SLOTS_REFRESH_MS).unref();
  cluster.once("end", () => clearInterval(timer));
}

const SLOTS_REFRESH_MS = 1000;

/**
 * Two things that the driver does with a node by itself:
 * - READONLY to replicas. While it is connected to no master it asks any node, and a replica that was told so runs
 *   the script on what it knows, which is old; otherwise it names its master.
 * - ASKING before a call that a moving slot has it repeat, without looking at the answer: a rejection that nobody
 *   handles ends this process. The call itself fails, too.
 */
function tameNode(node: Redis): void {
  node.readonly = () => Promise.resolve("OK");
  const asking = node.asking.bind(node);
  node.asking = () => asking().catch(() => "OK");
}

/**
 * Where the server does not let it select the URL's database, the driver would go on with database 0: charge
 * points there, and find none of those spent. It selects before the connection counts as ready, so that one
 * carries no take; it is made anew until it may.
 */
function watchSelect(redis: Redis, onReconnect: (problem: string | undefined) => void): void {
  redis.on("error", (error: Error & { command?: { name: string } }) => {
    if (error.command?.name !== "select") return;
    onReconnect(`it does not let us use database ${redis.options.db}: ${plainError(error).message}`);
    redis.disconnect(true);
  });
}

/** Of the one server, or of the master that the Sentinels name. */
function createClient(
  { hosts, masterName, db, tls: isTls }: RedisAddress,
  { options, wanted }: { options: ClientOptions; wanted: CreateRedisOptions },
): Redis {
  const tls = isTls ? (wanted.tls ?? {}) : undefined;
  const ownOptions = {
    ...options,
    db,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
    lazyConnect: true,
  };
  if (masterName !== undefined) {
    const sentinels = createSentinels({ hosts, masterName, user: wanted.sentinelUser ?? {}, tls });
    return createSentinelClient({ sentinels, tls, options: ownOptions });
  }
  const [{ host, port }] = hosts as [HostPort];
  return new Redis({
    ...ownOptions,
    host,
    port,
    ...(tls === undefined ? {} : { tls: tlsOptions(tls, host) }),
  });
}

export function isCluster(redis: Redis | Cluster): redis is Cluster {
  return redis instanceof Cluster;
}

/** Connects; answers the INFO of a server that is fit. */
async function fitInfo(
  redis: Redis,
  { db, shown }: { db: number; shown: string },
): Promise<ReadonlyMap<string, string>> {
  await redis.connect();
  // The driver stays on database 0, and only logs it, when it cannot select another.
  if (db !== 0) await redis.select(db);
  return requireFit(redis, shown);
}

async function connectCluster(
  cluster: Cluster,
  {
    shown,
    onError,
    connectTimeoutMs,
  }: { shown: string; onError: (error: Error) => void; connectTimeoutMs: number },
): Promise<void> {
  // The driver's own error says no more than that all nodes failed.
  let fault: Error | undefined;
  cluster.on("node error", (error: Error) => {
    fault = error;
  });
  cluster.on("error", (error: Error) => onError(plainError(error)));
  try {
    // The driver looks for nodes that do not answer for ever.
    await within(connectTimeoutMs, connectNodes(cluster, shown));
  } catch (error) {
    cluster.disconnect();
    throw error instanceof TollgateError ? error : startError(fault ?? error, shown);
  }
  cluster.removeAllListeners("node error");
}

async function connectNodes(cluster: Cluster, shown: string): Promise<void> {
  await cluster.connect();
  for (const node of cluster.nodes("master")) await requireFit(node, shown);
}

function watchNodes(cluster: Cluster, onReconnect: (problem: string | undefined) => void): void {
  const problems = new Map<Redis, string | undefined>();
  const watch = (node: Redis): void => {
    node.on("ready", () => {
      if (!cluster.nodes("master").includes(node)) return;
      void tellProblem(node, (problem) => {
        problems.set(node, problem);
        onReconnect([...problems.values()].find((each) => each !== undefined));
      });
    });
  };
  for (const node of cluster.nodes("all")) watch(node);
  cluster.on("+node", watch);
  cluster.on("-node", (node: Redis) => problems.delete(node));
}

/** Tells nothing when the connection ends before the server answers: it is asked when that stands again. */
async function tellProblem(redis: Redis, tell: (problem: string | undefined) => void): Promise<void> {
  try {
    tell((await unfitness(redis, await readInfo(redis)))?.problem);
  } catch (error) {
    const { message } = plainError(error);
    if (message.startsWith("NOPERM")) tell(message);
  }
}

async function requireFit(redis: Redis, shown: string): Promise<ReadonlyMap<string, string>> {
  const info = await readInfo(redis);
  const found = await unfitness(redis, info);
  if (found !== undefined) throw unfit(found, shown);
  return info;
}

function unfit({ reason, problem }: Unfitness, shown: string): TollgateError {
  return new TollgateError("failed_precondition", `REDIS_URL (${shown}): ${problem}`, { reason });
}

async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

const connectionOptions = {
  // A call whose reply was lost may have charged: it is never kept, and never sent again.
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  // Takes have their own, shorter deadline; this one settles what is left (ioredis issue 2193). Both this and
  // the next count while this process stands still, and end before a reply that has come is read: so they
  // are longer than a process stands still.
  commandTimeout: 30_000,
  // A connection that says nothing for so long while it owes a reply is dead: its peer may be gone.
  socketTimeout: 10_000,
  // After a failover the old primary is a replica. Redis 6.2 puts the script before the word.
  reconnectOnError: ({ message }: Error) => /^READONLY |-READONLY /.test(message),
  protocol: 2,
  clientInfoTag: "tollgate",
} as const;

const CLUSTER_BEHIND_SENTINELS =
  "the master is in cluster mode, which has no Sentinels; name one of its nodes with redis://host:port.";
