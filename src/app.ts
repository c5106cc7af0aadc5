import { randomUUID } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { packageVersion } from "./cli/package-version.ts";
import { quickStart, quickStartFiles } from "./cli/quick-start.ts";
import type { Config } from "./config.ts";
import { type WireBounds, withoutPassword } from "./config-value.ts";
import { createAuthorizer } from "./core/authorizer.ts";
import { createCallerTokens, newCallerToken } from "./core/caller-tokens.ts";
import type { Caller } from "./core/callers.ts";
import { spansShards } from "./core/charges.ts";
import { demoExample, seedDemo } from "./core/demo-seed.ts";
import { createDirectory } from "./core/directory.ts";
import { TollgateError } from "./core/errors.ts";
import { createKeys, type Keys } from "./core/keys.ts";
import { createLeakReports } from "./core/leak-reports.ts";
import { createPoints } from "./core/points.ts";
import type { PolicySet } from "./core/policy-set.ts";
import type { BucketCorrections, BucketStore, Deadline } from "./core/ports.ts";
import { createRateLimits } from "./core/rate-limits.ts";
import type { Grant } from "./core/records.ts";
import { createReplicas } from "./core/replicas.ts";
import { openEmbedded } from "./embedded/pglite.ts";
import { ConnectionError, ErrorCode, errorName } from "./http2/frames.ts";
import { addressText, type ListenAddress } from "./http2/listen-address.ts";
import { createListener, DEFAULT_BOUNDS, type ListenerBounds } from "./http2/listener.ts";
import type { TlsIdentity } from "./http2/tls-acceptor.ts";
import { createLog, type Log } from "./log.ts";
import { createMetrics, createMetricsListener, type Metrics, type MetricsSample } from "./metrics.ts";
import { createInProcessBuckets } from "./points/in-process-buckets.ts";
import { type OutageEvent, withOutage } from "./points/outage.ts";
import { loadPolicies } from "./policy/load.ts";
import { formatProblem } from "./policy/problem.ts";
import { watchPolicies } from "./policy/watch.ts";
import { type ChangeListener, listenToChanges } from "./postgres/change-listener.ts";
import type { Database } from "./postgres/database.ts";
import { migrate, schemaProblem, schemaState } from "./postgres/migrate.ts";
import { observed } from "./postgres/observed-database.ts";
import { createPostgresDatabase } from "./postgres/pool.ts";
import { createStores } from "./postgres/stores.ts";
import { createGateways } from "./proxy/gateways.ts";
import type { createRedis } from "./redis/connect.ts";
import { withAcknowledgements } from "./replica/acknowledged-writes.ts";
import { createAcknowledgements } from "./replica/acknowledgements.ts";
import { type CachedRights, createCachedRights } from "./replica/cached-rights.ts";
import { withInvalidation } from "./replica/coherent-stores.ts";
import { createKeyUses } from "./replica/key-uses.ts";
import { createRequestHandler } from "./rpc/handler.ts";
import { createLeakReportEndpoint, type LeakReportEndpoint } from "./rpc/leak-report-endpoint.ts";
import type { BodyBounds } from "./rpc/request-bodies.ts";
import type { WorkerPlace } from "./workers/messages.ts";

type Redis = Awaited<ReturnType<typeof createRedis>>;

/** How long the stores have to answer at start. */
const START_MS = 10_000;
/** How long closing may take, besides the grace of calls in flight. */
const CLOSE_MS = 3000;
/** How long migrations may take, and wait for another process's. */
const MIGRATE_MS = 600_000;

/** A running service. */
export interface App {
  /** As bound: a real port where the configuration says 0. */
  readonly address: ListenAddress;
  /** Serves a connection that a supervisor accepted; nothing of it is read yet. */
  accept(socket: Socket): void;
  /** Whether Postgres answers, or did when it was asked last. */
  isServing(): boolean;
  sampleMetrics(): Promise<MetricsSample>;
  /** Loads the policies again: all, or none where one is bad. */
  reloadPolicies(): Promise<void>;
  /** Lets calls in flight end, within the grace time, writes what is batched, and closes everything. */
  stop(): Promise<void>;
}

/**
 * Starts everything, in the order in which the parts need each other. Throws TollgateError or Error
 * with one sentence for the operator; what was opened until then is closed. `print` gets what a person
 * at the terminal should read. With a `place` it is one of several workers, whose supervisor listens for
 * calls and for those who ask for metrics.
 */
