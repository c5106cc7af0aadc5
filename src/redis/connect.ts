import { Cluster, Redis } from "ioredis";
import { TollgateError } from "../core/errors.ts";
import { plainError } from "./plain-error.ts";

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
}

/**
 * Connects to the Redis or Valkey of `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS,
 * and finds out whether it is fit to keep points: version 6.2 or later, writable, never evicting. A
 * server in cluster mode answers a Cluster client for all of its nodes. Throws TollgateError
 * `invalid_argument` for a bad URL, `unavailable` REDIS_UNREACHABLE, or `failed_precondition` REDIS_REFUSED
 * (it asks for another password) or REDIS_UNFIT; each names REDIS_URL and what is wrong, without the password.
 */
export async function createRedis(
  url: string,
  { onError, onReconnect = () => {}, connectTimeoutMs = 5000 }: CreateRedisOptions,
): Promise<Redis | Cluster> {
  const { shown, host, port, db, credentials } = parseUrl(url);
  const options = { ...connectionOptions, ...credentials, connectTimeout: connectTimeoutMs };
  const faults: Error[] = [];
  const redis = new Redis({
    ...options,
    host,
    port,
    db,
    enableOfflineQueue: false,
    retryStrategy: reconnectDelayMs,
    lazyConnect: true,
  });
  redis.on("error", (error: Error) => faults.push(plainError(error)));
  try {
    const info = await within(connectTimeoutMs, firstInfo(redis, db));
    requireFit(info, shown);
    redis.removeAllListeners("error");
    if (info.get("cluster_enabled") !== "1") {
      redis.on("error", (error: Error) => onError(plainError(error)));
      redis.on("ready", () => void tellProblem(redis, onReconnect));
      return redis;
    }
  } catch (error) {
    redis.disconnect();
    throw error instanceof TollgateError ? error : startError(faults[0] ?? plainError(error), shown);
  }
  redis.disconnect();
  const cluster = new Cluster([{ host, port }], {
    redisOptions: options,
    lazyConnect: true,
    enableOfflineQueue: false,
    // Any delay here sends a call again whose reply was lost, and so charges twice.
    retryDelayOnFailover: 0,
    clusterRetryStrategy: reconnectDelayMs,
    scaleReads: "master",
  });
  await connectCluster(cluster, { shown, onError, connectTimeoutMs });
  watchNodes(cluster, onReconnect);
  return cluster;
}

export function isCluster(redis: Redis | Cluster): redis is Cluster {
  return redis instanceof Cluster;
}

async function firstInfo(redis: Redis, db: number): Promise<ReadonlyMap<string, string>> {
  await redis.connect();
  // The driver stays on database 0, and only logs it, when it cannot select another.
  if (db !== 0) await redis.select(db);
  return parseInfo(await redis.info());
}

async function connectCluster(
  cluster: Cluster,
  {
    shown,
    onError,
    connectTimeoutMs,
  }: { shown: string; onError: (error: Error) => void; connectTimeoutMs: number },
): Promise<void> {
  cluster.on("error", (error: Error) => onError(plainError(error)));
  try {
    // The driver looks for nodes that do not answer for ever.
    await within(connectTimeoutMs, connectNodes(cluster, shown));
  } catch (error) {
    cluster.disconnect();
    throw error instanceof TollgateError ? error : startError(plainError(error), shown);
  }
}

async function connectNodes(cluster: Cluster, shown: string): Promise<void> {
  await cluster.connect();
  for (const node of cluster.nodes("master")) requireFit(parseInfo(await node.info()), shown);
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
  const info = await redis.info().catch(() => undefined);
  if (info !== undefined) tell(unfitness(parseInfo(info)));
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
  // After a failover the old primary is a replica.
  reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
  protocol: 2,
  clientInfoTag: "tollgate",
} as const;

interface RedisAddress {
  /** The URL without user and password. */
  readonly shown: string;
  readonly host: string;
  readonly port: number;
  readonly db: number;
  readonly credentials: { username?: string; password?: string; tls?: object };
}

function parseUrl(text: string): RedisAddress {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !["redis:", "rediss:"].includes(url.protocol) || url.hostname === "") {
    throw badUrl("it is not of the form redis://[user:password@]host[:port][/database] (rediss:// for TLS)");
  }
  const database = url.pathname.replace(/^\//, "");
  if (!/^\d{0,6}$/.test(database)) throw badUrl("what follows the host is not the number of a database");
  if (url.search !== "" || url.hash !== "") throw badUrl("nothing may follow the database");
  return {
    shown: `${url.protocol}//${url.host}${url.pathname}`,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? 6379 : Number(url.port),
    db: Number(database),
    credentials: {
      ...(url.username === "" ? {} : { username: decodeURIComponent(url.username) }),
      ...(url.password === "" ? {} : { password: decodeURIComponent(url.password) }),
      ...(url.protocol === "rediss:" ? { tls: {} } : {}),
    },
  };
}

function badUrl(problem: string): TollgateError {
  return new TollgateError("invalid_argument", `REDIS_URL: ${problem}.`, { reason: "REDIS_URL_INVALID" });
}

/**
 * 50 ms, doubled each time up to half a second, so that points are exact again within a second of Redis's return;
 * a part at random, so that replicas do not come back all at once.
 */
function reconnectDelayMs(attempt: number): number {
  return Math.min(50 * 2 ** (attempt - 1), 500) * (0.75 + Math.random() / 4);
}

/** Redis's own word follows: it tells a wrong password from a missing one, and never repeats it. */
function startError(cause: Error, shown: string): TollgateError {
  const [problem, reason] = startProblem(cause.message);
  const code = reason === "REDIS_REFUSED" ? "failed_precondition" : "unavailable";
  return new TollgateError(code, `REDIS_URL (${shown}): ${problem} (${cause.message})`, { reason, cause });
}

function startProblem(message: string): readonly [problem: string, reason: string] {
  if (message.startsWith("NOAUTH")) {
    return ["Redis asks for a password; write it into the URL: redis://:password@host:port", "REDIS_REFUSED"];
  }
  if (/^(WRONGPASS|ERR (AUTH|invalid password))/.test(message)) {
    return ["Redis takes another user or password than the URL has", "REDIS_REFUSED"];
  }
  if (/^(NOPERM|ERR (invalid DB index|DB index))/.test(message)) {
    return ["Redis does not allow what Tollgate needs", "REDIS_REFUSED"];
  }
  return ["Redis cannot be reached", "REDIS_UNREACHABLE"];
}

function parseInfo(info: string): ReadonlyMap<string, string> {
  return new Map(
    info
      .split("\r\n")
      .filter((line) => line.includes(":"))
      .map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]),
  );
}

function requireFit(info: ReadonlyMap<string, string>, shown: string): void {
  const problem = unfitness(info);
  if (problem === undefined) return;
  throw new TollgateError("failed_precondition", `REDIS_URL (${shown}): ${problem}`, {
    reason: "REDIS_UNFIT",
  });
}

function unfitness(info: ReadonlyMap<string, string>): string | undefined {
  const version = info.get("redis_version") ?? "";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (!(major > 6 || (major === 6 && minor >= 2))) {
    return `Redis 6.2 or later, or Valkey, is needed; this is ${version === "" ? "unknown" : version}.`;
  }
  if (info.get("role") === "slave") return "this is a read-only replica; name the primary.";
  const policy = info.get("maxmemory_policy");
  if (policy !== "noeviction") {
    return `its maxmemory-policy is ${policy ?? "unknown"}, so that it may drop points; set it to noeviction.`;
  }
  return undefined;
}
