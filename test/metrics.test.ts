import { once } from "node:events";
import { get } from "node:http";
import { connect, createServer } from "node:net";
import { expect, test } from "vitest";
import type { Decision, PointsState } from "../src/core/decision.ts";
import { createMetrics, createMetricsListener } from "../src/metrics.ts";

const decision: Decision = {
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
};

function stateOf(change: Partial<PointsState>): PointsState {
  return {
    ...{ limitName: "points", limit: 100, cost: 1, remaining: 0 },
    ...{ windowSeconds: 60, resetMs: 0, blockedMs: 0, ...change },
  };
}

async function sample(metrics: ReturnType<typeof createMetrics>): Promise<string[]> {
  const text = await metrics.registry.metrics();
  return text.split("\n").filter((line) => line.startsWith("tollgate_"));
}

test("decisions are counted by api, reason, degraded cause and reason in shadow", async () => {
  const metrics = createMetrics();
  metrics.onDecision(decision);
  metrics.onDecision(decision);
  metrics.onDecision({ ...decision, allowed: false, reason: "BLOCKED", degraded: ["points_local"] });
  metrics.onDecision({ ...decision, api: "retool", shadowReason: "SCOPE_INSUFFICIENT" });
  expect(await sample(metrics)).toEqual(
    expect.arrayContaining([
      'tollgate_decisions_total{api="retrac",reason="ALLOWED",degraded="",shadow_reason=""} 2',
      'tollgate_decisions_total{api="retrac",reason="BLOCKED",degraded="points_local",shadow_reason=""} 1',
      'tollgate_decisions_total{api="retool",reason="ALLOWED",degraded="",shadow_reason="SCOPE_INSUFFICIENT"} 1',
    ]),
  );
});

test("what is admitted near a limit is counted, from the policy's share on", async () => {
  const metrics = createMetrics();
  const limits = [{ name: "points", warnAt: 0.55 }, { name: "quiet" }, { name: "all", warnAt: 1 }];
  metrics.onPolicies([{ api: "retrac", digest: "d", limits }]);
  const left = (limitName: string, remaining: number) => stateOf({ limitName, remaining });
  const decide = (change: Partial<Decision>) => metrics.onDecision({ ...decision, ...change });
  decide({ limits: [left("points", 46), left("quiet", 0), left("all", 1)] });
  expect((await sample(metrics)).filter((line) => line.includes("near_limit"))).toEqual([]);
  decide({ limits: [left("points", 45), left("all", 1)] });
  decide({ limits: [left("points", 0), left("all", 0)] });
  metrics.onRateLimitDecision({ ...decision, limits: [left("points", 3)], descriptors: [] });
  decide({ limits: [left("points", 0)], allowed: false, reason: "POINTS_EXCEEDED" });
  decide({ limits: [left("points", 0)], isOverruled: true, shadowReason: "POINTS_EXCEEDED" });
  decide({ limits: [left("points", 0)], degraded: ["points_local"] });
  decide({ limits: [left("points", 0)], api: "retool" });
  expect((await sample(metrics)).filter((line) => line.includes("near_limit"))).toEqual([
    'tollgate_points_near_limit_total{api="retrac",limit="points"} 3',
    'tollgate_points_near_limit_total{api="retrac",limit="all"} 1',
  ]);
});

test("what a limit in shadow would refuse is counted by its name, and does not hide who comes near the others", async () => {
  const metrics = createMetrics();
  const limits = [
    { name: "points", warnAt: 0.9 },
    { name: "new", warnAt: 0.9 },
  ];
  metrics.onPolicies([{ api: "retrac", digest: "d", limits }]);
  const near = stateOf({ limitName: "points", remaining: 5 });
  const full = stateOf({ limitName: "new", remaining: 0, shadow: { reason: "POINTS_EXCEEDED" } });
  const close = stateOf({ limitName: "new", remaining: 1, shadow: { reason: undefined } });
  metrics.onDecision({ ...decision, limits: [near, full], shadowReason: "POINTS_EXCEEDED" });
  metrics.onDecision({ ...decision, limits: [near, close] });
  metrics.onRateLimitDecision({ ...decision, limits: [full], shadowReason: "BLOCKED", descriptors: [] });
  metrics.onDecision({ ...decision, limits: [full], allowed: false, reason: "POINTS_EXCEEDED" });
  expect((await sample(metrics)).filter((line) => /^tollgate_points_(near|shadow)/.test(line))).toEqual([
    'tollgate_points_near_limit_total{api="retrac",limit="points"} 2',
    'tollgate_points_near_limit_total{api="retrac",limit="new"} 1',
    'tollgate_points_shadow_refusals_total{api="retrac",limit="new"} 2',
  ]);
  expect(await sample(metrics)).toContain(
    'tollgate_decisions_total{api="retrac",reason="ALLOWED",degraded="",shadow_reason="POINTS_EXCEEDED"} 1',
  );
});

test("a limit in shadow is told of where no limit of its policy is warned of", async () => {
  const metrics = createMetrics();
  metrics.onPolicies([
    { api: "retrac", digest: "d", limits: [{ name: "points" }, { name: "new", shadow: true }] },
    { api: "retool", digest: "d", limits: [{ name: "points" }] },
  ]);
  const full = stateOf({ limitName: "new", shadow: { reason: "POINTS_EXCEEDED" } });
  for (const api of ["retrac", "retool"]) {
    metrics.onDecision({ ...decision, api, limits: [stateOf({ remaining: 0 })] });
  }
  metrics.onDecision({ ...decision, limits: [full], shadowReason: "POINTS_EXCEEDED" });
  expect((await sample(metrics)).filter((line) => /^tollgate_points_(near|shadow)/.test(line))).toEqual([
    'tollgate_points_shadow_refusals_total{api="retrac",limit="new"} 1',
  ]);
});

