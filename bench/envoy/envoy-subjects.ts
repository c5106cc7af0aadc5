import { readFileSync } from "node:fs";
import { newSecret } from "../../src/core/secret.ts";
import { inRepository } from "../../test/support/repository.ts";
import { type BenchKey, newKeys } from "../keys.ts";
import { type RateLimitPeerOptions, startRateLimitPeer } from "../peers/ratelimit/ratelimit-peer.ts";
import { createStoreCounter } from "../store-counts.ts";
import { keyCount, startTollgateWithKeys } from "../tollgate-with-keys.ts";
import { type HttpFilter, withoutAuthorization, withRateLimit } from "./envoy-config.ts";
import { startEnvoy } from "./envoy-process.ts";
import type { EnvoySubject } from "./envoy-subject.ts";
import { startUpstream } from "./upstream.ts";

/** Every row of the table, by its name on the command line; the bare one is what the others are set against. */
export const envoySubjects: Readonly<Record<string, () => Promise<EnvoySubject>>> = {
  bare: startBare,
  tollgate: () =>
    startTollgateSubject({
      name: "Tollgate, ext_authz",
      filters: (example) => example,
      passedCounters: ["cluster.upstream.ext_authz.ok"],
    }),
  "tollgate-ratelimit": () =>
    startTollgateSubject({
      name: "Tollgate, rate limit service",
      filters: rateLimit,
      passedCounters: rateLimitPassed,
    }),
  ratelimit: () => startPeerSubject({ name: "envoyproxy/ratelimit", redis: "plain" }),
  "ratelimit-pipelined": () =>
    startPeerSubject({ name: "envoyproxy/ratelimit, pipelined", redis: "pipelined" }),
};

const example = () => readFileSync(inRepository("examples", "envoy", "envoy.yaml"), "utf8");
/** The example's ports of the service that its filter asks, and of the API. */
const servicePort = 8080;
const upstreamPort = 9000;
/** Retrac's name, and its host. */
const api = "retrac";
const host = "api.retrac.co";
const idHeader = "x-key-id";
const rateLimit = withRateLimit({ domain: api, idHeader });
const rateLimitPassed = ["cluster.upstream.ratelimit.ok"];
/** As long as a caller token. */
const unusedToken = newSecret("tgc_");

async function startBare(): Promise<EnvoySubject> {
  const upstream = await startUpstream();
  const envoy = await startEnvoy({
    example: example(),
    token: unusedToken,
    // Nobody listens there, and no filter asks.
    ports: [{ example: upstreamPort, used: upstream.port }],
    filters: withoutAuthorization,
  });
  return {
    name: "bare Envoy",
    envoy,
    headers: requestHeaders(newKeys(keyCount)),
    passedCounters: [],
    faults: async () => ({}),
    async stop() {
      await envoy.stop();
      await upstream.stop();
    },
  };
}

async function startTollgateSubject(options: {
  name: string;
  filters: (example: readonly HttpFilter[]) => readonly HttpFilter[];
  passedCounters: readonly string[];
}): Promise<EnvoySubject> {
  const [upstream, tollgate] = await Promise.all([startUpstream(), startTollgateWithKeys()]);
  const envoy = await startEnvoy({
    example: example(),
    token: tollgate.server.adminToken,
    ports: [
      { example: upstreamPort, used: upstream.port },
      { example: servicePort, used: Number(new URL(tollgate.server.url).port) },
    ],
    filters: options.filters,
  });
  const counter = await createStoreCounter({ redisUrl: undefined, postgresUrl: tollgate.postgresUrl });
  return {
    name: options.name,
    envoy,
    service: { pid: tollgate.server.pid, redis: tollgate.redis },
    headers: requestHeaders(tollgate.keys),
    passedCounters: options.passedCounters,
    faults: async () => ({
      "look-ups in Postgres": (await counter.read()).recordReads ?? 0,
      "decisions without Redis": await degradedDecisions(tollgate.metricsUrl),
    }),
    async stop() {
      await envoy.stop();
      await counter.close();
      await Promise.all([tollgate.stop(), upstream.stop()]);
    },
  };
}

async function startPeerSubject(options: {
  name: string;
  redis: RateLimitPeerOptions["redis"];
}): Promise<EnvoySubject> {
  const [upstream, peer] = await Promise.all([
    startUpstream(),
    startRateLimitPeer({ domain: api, redis: options.redis }),
  ]);
  const envoy = await startEnvoy({
    example: example(),
    token: unusedToken,
    ports: [
      { example: upstreamPort, used: upstream.port },
      { example: servicePort, used: peer.grpcPort },
    ],
    filters: rateLimit,
  });
  return {
    name: options.name,
    envoy,
    service: peer,
    headers: requestHeaders(newKeys(keyCount)),
    passedCounters: rateLimitPassed,
    faults: async () => ({}),
    async stop() {
      await envoy.stop();
      await Promise.all([peer.stop(), upstream.stop()]);
    },
  };
}

/** The same of every row: what one row's filter does not read is carried all the same. */
function requestHeaders(keys: readonly BenchKey[]): Record<string, string>[] {
  return keys.map(({ id, secret }) => ({ host, authorization: `Bearer ${secret}`, [idHeader]: id }));
}

async function degradedDecisions(metricsUrl: string): Promise<number> {
  return countDegraded(await (await fetch(metricsUrl)).text());
}

/** Decisions of either kind that Tollgate marked degraded, by its metrics. Throws where they do not tell. */
export function countDegraded(metrics: string): number {
  const names = ["tollgate_decisions_total", "tollgate_rate_limit_decisions_total"];
  return names.reduce((sum, name) => {
    if (!metrics.includes(`# TYPE ${name} counter`)) throw new Error(`Tollgate has no metric ${name}`);
    const lines = metrics.matchAll(new RegExp(`^${name}\\{[^}]*\\bdegraded="([^"]*)"[^}]*\\} (\\d+)$`, "gm"));
    return [...lines].reduce((count, [, cause, times]) => count + (cause === "" ? 0 : Number(times)), sum);
  }, 0);
}