export async function startApp(
  config: Config,
  { print, place }: { print: (line: string) => void; place?: WorkerPlace },
): Promise<App> {
  const ownLog = createLog({ level: config.logLevel });
  const log = place === undefined ? ownLog : ownLog.child({ worker: place.worker });
  const opened: Close[] = [];
  try {
    return await openApp(config, { print, place, log, opened });
  } catch (error) {
    await closeAll(opened, { log, deadline: performance.now() + CLOSE_MS });
    throw error;
  }
}

/** Settles by the deadline, or soon after. */
type Close = (deadline: Deadline) => Promise<void> | void;

async function openApp(
  config: Config,
  {
    print,
    place,
    log,
    opened,
  }: { print: (line: string) => void; place: WorkerPlace | undefined; log: Log; opened: Close[] },
): Promise<App> {
  const metrics = createMetrics();
  const nowMs = () => Date.now();

  let policies = await firstPolicies(config.policies);
  metrics.onPolicies(policies.policies.values());
  const currentPolicies = () => policies;

  // First what fails fastest.
  const openedRedis = await openRedis(config, { log, metrics });
  const redis = openedRedis?.redis;
  opened.push(() => redis?.disconnect());
  const checkShards = (set: PolicySet): void => {
    if (openedRedis?.isCluster === true) requireOneShard(set);
  };
  checkShards(policies);
  const database = await openDatabase(config, {
    metrics,
    seed: (fresh) => prepareDemo(fresh, { dataDir: config.dataDir, policies }),
  });
  opened.push(database.close);
  // Renewals must not queue behind look-ups: a lease that lapses makes every decision one.
  const bare = { ...createStores(database.database), feed: createStores(database.feedDatabase).feed };
  // A lease that ran out because this process was busy is no outage: only a renewal that failed is.
  let postgresAnswers = true;
  const isServing = (): boolean => {
    postgresAnswers ||= rights.isLive();
    return postgresAnswers || rights.isLive(Number.POSITIVE_INFINITY);
  };
  const replicaId = randomUUID();
  const rights = createCachedRights({
    ...bare,
    replicaId,
    version: packageVersion(),
    policies: () => Object.fromEntries([...policies.policies].map(([api, { digest }]) => [api, digest])),
    graceMs: () => Math.max(0, ...[...policies.policies.values()].map(({ graceMs }) => graceMs)),
    onRenewFailed(error) {
      postgresAnswers = false;
      log.warn({ err: error }, "the lease could not be renewed");
    },
    onAccess: metrics.onCacheLookupOf,
    limits: { bytes: config.cacheMegabytes * 1024 * 1024 },
  });
  await rights.start();
  log.info({ replica_id: replicaId }, "this replica has begun");
  opened.push(rights.stop);
  if (database.directUrl !== undefined) {
    opened.push(listen(database.directUrl, { rights, log, metrics }).close);
  }
  const stores = withInvalidation(bare, rights);
  const uses = createKeyUses(stores.keys, {
    onFlushed: (keys) => metrics.onKeyUseFlush({ keys, failed: false }),
    onFlushFailed(error) {
      metrics.onKeyUseFlush({ keys: 0, failed: true });
      log.warn({ err: error }, "last-use times could not be written yet");
    },
  });
  uses.start();
  opened.push(uses.stop);

  const points = await createBuckets(config, { redis, log, metrics, rights });

  const authorizer = createAuthorizer({
    policies: currentPolicies,
    rights,
    buckets: points.buckets,
    nowMs,
    onUse: uses.record,
  });
  const writes = withAcknowledgements(
    {
      keys: createKeys({
        policies: currentPolicies,
        ...stores,
        nowMs,
        forget: ({ id, digest, previousDigest }) =>
          rights.invalidate({ kind: "key", keyId: id, digests: [digest, previousDigest] }),
      }),
      directory: createDirectory({ policies: currentPolicies, store: stores.directory, nowMs }),
      callerTokens: createCallerTokens({
        policies: currentPolicies,
        store: stores.callerTokens,
        rights,
        adminToken: config.adminToken,
        nowMs,
      }),
    },
    createAcknowledgements({
      feed: createStores(database.database).feed,
      own: { id: replicaId, applied: rights.applied, catchUp: rights.catchUp },
      onWaited: metrics.onAcknowledgementWait,
    }),
  );

  const stopping = new AbortController();
  const serving = {
    stopping: stopping.signal,
    report: () => ({
      serving: isServing(),
      stores: { postgres: isServing(), redis: points.isReady() },
    }),
  };
  const { extAuthz, forwardAuth, rateLimit } = createGateways({
    authorizer,
    policies: currentPolicies,
    rateLimits: createRateLimits({ policies: currentPolicies, rights, buckets: points.buckets, nowMs }),
    onDecision: metrics.onDecision,
    onRateLimitDecision: metrics.onRateLimitDecision,
    rateLimitFields: config.rateLimitHeaders,
    trustedProxies: config.trustedProxies,
    log,
    onUndecided: metrics.onUndecided,
  });
  const handler = createRequestHandler({
    bodies: bodyBounds(config.wireBounds),
    gateways: { extAuthz, rateLimit },
    forwardAuth,
    leakReports: leakReportEndpoint(config, { keys: writes.keys, log, metrics }),
    authorizer,
    ...writes,
    points: createPoints({
      policies: currentPolicies,
      rights,
      buckets: points.direct,
      audit: bare.audit,
      nowMs,
    }),
    replicas: createReplicas({ feed: createStores(database.database).feed, ownId: replicaId }),
    nowMs,
    onDecision: metrics.onDecision,
    serving,
    reflection: config.reflection,
    log,
    onFinished: metrics.onFinished,
    maxInFlight: config.maxInFlight,
  });
  metrics.observeInFlight(handler.inFlight);

  const watch = watchPolicies(config.policies, {
    current: policies,
    onChange(set) {
      try {
        checkShards(set);
      } catch (error) {
        log.error({ err: error }, "bad policies: the old ones stay in force");
        return;
      }
      policies = set;
      metrics.onPolicies(set.policies.values());
      log.info({ apis: [...set.policies.keys()] }, "policies loaded");
    },
    onError(errors) {
      log.error({ errors: errors.map(formatProblem) }, "bad policies: the old ones stay in force");
    },
  });
  opened.push(watch.close);

  if (place === undefined && config.metricsListen !== undefined) {
    const listener = createMetricsListener({ registry: metrics.registry, isServing });
    const bound = await listener.listen(config.metricsListen);
    opened.push(listener.close);
    log.info({ address: addressText({ kind: "tcp", ...bound }) }, "metrics are served");
  }
  const listener = createListener({
    onRequest: handler.handle,
    onStream: handler.serveStream,
    engine: config.http2,
    tls: tlsIdentity(config),
    bounds: { ...listenerBounds(config.wireBounds), maxAgeMs: config.connectionMaxAgeMs },
    onReset: (code, by) => metrics.onStreamReset({ code: errorName(code), by }),
    onConnectionError(error) {
      if (error instanceof ConnectionError) metrics.onConnectionFault(errorName(error.code));
      const isOurs = error instanceof ConnectionError && error.code === ErrorCode.INTERNAL_ERROR;
      log[isOurs ? "error" : "debug"]({ err: error }, "connection failed");
    },
  });
  if (listener.http2 !== undefined) metrics.watchHttp2(listener.http2);
  const address = place?.address ?? (await listener.listen(config.listen));
  const scheme = config.tlsCert === undefined ? "http" : "https";
  const url = address.kind === "tcp" ? `${scheme}://${addressText(address)}` : addressText(address);
  const lines = [storesLine(config), `tollgate ready ${url}`];
  const files = quickStartFiles(config.dataDir);
  const example = demoExample(policies);
  if (config.databaseUrl === undefined && example !== undefined && existsSync(files.tokenFile)) {
    const hasDemo = ["retool", "retrac"].every((api) => policies.policies.has(api));
    lines.push("", quickStart({ url, ...files, example, hasDemo }));
  }
  // At once: who waits for the ready line can read what follows it.
  print(lines.join("\n"));

  return {
    address,
    accept: listener.accept,
    isServing,
    sampleMetrics: () => metrics.registry.getMetricsAsJSON(),
    reloadPolicies: watch.reload,
    async stop() {
      const graceEnd = performance.now() + config.graceMs;
      stopping.abort();
      await listener.drain(config.graceMs);
      await closeAll(opened, { log, deadline: Math.max(graceEnd, performance.now() + CLOSE_MS) });
      log.info("stopped");
    },
  };
}