test("calls and stores are measured in seconds", async () => {
  const metrics = createMetrics();
  metrics.onFinished({ method: "m", code: "ok", durationMs: 3 });
  metrics.onStoreCall({ store: "redis", operation: "take", failed: false, durationMs: 2000 });
  metrics.onStoreCall({ store: "redis", operation: "take", failed: true, durationMs: 1 });
  expect(await sample(metrics)).toEqual(
    expect.arrayContaining([
      'tollgate_rpc_duration_seconds_bucket{le="0.0025",method="m",code="ok"} 0',
      'tollgate_rpc_duration_seconds_bucket{le="0.005",method="m",code="ok"} 1',
      'tollgate_store_duration_seconds_sum{store="redis",operation="take",outcome="ok"} 2',
      'tollgate_store_duration_seconds_count{store="redis",operation="take",outcome="failed"} 1',
    ]),
  );
});

test("cache, batches, breaker, key uses, policies and calls in flight are told", async () => {
  const metrics = createMetrics();
  let inFlight = 0;
  metrics.observeInFlight(() => inFlight);
  const onKeyLookup = metrics.onCacheLookupOf("key");
  onKeyLookup("hit");
  onKeyLookup("miss");
  metrics.onCacheLookupOf("key")("hit");
  metrics.onBatch(7);
  metrics.onBreaker("redis", "closed");
  metrics.onBreaker("redis", "open");
  metrics.onRedisFitness("unfit");
  metrics.onKeyUseFlush({ keys: 12, failed: false });
  metrics.onKeyUseFlush({ keys: 5, failed: true });
  metrics.onPolicies([{ api: "retrac", digest: "old", limits: [] }]);
  metrics.onPolicies([{ api: "retrac", digest: "new", limits: [] }]);
  inFlight = 4;
  const lines = await sample(metrics);
  expect(lines).toEqual(
    expect.arrayContaining([
      'tollgate_cache_lookups_total{kind="key",outcome="hit"} 2',
      'tollgate_cache_lookups_total{kind="key",outcome="miss"} 1',
      'tollgate_points_batch_size_bucket{le="5"} 0',
      'tollgate_points_batch_size_bucket{le="10"} 1',
      'tollgate_breaker_state{store="redis",state="closed"} 0',
      'tollgate_breaker_state{store="redis",state="open"} 1',
      "tollgate_redis_unfit 1",
      'tollgate_key_use_flushes_total{outcome="ok"} 1',
      'tollgate_key_use_flushes_total{outcome="failed"} 1',
      "tollgate_key_uses_written_total 12",
      'tollgate_policy_info{api="retrac",digest="new"} 1',
      "tollgate_calls_in_flight 4",
    ]),
  );
  expect(lines.join("\n")).not.toContain('digest="old"');
});

test("the listener serves the metrics and the health, and nothing else", async () => {
  let serving = true;
  const metrics = createMetrics();
  const listener = createMetricsListener({ registry: metrics.registry, isServing: () => serving });
  const { host, port } = await listener.listen({ host: "127.0.0.1", port: 0 });
  const url = `http://${host}:${port}`;
  const scraped = await fetch(`${url}/metrics`);
  expect([scraped.status, scraped.headers.get("content-type")]).toEqual([200, metrics.registry.contentType]);
  expect(await scraped.text()).toContain("process_cpu_seconds_total");
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  serving = false;
  expect((await fetch(`${url}/healthz`)).status).toBe(503);
  expect((await fetch(`${url}/`)).status).toBe(404);
  expect((await fetch(`${url}/metrics`, { method: "POST" })).status).toBe(405);
  await listener.close();
  await expect(fetch(`${url}/metrics`)).rejects.toThrow("fetch failed");
});

test("a port in use is named", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  const listener = createMetricsListener({ registry: createMetrics().registry, isServing: () => true });
  await expect(listener.listen({ host: "127.0.0.1", port })).rejects.toThrow(
    `cannot serve metrics on 127.0.0.1:${port}: another process listens there`,
  );
  taken.close();
});

async function startListener() {
  const listener = createMetricsListener({ registry: createMetrics().registry, isServing: () => true });
  return { listener, ...(await listener.listen({ host: "127.0.0.1", port: 0 })) };
}

function statusFor(port: number, host: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get({ port, host: "127.0.0.1", path: "/healthz", headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).once("error", reject);
  });
}

test("a page of another name that points here (DNS rebinding) reads nothing; addresses and localhost do", async () => {
  const { listener, port } = await startListener();
  for (const host of [`127.0.0.1:${port}`, "10.0.0.7", "[::1]:9464", "localhost", `LocalHost:${port}`]) {
    expect([host, await statusFor(port, host)]).toEqual([host, 200]);
  }
  for (const host of [
    "evil.example",
    `evil.example:${port}`,
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "[::1",
  ]) {
    expect([host, await statusFor(port, host)]).toEqual([host, 421]);
  }
  await listener.close();
});

test("connections that stay idle make room for a scraper", async () => {
  const { listener, port } = await startListener();
  const idle = Array.from({ length: 150 }, () => connect(port, "127.0.0.1").on("error", () => {}));
  await Promise.all(idle.map((socket) => once(socket, "connect")));
  expect(await statusFor(port, "localhost")).toBe(200);
  for (const socket of idle) socket.destroy();
  await listener.close();
});
