import { parseAddressRange } from "../../src/core/address-range.ts";
import type { Authorizer } from "../../src/core/authorizer.ts";
import { type CallerTokens, createCallerTokens, newCallerToken } from "../../src/core/caller-tokens.ts";
import type { Decision } from "../../src/core/decision.ts";
import type { Directory } from "../../src/core/directory.ts";
import type { Keys } from "../../src/core/keys.ts";
import type { Points } from "../../src/core/points.ts";
import type { PolicySet } from "../../src/core/policy-set.ts";
import type { RateLimits } from "../../src/core/rate-limits.ts";
import type { CallerTokenRecord, Grant, KeyRecord } from "../../src/core/records.ts";
import type { Replicas } from "../../src/core/replicas.ts";
import { secretDigest } from "../../src/core/secret.ts";
import type { ListenAddress } from "../../src/http2/listen-address.ts";
import { createListener, type Listener, type ListenerBounds } from "../../src/http2/listener.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics, type Metrics } from "../../src/metrics.ts";
import { createGateways } from "../../src/proxy/gateways.ts";
import { createRequestHandler } from "../../src/rpc/handler.ts";
import type { LeakReportEndpoint } from "../../src/rpc/leak-report-endpoint.ts";
import type { BodyBounds } from "../../src/rpc/request-bodies.ts";
import type { ServingReport } from "../../src/rpc/serving.ts";

/** What stands in for the core: each test says what it answers. Whatever is not given fails the call. */
export interface Core {
  readonly authorizer?: Partial<Authorizer>;
  readonly keys?: Partial<Keys>;
  readonly directory?: Partial<Directory>;
  readonly callerTokens?: Partial<CallerTokens>;
  readonly points?: Partial<Points>;
  readonly replicas?: Partial<Replicas>;
}

export interface TestServerOptions extends Core {
  readonly policies?: () => PolicySet;
  readonly rateLimits?: RateLimits;
  readonly leakReports?: LeakReportEndpoint;
  readonly address?: ListenAddress;
  readonly bounds?: Partial<ListenerBounds>;
  readonly engine?: "tollgate" | "node";
  readonly bodies?: Partial<BodyBounds>;
  readonly reflection?: boolean;
  readonly maxInFlight?: number;
  readonly logLevel?: string;
  readonly report?: () => ServingReport;
}

export interface TestServer {
  readonly url: string;
  readonly address: ListenAddress;
  readonly listener: Listener;
  /** TOLLGATE_ADMIN_TOKEN of this server. */
  readonly adminToken: string;
  readonly metrics: Metrics;
  /** Every log line so far. */
  readonly logLines: string[];
  readonly stopping: AbortController;
  /** A stored caller token's secret. */
  issueToken(grants: readonly Grant[], change?: Partial<CallerTokenRecord>): string;
  revokeToken(secret: string): void;
  inFlight(): number;
  unfinishedBytes(): number;
  stop(): Promise<void>;
}

export const NOW_MS = Date.UTC(2026, 10, 22, 12);