/**
 * The last that was opened is closed first. What fails is told and no reason to stay: a store that is gone
 * must not keep a process from ending.
 */
function leakReportEndpoint(
  { leakReportSecret: secret }: Config,
  { keys, log, metrics }: { keys: Keys; log: Log; metrics: Metrics },
): LeakReportEndpoint | undefined {
  if (secret === undefined) return undefined;
  const leakReports = createLeakReports({ keys, onLeak: metrics.onLeak });
  return createLeakReportEndpoint({ leakReports, secret, nowMs: Date.now, log });
}

async function closeAll(opened: Close[], { log, deadline }: { log: Log; deadline: Deadline }): Promise<void> {
  for (const close of opened.splice(0).reverse()) {
    try {
      await close(deadline);
    } catch (error) {
      log.warn({ err: error }, "not closed in order");
    }
  }
}

async function firstPolicies(folder: string): Promise<PolicySet> {
  const loaded = await loadPolicies(folder);
  if ("set" in loaded) return loaded.set;
  throw new TollgateError("invalid_argument", loaded.errors.map(formatProblem).join("\n"), {
    reason: "POLICY_INVALID",
  });
}

/** Throws FAILED_PRECONDITION for policies whose decisions Redis Cluster could not take in one step. */
function requireOneShard(set: PolicySet): void {
  const spanning = [...set.policies.values()].filter(spansShards).map((policy) => policy.api);
  if (spanning.length === 0) return;
  throw new TollgateError(
    "failed_precondition",
    `In Redis Cluster the limits of one decision must lie in one shard, and those of ${spanning.join(", ")} do not: ` +
      "limits per api, and per key where keys name their workspace in the request, stand beside others only with " +
      "tag: api in the policy, which keeps the whole api on one node.",
    { reason: "LIMITS_SPAN_SHARDS" },
  );
}

