import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  envoyConfig,
  type HttpFilter,
  withoutAuthorization,
  withRateLimit,
} from "../../bench/envoy/envoy-config.ts";
import { type EnvoyMeasurement, faultsOf } from "../../bench/envoy/envoy-measurement.ts";
import { envoyRow, envoyTable } from "../../bench/envoy/envoy-report.ts";
import { countDegraded } from "../../bench/envoy/envoy-subjects.ts";
import type { Decision } from "../../src/core/decision.ts";
import type { RateLimitDecision } from "../../src/core/rate-limits.ts";
import { createMetrics } from "../../src/metrics.ts";
import { inRepository } from "../support/repository.ts";

const example = readFileSync(inRepository("examples", "envoy", "envoy.yaml"), "utf8");
const ports = {
  listen: { example: 10_000, used: 20_001 },
  others: [
    { example: 9000, used: 20_002 },
    { example: 8080, used: 20_003 },
  ],
};

test("the measured Envoy is the example but for its ports, its access log and the scheme", () => {
  const { listener, manager, clusterPorts } = configOf({ filters: (filters) => filters });
  expect(listener.address.socket_address.port_value).toBe(20_001);
  expect(clusterPorts).toEqual([20_002, 20_003]);
  expect(manager).not.toHaveProperty("access_log");
  expect(manager["scheme_header_transformation"]).toEqual({ scheme_to_overwrite: "https" });
  expect(manager.http_filters.map(({ name }) => name)).toContain("envoy.filters.http.ext_authz");
});

test("the bare Envoy lacks the ext_authz filter and nothing else", () => {
  const whole = configOf({ filters: (filters) => filters });
  const bare = configOf({ filters: withoutAuthorization });
  expect(bare.manager.http_filters).toEqual(
    whole.manager.http_filters.filter(({ name }) => name !== "envoy.filters.http.ext_authz"),
  );
  expect(bare.manager.http_filters.length).toBe(whole.manager.http_filters.length - 1);
  expect({ ...bare.manager, http_filters: [] }).toEqual({ ...whole.manager, http_filters: [] });
});

test("the rate limit filter stands where ext_authz stood and asks as that did", () => {
  const whole = configOf({ filters: (filters) => filters }).manager.http_filters;
  const limited = configOf({ filters: withRateLimit({ domain: "retrac", idHeader: "x-key-id" }) }).manager
    .http_filters;
  const place = whole.findIndex(({ name }) => name === "envoy.filters.http.ext_authz");
  const service = whole[place]?.typed_config["grpc_service"] as { timeout: string };
  expect(limited.length).toBe(whole.length);
  expect(limited[place]).toMatchObject({
    name: "envoy.filters.http.ratelimit",
    typed_config: {
      domain: "retrac",
      failure_mode_deny: true,
      timeout: service.timeout,
      rate_limit_service: { grpc_service: service },
    },
  });
});

test("a port that the example does not have is an error, and not a service that nobody asks", () => {
  const options = { ports, adminPort: 20_009, filters: withoutAuthorization };
  const others = [{ example: 4444, used: 20_002 }];
  expect(() => envoyConfig(example, { ...options, ports: { ...ports, others } })).toThrow(/port 4444/);
  const listen = { example: 4444, used: 20_001 };
  expect(() => envoyConfig(example, { ...options, ports: { ...ports, listen } })).toThrow(/port 4444/);
});

test("a run is sound when each request was answered 200 and let pass by what was asked", () => {
  const run = { requests: 10, statuses: { "200": 10 }, passed: { ok: 10 }, faults: { "look-ups": 0 } };
  expect(faultsOf(run)).toEqual([]);
  expect(faultsOf({ ...run, statuses: { "200": 9, "503": 1 } })).toEqual([
    '1 of 10 requests were not answered 200: {"200":9,"503":1}',
  ]);
  expect(faultsOf({ ...run, passed: { ok: 0 } })).toEqual(["ok is 0 after 10 requests"]);
  expect(faultsOf({ ...run, faults: { "look-ups": 2 } })).toEqual(["2 look-ups"]);
});

