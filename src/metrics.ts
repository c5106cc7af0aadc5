import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, isIP, type Socket } from "node:net";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { Decision } from "./core/decision.ts";
import type { Limit } from "./core/policy.ts";
import type { RateLimitDecision } from "./core/rate-limits.ts";
import { hotCounter } from "./metrics/hot-counter.ts";
import { hotHistogram } from "./metrics/hot-histogram.ts";

/** What the parts of the service tell, each in one call that costs well below a microsecond. */
export interface Metrics {
  readonly registry: Registry;
  onDecision(decision: Decision): void;
  /** What Envoy's rate limit filter asked: apart from the decisions, which a request behind ext_authz is one of already. */
  onRateLimitDecision(decision: RateLimitDecision): void;
  /** What a gateway asked could not be decided and was refused; `reason` is an error's. */
  onUndecided(reason: string): void;
  onFinished(call: { method: string; code: string; durationMs: number }): void;
  /** One answer, or failure, of a store; `operation` is one of a fixed few. */
  onStoreCall(call: { store: string; operation: string; failed: boolean; durationMs: number }): void;
  /** Answers what is told of each look-up; `kind`: "key", "workspace", "member" or "caller_token". */
  onCacheLookupOf(kind: string): (outcome: "hit" | "miss") => void;
  /** Decisions in one call of the points' store. */
  onBatch(size: number): void;
  onBreaker(store: string, state: BreakerState): void;
  /** Whether Redis was fit to keep points when it was last connected. */
  onRedisFitness(fitness: "fit" | "unfit"): void;
  /** A call that changed rights waited for the replicas; `outcome`: "acknowledged", "lapsed" or "failed". */
  onAcknowledgementWait(wait: { outcome: string; durationMs: number }): void;
  /** Whether changes are heard of as they are committed. */
  onChangeListener(state: "hears" | "deaf"): void;
  /** An HTTP/2 stream was reset; `code` as RFC 9113 names it. */
  onStreamReset(reset: { readonly code: string; readonly by: "client" | "server" }): void;
  /** A connection was ended by a fault. */
  onConnectionFault(code: string): void;
  /** Reads what the HTTP/2 engine holds, at each scrape. */
  watchHttp2(engine: {
    readonly connections: () => number;
    readonly streams: () => number;
    readonly queuedBytes: () => number;
  }): void;
  /** Something that a scanner took for a key; "true_positive": it was one. */
  onLeak(label: "true_positive" | "false_positive"): void;
  /** A batch of last-use times, written or not. */
  onKeyUseFlush(flush: { keys: number; failed: boolean }): void;
  /** Replaces what was told before. */
  onPolicies(policies: Iterable<MeasuredPolicy>): void;
  /** Asked at each scrape. */
  observeInFlight(inFlight: () => number): void;
}

/** What of a policy stands in metrics. */
export interface MeasuredPolicy {
  readonly api: string;
  readonly digest: string;
  readonly limits: readonly Pick<Limit, "name" | "warnAt" | "shadow">[];
}

/** What of a decision of either kind is counted. */
type CountedDecision = Pick<
  Decision,
  "api" | "reason" | "degraded" | "shadowReason" | "isOverruled" | "limits"
>;

export type BreakerState = "closed" | "half_open" | "open";

const BREAKER_STATES: readonly BreakerState[] = ["closed", "half_open", "open"];