interface OpenedDatabase {
  readonly database: Database;
  /** With a connection of its own where there is a network. */
  readonly feedDatabase: Database;
  /** Where other replicas can change it: for a connection that stays. */
  readonly directUrl: string | undefined;
  close(): Promise<void>;
}

/** `seed` fills an embedded folder that is new; a database is never seeded. */
async function openDatabase(
  config: Config,
  { metrics, seed }: { metrics: Metrics; seed: (database: Database) => Promise<void> },
): Promise<OpenedDatabase> {
  const observe = (call: { operation: string; failed: boolean; durationMs: number }) =>
    metrics.onStoreCall({ store: "postgres", ...call });
  if (config.databaseUrl === undefined) {
    const database = await openEmbedded(config.dataDir, {
      async prepare(prepared, { isNew }) {
        await migrate(prepared, performance.now() + MIGRATE_MS);
        if (isNew) await seed(prepared);
      },
    });
    const embedded = observed(database, observe);
    return { database: embedded, feedDatabase: embedded, directUrl: undefined, close: database.close };
  }
  const database = createPostgresDatabase(config.databaseUrl, { connections: config.databaseConnections });
  try {
    const state = await schemaState(database, performance.now() + START_MS);
    if (state !== "current") {
      throw new TollgateError("failed_precondition", schemaProblem(state), { reason: "SCHEMA_NOT_CURRENT" });
    }
  } catch (error) {
    await database.close();
    throw unreachableDatabase(config.databaseUrl, error);
  }
  const feedDatabase = createPostgresDatabase(config.databaseUrl, { connections: 1 });
  return {
    database: observed(database, observe),
    feedDatabase: observed(feedDatabase, observe),
    directUrl: config.databaseDirectUrl ?? config.databaseUrl,
    async close() {
      await Promise.all([database.close(), feedDatabase.close()]);
    },
  };
}

/** What is heard is only caught up with sooner: nothing hangs on it. */
function listen(
  directUrl: string,
  { rights, log, metrics }: { rights: CachedRights; log: Log; metrics: Metrics },
): ChangeListener {
  metrics.onChangeListener("deaf");
  let wasDeaf = false;
  return listenToChanges(directUrl, {
    onChange: rights.catchUp,
    onHearing() {
      metrics.onChangeListener("hears");
      if (wasDeaf) log.info("changes are heard of again");
      wasDeaf = false;
    },
    onDeaf(error) {
      metrics.onChangeListener("deaf");
      if (!wasDeaf) log.warn({ err: error }, "changes are not heard of, only found by renewals");
      wasDeaf = true;
    },
  });
}

function unreachableDatabase(url: string, error: unknown): unknown {
  if (!(error instanceof TollgateError) || error.code !== "unavailable") return error;
  const cause = error.cause instanceof Error ? error.cause.message : String(error.cause);
  return new TollgateError("unavailable", `DATABASE_URL ${withoutPassword(url)} cannot be used: ${cause}`, {
    reason: "DATABASE_UNREACHABLE",
    cause: error,
  });
}