test("decisions of either kind are degraded when their label names a cause", () => {
  const metrics = [
    "# TYPE tollgate_decisions_total counter",
    'tollgate_decisions_total{api="retrac",reason="ALLOWED",degraded="",shadow_reason=""} 100',
    'tollgate_decisions_total{api="retrac",reason="ALLOWED",degraded="points_local",shadow_reason=""} 3',
    'tollgate_decisions_total{api="retool",reason="BLOCKED",degraded="points_local",shadow_reason=""} 4',
    "# TYPE tollgate_rate_limit_decisions_total counter",
    'tollgate_rate_limit_decisions_total{api="retrac",reason="ALLOWED",degraded="",shadow_reason=""} 50',
    'tollgate_rate_limit_decisions_total{api="retrac",reason="ALLOWED",degraded="points_local",shadow_reason=""} 5',
  ];
  expect(countDegraded(metrics.join("\n"))).toBe(12);
  expect(() => countDegraded(metrics.slice(0, 4).join("\n"))).toThrow(/no metric tollgate_rate_limit/);
});

test("the metrics of a running Tollgate name the decisions that the benchmark counts", async () => {
  const metrics = createMetrics();
  const decision = { api: "retrac", reason: undefined, degraded: ["points_local"], shadowReason: undefined };
  metrics.onDecision(decision as unknown as Decision);
  metrics.onRateLimitDecision(decision as unknown as RateLimitDecision);
  expect(countDegraded(await metrics.registry.metrics())).toBe(2);
});

test("the table sets each row against the bare Envoy", () => {
  const bare = envoyRow({ name: "bare", busy: [run({})], alone: [run({ p50Ms: 0.2, p99Ms: 0.4 })] });
  const withService = { serviceCpuUs: 100, redisCpuUs: 8 };
  const tollgate = envoyRow({
    name: "tollgate",
    busy: [9000, 2500, 1000].map((requestsPerSecond) => run({ ...withService, requestsPerSecond })),
    alone: [run({ ...withService, p50Ms: 0.5, p99Ms: 1.4 })],
  });
  const lines = envoyTable([bare, tollgate], bare).split("\n");
  const cells = (line: string | undefined) => line?.split("|").map((cell) => cell.trim());
  expect(cells(lines[2])).toEqual([
    "",
    "bare",
    "10000",
    "1.00",
    "1.0",
    "2.0",
    "0.200",
    "0.400",
    "",
    "",
    "",
    "",
    "30.0",
    "",
  ]);
  expect(cells(lines[3])).toEqual([
    "",
    "tollgate",
    "2500",
    "0.25",
    "1.0",
    "2.0",
    "0.500",
    "1.400",
    "0.300",
    "1.000",
    "100.0",
    "8.0",
    "30.0",
    "",
  ]);
});

interface Config {
  static_resources: {
    listeners: [
      {
        address: { socket_address: { port_value: number } };
        filter_chains: [
          { filters: [{ typed_config: Record<string, unknown> & { http_filters: HttpFilter[] } }] },
        ];
      },
    ];
    clusters: unknown[];
  };
}

function configOf({ filters }: { filters: (example: readonly HttpFilter[]) => readonly HttpFilter[] }) {
  const config = JSON.parse(envoyConfig(example, { ports, adminPort: 20_009, filters })) as Config;
  const { listeners, clusters } = config.static_resources;
  const [listener] = listeners;
  const clusterPorts = [...JSON.stringify(clusters).matchAll(/"port_value":(\d+)/g)].map(([, port]) =>
    Number(port),
  );
  return { listener, manager: listener.filter_chains[0].filters[0].typed_config, clusterPorts };
}

function run(fields: Partial<EnvoyMeasurement>): EnvoyMeasurement {
  return {
    requests: 1000,
    requestsPerSecond: 10_000,
    p50Ms: 1,
    p99Ms: 2,
    envoyCpuUs: 30,
    serviceCpuUs: undefined,
    redisCpuUs: undefined,
    faults: [],
    ...fields,
  };
}