/** Seconds: from what a cached decision takes to what a call's default deadline allows. */
const LATENCY_BUCKETS = [
  0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
];

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const decisions = hotCounter({
    name: "tollgate_decisions_total",
    help: "Decisions by api and reason (ALLOWED: passed), degraded cause, and reason in shadow.",
    labelNames: ["api", "reason", "degraded", "shadow_reason"] as const,
    registers,
  });
  const rateLimitDecisions = hotCounter({
    name: "tollgate_rate_limit_decisions_total",
    help: "Answers of the rate limit service by api and reason (ALLOWED: within), degraded cause, and reason in shadow.",
    labelNames: ["api", "reason", "degraded", "shadow_reason"] as const,
    registers,
  });
  const nearLimit = hotCounter({
    name: "tollgate_points_near_limit_total",
    help: "Admitted decisions after which at least the policy's warn_at of a limit's points was spent, by api and limit.",
    labelNames: ["api", "limit"] as const,
    registers,
  });
  const shadowRefusals = hotCounter({
    name: "tollgate_points_shadow_refusals_total",
    help: "Admitted decisions that a limit in shadow would have refused, by api and limit.",
    labelNames: ["api", "limit"] as const,
    registers,
  });
  const undecided = new Counter({
    name: "tollgate_gateway_undecided_total",
    help: "Requests of gateways that were refused because they could not be decided, by the error's reason.",
    labelNames: ["reason"] as const,
    registers,
  });
  const calls = hotHistogram<"method" | "code">({
    name: "tollgate_rpc_duration_seconds",
    help: "Time of a unary RPC by method and code, from its message's last byte to its answer.",
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const storeCalls = hotHistogram<"store" | "operation" | "outcome">({
    name: "tollgate_store_duration_seconds",
    help: "Time of a store's answer by store, operation and outcome (ok, failed).",
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const cacheLookups = hotCounter({
    name: "tollgate_cache_lookups_total",
    help: "Look-ups of cached rights by kind and outcome (hit, miss).",
    labelNames: ["kind", "outcome"] as const,
    registers,
  });
  const batches = hotHistogram<never>({
    name: "tollgate_points_batch_size",
    help: "Decisions that share one call of the points' store.",
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
    registers,
  })({});
  const breakers = new Gauge({
    name: "tollgate_breaker_state",
    help: "1 for the state that a store's breaker is in (closed, half_open, open).",
    labelNames: ["store", "state"] as const,
    registers,
  });
  const redisUnfit = new Gauge({
    name: "tollgate_redis_unfit",
    help: "1 while Redis may lose points by its own settings, such as a maxmemory-policy that evicts.",
    registers,
  });
  const acknowledgementWaits = new Histogram({
    name: "tollgate_acknowledgement_wait_seconds",
    help: "How long a change of rights waited until it held on every replica, by outcome: acknowledged; lapsed, where a lease had to run out; failed.",
    labelNames: ["outcome"] as const,
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const listening = new Gauge({
    name: "tollgate_change_listener_up",
    help: "1 while changes are heard of as they are committed; 0: they are only found by renewals, and changes wait longer.",
    registers,
  });
  const leaks = new Counter({
    name: "tollgate_leak_reports_total",
    help: "Tokens in leak reports by label: true_positive, a key's, which is revoked; false_positive.",
    labelNames: ["label"] as const,
    registers,
  });
  const keyUses = new Counter({
    name: "tollgate_key_use_flushes_total",
    help: "Batches of last-use times by outcome (ok, failed).",
    labelNames: ["outcome"] as const,
    registers,
  });
  const keyUseKeys = new Counter({
    name: "tollgate_key_uses_written_total",
    help: "Last-use times written.",
    registers,
  });
  const streamResets = new Counter({
    name: "tollgate_http2_stream_resets_total",
    help: "Streams that were reset, by RFC 9113's error code and by whom (client, server).",
    labelNames: ["code", "by"] as const,
    registers,
  });
  const connectionFaults = new Counter({
    name: "tollgate_http2_connection_faults_total",
    help: "HTTP/2 connections that were ended by a fault, by RFC 9113's error code.",
    labelNames: ["code"] as const,
    registers,
  });
  const policyInfo = new Gauge({
    name: "tollgate_policy_info",
    help: "1 for the digest of each api's policy in force.",
    labelNames: ["api", "digest"] as const,
    registers,
  });

  const nearLimitOf = byLabel((api) => byLabel((limit) => nearLimit({ api, limit })));
  const shadowRefusalOf = byLabel((api) => byLabel((limit) => shadowRefusals({ api, limit })));
  const callOf = byLabel((method) => byLabel((code) => calls({ method, code })));
  const storeCallOf = byLabel((store) =>
    byLabel((operation) => byLabel((outcome) => storeCalls({ store, operation, outcome }))),
  );
  const cacheLookupsOf = byLabel((kind) => byLabel((outcome) => cacheLookups({ kind, outcome })));

  /** By api and limit: the share to tell of. Without the apis of which nothing is told. */
  let warnAt: ReadonlyMap<string, ReadonlyMap<string, number | undefined>> = new Map();

  /** A share of the points that this process counted by itself says nothing about the limit. */
  function countLimits({ api, reason, isOverruled, degraded, limits }: CountedDecision): void {
    const shares = warnAt.get(api);
    if (shares === undefined || reason !== undefined || isOverruled || degraded.includes("points_local"))
      return;
    for (const { limitName, limit, remaining, shadow } of limits) {
      if (shadow?.reason !== undefined) {
        shadowRefusalOf(api)(limitName).value++;
        continue;
      }
      const share = shares.get(limitName);
      if (share !== undefined && (limit - remaining) / limit >= share) nearLimitOf(api)(limitName).value++;
    }
  }

  function decisionsIn(counter: typeof decisions): (decision: CountedDecision) => void {
    const countOf = byLabel((api) =>
      byLabel((reason) =>
        byLabel((degraded) => byLabel((shadow_reason) => counter({ api, reason, degraded, shadow_reason }))),
      ),
    );
    return (decision) => {
      const { api, reason, degraded, shadowReason } = decision;
      countOf(api)(reason ?? "ALLOWED")(degraded[0] ?? "")(shadowReason ?? "").value++;
      countLimits(decision);
    };
  }

  return {
    registry,
    onDecision: decisionsIn(decisions),
    onRateLimitDecision: decisionsIn(rateLimitDecisions),
    onUndecided(reason) {
      undecided.inc({ reason });
    },
    onFinished({ method, code, durationMs }) {
      callOf(method)(code).observe(durationMs / 1000);
    },
    onStoreCall({ store, operation, failed, durationMs }) {
      storeCallOf(store)(operation)(failed ? "failed" : "ok").observe(durationMs / 1000);
    },
    onCacheLookupOf(kind) {
      const lookupsOf = cacheLookupsOf(kind);
      return (outcome) => void lookupsOf(outcome).value++;
    },
    onBatch(size) {
      batches.observe(size);
    },
    onBreaker(store, state) {
      for (const each of BREAKER_STATES) breakers.set({ store, state: each }, each === state ? 1 : 0);
    },
    onRedisFitness(fitness) {
      redisUnfit.set(fitness === "unfit" ? 1 : 0);
    },
    onAcknowledgementWait({ outcome, durationMs }) {
      acknowledgementWaits.observe({ outcome }, durationMs / 1000);
    },
    onStreamReset: ({ code, by }) => streamResets.inc({ code, by }),
    onConnectionFault: (code) => connectionFaults.inc({ code }),
    watchHttp2({ connections, streams, queuedBytes }) {
      const gauge = (name: string, help: string, read: () => number): Gauge => {
        const watched: Gauge = new Gauge({ name, help, registers, collect: () => watched.set(read()) });
        return watched;
      };
      gauge("tollgate_http2_connections", "HTTP/2 connections that are open.", connections);
      gauge("tollgate_http2_streams", "HTTP/2 streams that are open.", streams);
      gauge("tollgate_http2_queued_bytes", "Bytes of answers that clients have not taken yet.", queuedBytes);
    },
    onChangeListener(state) {
      listening.set(state === "hears" ? 1 : 0);
    },
    onLeak(label) {
      leaks.inc({ label });
    },
    onKeyUseFlush({ keys, failed }) {
      keyUses.inc({ outcome: failed ? "failed" : "ok" });
      if (!failed) keyUseKeys.inc(keys);
    },
    onPolicies(policies) {
      policyInfo.reset();
      const shares = new Map<string, ReadonlyMap<string, number | undefined>>();
      for (const { api, digest, limits } of policies) {
        policyInfo.set({ api, digest }, 1);
        const isTold = limits.some(({ warnAt, shadow }) => warnAt !== undefined || shadow === true);
        if (isTold) shares.set(api, new Map(limits.map((limit) => [limit.name, limit.warnAt])));
      }
      warnAt = shares;
    },
    observeInFlight(inFlight) {
      // The registry keeps it; each scrape asks anew.
      const gauge: Gauge = new Gauge({
        name: "tollgate_calls_in_flight",
        help: "Calls in flight now; a BatchCheck counts as its checks.",
        registers,
        collect: () => gauge.set(inFlight()),
      });
    },
  };
}

/** Of a process, as it is told to the one that answers for several. */
export type MetricsSample = Awaited<ReturnType<Registry["getMetricsAsJSON"]>>;

/** What a supervisor of workers tells of itself. */
export interface SupervisorMetrics {
  readonly registry: Registry;
  /** A worker is started in the place of one that ended. */
  onRestart(worker: string): void;
  /** Asked at each scrape: how many workers serve. */
  observeServing(serving: () => number): void;
}

export function createSupervisorMetrics(): SupervisorMetrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const restarts = new Counter({
    name: "tollgate_worker_restarts_total",
    help: "Workers that were started in the place of one that ended, by its number.",
    labelNames: ["worker"] as const,
    registers,
  });
  return {
    registry,
    onRestart(worker) {
      restarts.inc({ worker });
    },
    observeServing(serving) {
      const gauge: Gauge = new Gauge({
        name: "tollgate_workers_serving",
        help: "Workers that serve now.",
        registers,
        collect: () => gauge.set(serving()),
      });
    },
  };
}

/** Remembers what was made for each label: labels are few, and one by one they are found without a name made of all. */
function byLabel<Made>(make: (label: string) => Made): (label: string) => Made {
  const made = new Map<string, Made>();
  return (label) => {
    let found = made.get(label);
    if (found === undefined) {
      found = make(label);
      made.set(label, found);
    }
    return found;
  };
}

/** Of the metrics' listener, at once. */
const MAX_CONNECTIONS = 100;

export interface MetricsListener {
  /** Answers the port as bound. Throws an Error that names the address. */
  listen(address: { host: string; port: number }): Promise<{ host: string; port: number }>;
  close(): Promise<void>;
}

/** `GET /metrics` in Prometheus' text form, and `GET /healthz`: for those who watch, on a port of their own. */
export function createMetricsListener(options: {
  registry: Pick<Registry, "metrics" | "contentType">;
  isServing: () => boolean | Promise<boolean>;
}): MetricsListener {
  let boundHost = "";
  const timeouts = { headersTimeout: 5000, requestTimeout: 5000, keepAliveTimeout: 60_000 };
  const server = createServer({ ...timeouts, connectionsCheckingInterval: 1000 }, (request, response) => {
    if (!isOurs(request.headers.host, boundHost)) {
      response.writeHead(421, { "content-type": "text/plain" }).end("Ask by address, or as localhost.\n");
      return;
    }
    const path = (request.url ?? "").split("?", 1)[0];
    if (request.method !== "GET" && request.method !== "HEAD") {
      response.writeHead(405, { allow: "GET, HEAD" }).end();
      return;
    }
    if (path === "/healthz") {
      void answerHealth(response, options.isServing);
      return;
    }
    if (path !== "/metrics") {
      response.writeHead(404, { "content-type": "text/plain" }).end("See /metrics and /healthz.\n");
      return;
    }
    options.registry.metrics().then(
      (text) => response.writeHead(200, { "content-type": options.registry.contentType }).end(text),
      (error: unknown) => response.destroy(error as Error),
    );
  });
  // Above the bound the oldest goes: whoever only holds connections keeps nobody out.
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    const [oldest] = sockets;
    if (sockets.size > MAX_CONNECTIONS) oldest?.destroy();
  });

  return {
    async listen({ host, port }) {
      boundHost = host.toLowerCase();
      await listening(server, { host, port });
      const bound = server.address() as AddressInfo;
      return { host: bound.address, port: bound.port };
    },
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

async function answerHealth(
  response: ServerResponse,
  isServing: () => boolean | Promise<boolean>,
): Promise<void> {
  const status = (await isServing()) ? 200 : 503;
  response.writeHead(status, { "content-type": "text/plain" });
  response.end(status === 200 ? "serving\n" : "not serving\n");
}

/**
 * Whether a request is meant for this listener. A web page whose own name was made to point here asks by
 * that name (DNS rebinding), and would be let read the answer. Bound to every address, the listener has
 * been opened to a network whose names for it are not known here.
 */
function isOurs(header: string | undefined, boundHost: string): boolean {
  if (boundHost === "0.0.0.0" || boundHost === "::") return true;
  const host = /^(\[[^\]]*\]|[^:]*)(:\d*)?$/.exec(header ?? "")?.[1]?.toLowerCase();
  if (host === undefined) return false;
  return host === "localhost" || host === boundHost || isIP(host.replace(/^\[(.*)\]$/, "$1")) !== 0;
}

function listening(server: Server, address: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    // It stays: a failed accept later on is no reason to end the process.
    server.on("error", (error: NodeJS.ErrnoException) => {
      const why = error.code === "EADDRINUSE" ? "another process listens there" : error.message;
      reject(new Error(`cannot serve metrics on ${address.host}:${address.port}: ${why}`, { cause: error }));
    });
    server.listen(address, resolve);
  });
}