/** Undefined: points are kept in this process. */
async function openRedis(
  config: Config,
  { log, metrics }: { log: Log; metrics: Metrics },
): Promise<{ redis: Redis; isCluster: boolean } | undefined> {
  if (config.redisUrl === undefined) return undefined;
  // Loaded where it is used: its driver takes a good part of an embedded start.
  const { createRedis, isCluster } = await import("./redis/connect.ts");
  const redis = await createRedis(config.redisUrl, {
    tls: { ca: config.redisTlsCa, cert: config.redisTlsCert, key: config.redisTlsKey },
    sentinelUser: { username: config.redisSentinelUser, password: config.redisSentinelPassword },
    onError: (error) => log.warn({ err: error }, "the connection to Redis failed"),
    onReconnect(problem) {
      metrics.onRedisFitness(problem === undefined ? "fit" : "unfit");
      if (problem === undefined) log.info("Redis is connected again");
      else log.error({ problem }, "Redis is not fit to keep points");
    },
  });
  return { redis, isCluster: isCluster(redis) };
}

interface OpenedBuckets {
  /** For decisions. */
  readonly buckets: BucketStore;
  /** For people: the store alone, which says so when it does not answer. */
  readonly direct: BucketStore & BucketCorrections;
  isReady(): boolean;
}

async function createBuckets(
  config: Config,
  parts: { redis: Redis | undefined; log: Log; metrics: Metrics; rights: CachedRights },
): Promise<OpenedBuckets> {
  const { redis, log, metrics, rights } = parts;
  if (redis === undefined) {
    const buckets = createInProcessBuckets();
    return { buckets, direct: buckets, isReady: () => true };
  }
  const { createRedisBuckets } = await import("./redis/redis-buckets.ts");
  const { createRedisCorrections } = await import("./redis/redis-corrections.ts");
  const buckets = createRedisBuckets(redis, {
    shards: config.redisShards,
    budgetMs: config.pointsBudgetMs,
    observe({ takes, durationMs, outcome }) {
      metrics.onBatch(takes);
      metrics.onStoreCall({ store: "redis", operation: "take", failed: outcome === "failed", durationMs });
    },
  });
  await buckets.prepare();
  metrics.onBreaker("redis", "closed");
  return {
    buckets: withOutage(buckets, {
      budgetMs: config.pointsBudgetMs,
      liveReplicas: rights.liveReplicas,
      onEvent(event) {
        if (event.kind === "breaker") metrics.onBreaker("redis", event.state);
        else logOutage(log, event);
      },
    }),
    direct: {
      ...createRedisCorrections(redis, { shards: config.redisShards }),
      take: buckets.take,
    },
    isReady: () => buckets.ready,
  };
}

/** One line for the begin of an outage, and two for its end: not one for each decision. */
function logOutage(log: Log, event: Exclude<OutageEvent, { kind: "breaker" }>): void {
  if (event.kind === "began") {
    log.warn({ err: event.cause }, "Redis does not answer: points are decided without it");
  } else if (event.kind === "ended") {
    const { durationMs, local, unavailable, uncounted } = event;
    const decided = { local, unavailable, uncounted };
    log.warn({ duration_ms: Math.round(durationMs), decided }, "Redis answers again");
  } else if (event.kind === "told") {
    log.info({ uses: event.uses, lost: event.lost }, "Redis was told what was used without it");
  }
}

/** A new embedded folder gets an admin token, in files that only its owner can read, and something to try. */
async function prepareDemo(
  database: Database,
  { dataDir, policies }: { dataDir: string; policies: PolicySet },
): Promise<void> {
  const deadline = performance.now() + START_MS;
  const stores = createStores(database);
  const { secret } = await makeAdminToken(stores.callerTokens, deadline);
  const files = quickStartFiles(dataDir);
  writeSecretFile(files.tokenFile, `${secret}\n`);
  writeSecretFile(files.headerFile, `Authorization: Bearer ${secret}\n`);
  const directory = createDirectory({
    policies: () => policies,
    store: stores.directory,
    nowMs: () => Date.now(),
  });
  await seedDemo(policies, { directory, caller: SETUP, deadline });
}

function writeSecretFile(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
}

/** Who acts before there is a caller token; known by this id in the audit log. */
const SETUP: Caller = { id: "setup", grants: new Set<Grant>(["admin"]), apis: new Set() };