/** The whole wire, as the service runs it, in front of stand-ins for the core. Caller tokens are real. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const adminToken = `admin-${"x".repeat(40)}`;
  const tokens = new Map<string, CallerTokenRecord>();
  const callerTokens = createCallerTokens({
    policies: () => unexpected("policies"),
    store: new Proxy({} as never, { get: (_, name) => () => unexpected(`store.${String(name)}`) }),
    rights: { callerToken: (digest) => tokens.get(digest) },
    adminToken,
    nowMs: () => NOW_MS,
  });
  const logLines: string[] = [];
  const log = createLog({
    level: options.logLevel ?? "debug",
    destination: { write: (line) => void logLines.push(line) },
  });
  const metrics = createMetrics();
  const stopping = new AbortController();
  const authorizer = standIn<Authorizer>("authorizer", { verify: () => {}, ...options.authorizer });
  const { forwardAuth, ...gateways } = createGateways({
    authorizer,
    policies: options.policies ?? (() => unexpected("policies")),
    rateLimits: standIn<RateLimits>("rateLimits", options.rateLimits),
    onRateLimitDecision: metrics.onRateLimitDecision,
    rateLimitFields: "draft-10",
    trustedProxies: ["127.0.0.1/32"].flatMap((range) => parseAddressRange(range) ?? []),
    log,
    onDecision: metrics.onDecision,
    onUndecided: metrics.onUndecided,
  });
  const { handle, serveStream, inFlight, unfinishedBytes } = createRequestHandler({
    authorizer,
    gateways,
    forwardAuth,
    leakReports: options.leakReports,
    keys: standIn<Keys>("keys", options.keys),
    directory: standIn<Directory>("directory", options.directory),
    points: standIn<Points>("points", options.points),
    replicas: standIn<Replicas>("replicas", options.replicas),
    callerTokens: { ...callerTokens, ...options.callerTokens },
    nowMs: () => NOW_MS,
    serving: {
      report: options.report ?? (() => ({ serving: true, stores: { postgres: true, redis: true } })),
      stopping: stopping.signal,
    },
    reflection: options.reflection ?? true,
    watchIntervalMs: 5,
    maxInFlight: options.maxInFlight ?? 1000,
    ...(options.bodies === undefined ? {} : { bodies: options.bodies }),
    log,
    onFinished: metrics.onFinished,
    onDecision: metrics.onDecision,
  });
  const bodyTimeoutMs = options.bodies?.timeoutMs;
  const listener = createListener({
    onRequest: handle,
    onStream: serveStream,
    engine: options.engine ?? "tollgate",
    bounds: { ...(bodyTimeoutMs === undefined ? {} : { bodyTimeoutMs }), ...options.bounds },
  });
  const address = await listener.listen(options.address ?? { kind: "tcp", host: "127.0.0.1", port: 0 });
  return {
    url: address.kind === "tcp" ? `http://${address.host}:${address.port}` : "http://localhost",
    address,
    listener,
    adminToken,
    metrics,
    logLines,
    stopping,
    issueToken(grants, change = {}) {
      const { token, secret } = newCallerToken(
        { name: "test", grants, apis: [], expireTimeMs: undefined },
        NOW_MS,
      );
      tokens.set(token.digest, { ...token, ...change });
      return secret;
    },
    revokeToken(secret) {
      const digest = secretDigest(secret);
      const token = tokens.get(digest);
      if (token !== undefined) tokens.set(digest, { ...token, revokeTimeMs: NOW_MS - 1 });
    },
    inFlight,
    unfinishedBytes,
    async stop() {
      stopping.abort();
      await listener.drain(0);
    },
  };
}

function standIn<Service extends object>(name: string, given: Partial<Service> | undefined): Service {
  return new Proxy((given ?? {}) as Service, {
    get: (target, method) =>
      Reflect.get(target, method) ??
      (() => Promise.reject(new Error(`unexpected ${name}.${String(method)}`))),
  });
}

function unexpected(name: string): never {
  throw new Error(`unexpected ${name}`);
}

export function allowed(change: Partial<Decision> = {}): Decision {
  return {
    api: "retrac",
    allowed: true,
    reason: undefined,
    principal: undefined,
    cost: undefined,
    limits: [],
    points: undefined,
    retryAfterMs: 0,
    degraded: [],
    requiredScopes: [],
    isShadow: false,
    isOverruled: false,
    shadowReason: undefined,
    steps: [],
    ...change,
  };
}

export function keyRecord(change: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id: "key_0123456789ABCDEFGHIJKL",
    api: "retrac",
    type: "restricted",
    environment: "live",
    workspaceId: "w1",
    userId: "u1",
    createdBy: "u1",
    role: "",
    name: "Warehouse",
    description: "",
    scopes: ["items.read"],
    preview: "retrac_…wxyz",
    disabled: false,
    metadata: {},
    allowedCidrs: [],
    createTimeMs: NOW_MS - 1000,
    expireTimeMs: undefined,
    revokeTimeMs: undefined,
    revokeReason: "",
    lastUseTimeMs: undefined,
    digest: "d".repeat(64),
    previousDigest: "",
    previousExpireTimeMs: undefined,
    previousLastUseTimeMs: undefined,
    revision: 1,
    ...change,
  };
}