async function makeAdminToken(
  store: ReturnType<typeof createStores>["callerTokens"],
  deadline: Deadline,
): Promise<{ tokenId: string; secret: string }> {
  const { token, secret } = newCallerToken(
    { name: "first admin token", grants: ["admin"], apis: [], expireTimeMs: undefined },
    Date.now(),
  );
  await store.create(token, {
    audit: {
      callerId: SETUP.id,
      actorUserId: "",
      action: "caller_token.create",
      detail: { caller_token_id: token.id, grants: token.grants, apis: token.apis },
    },
    deadline,
  });
  return { tokenId: token.id, secret };
}

/** `tollgate init`: an admin caller token, made straight in the store. */
export async function initAdminToken(config: Config): Promise<{ tokenId: string; secret: string }> {
  const opened = await openDatabase(config, { metrics: createMetrics(), seed: async () => {} });
  try {
    return await makeAdminToken(createStores(opened.database).callerTokens, performance.now() + START_MS);
  } finally {
    await opened.close();
  }
}

/** `tollgate migrate`: brings the schema up to date. */
export async function migrateDatabase(
  config: Config,
): Promise<{ from: string; to: string; applied: number }> {
  const deadline = performance.now() + MIGRATE_MS;
  if (config.databaseUrl === undefined) {
    let result = { from: "", to: "", applied: 0 };
    const database = await openEmbedded(config.dataDir, {
      async prepare(prepared) {
        result = await migrate(prepared, deadline);
      },
    });
    await database.close();
    return result;
  }
  const database = createPostgresDatabase(config.databaseUrl, { connections: 1 });
  try {
    return await migrate(database, deadline);
  } catch (error) {
    throw unreachableDatabase(config.databaseUrl, error);
  } finally {
    await database.close();
  }
}

/** Where keys and points live, and what to set for production, in one line. */
function storesLine(config: Config): string {
  const keys =
    config.databaseUrl === undefined
      ? `keys in the embedded store (${config.dataDir})`
      : `keys in Postgres (${withoutPassword(config.databaseUrl)})`;
  const points =
    config.redisUrl === undefined
      ? "points in this process (a restart forgets them)"
      : `points in Redis (${withoutPassword(config.redisUrl)})`;
  const missing = [
    ...(config.databaseUrl === undefined ? ["DATABASE_URL"] : []),
    ...(config.redisUrl === undefined ? ["REDIS_URL"] : []),
  ];
  const advice = missing.length === 0 ? "" : `; for production set ${missing.join(" and ")}`;
  return `tollgate: ${keys}, ${points}${advice}`;
}

/** Those that are set, by the listener's names. */
function listenerBounds(set: WireBounds): Partial<ListenerBounds> {
  const { resets, controlFrames } = DEFAULT_BOUNDS;
  const bounds: { readonly [Name in keyof ListenerBounds]?: ListenerBounds[Name] | undefined } = {
    maxConnections: set.connections,
    maxHandshakes: set.handshakes,
    maxConcurrentStreams: set.streams,
    maxHeaderListBytes: set["header-bytes"],
    maxQueuedBytes: set["queued-bytes"],
    maxQueuedBytesInAll: set["queued-bytes-in-all"],
    resets: {
      burst: set.resets ?? resets.burst,
      perSecond: set["resets-per-second"] ?? resets.perSecond,
    },
    controlFrames: {
      burst: set["control-frames"] ?? controlFrames.burst,
      perSecond: set["control-frames-per-second"] ?? controlFrames.perSecond,
    },
    headerTimeoutMs: set["header-timeout"],
    bodyTimeoutMs: set["body-timeout"],
    requestTimeoutMs: set["body-timeout"],
    idleTimeoutMs: set["idle-timeout"],
  };
  const given = Object.entries(bounds).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given);
}

/** What bodies may hold before they are whole. */
function bodyBounds(set: WireBounds): Partial<BodyBounds> {
  const timeoutMs = set["body-timeout"];
  const maxUnfinishedBytes = set["unfinished-bytes"];
  return {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(maxUnfinishedBytes === undefined ? {} : { maxUnfinishedBytes }),
  };
}

/** Undefined: in the clear. */
function tlsIdentity({ tlsCert, tlsKey, tlsClientCa }: Config): TlsIdentity | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  return { cert: tlsCert, key: tlsKey, clientCa: tlsClientCa };
}
