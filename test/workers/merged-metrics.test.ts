import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { expect, test } from "vitest";
import { createMergedMetrics } from "../../src/workers/merged-metrics.ts";

function createProcess() {
  const registry = new Registry();
  const registers = [registry];
  return {
    sample: () => registry.getMetricsAsJSON(),
    registry,
    calls: new Counter({ name: "calls_total", help: "c", labelNames: ["code"], registers }),
    times: new Histogram({ name: "seconds", help: "h", buckets: [1, 2], registers }),
    state: new Gauge({ name: "state", help: "g", labelNames: ["store"], registers }),
    cpu: new Counter({ name: "process_cpu_seconds_total", help: "p", registers }),
    version: new Gauge({ name: "nodejs_version_info", help: "v", aggregator: "first", registers }),
  };
}

const linesOf = async (merged: { text(): Promise<string> }) =>
  (await merged.text()).split("\n").filter((line) => line !== "" && !line.startsWith("#"));

test("counters and histograms are sums, gauges and what is a process's stand for each", async () => {
  const merged = createMergedMetrics(new Registry());
  for (const [name, calls] of [
    ["1", 2],
    ["2", 3],
  ] as const) {
    const worker = createProcess();
    worker.calls.inc({ code: "ok" }, calls);
    worker.times.observe(calls - 1);
    worker.state.set({ store: "redis" }, calls);
    worker.cpu.inc(calls);
    worker.version.set(1);
    merged.take(name, await worker.sample());
  }
  expect(await linesOf(merged)).toEqual([
    'calls_total{code="ok"} 5',
    'seconds_bucket{le="1"} 1',
    'seconds_bucket{le="2"} 2',
    'seconds_bucket{le="+Inf"} 2',
    "seconds_sum 3",
    "seconds_count 2",
    'state{worker="1",store="redis"} 2',
    'state{worker="2",store="redis"} 3',
    'process_cpu_seconds_total{worker="1"} 2',
    'process_cpu_seconds_total{worker="2"} 3',
    'nodejs_version_info{worker="1"} 1',
    'nodejs_version_info{worker="2"} 1',
  ]);
});

test("sums never fall: what a worker had counted by its last sample stays, over any number of ends", async () => {
  const merged = createMergedMetrics(new Registry());
  const stays = createProcess();
  stays.calls.inc({ code: "ok" });
  merged.take("1", await stays.sample());
  for (let round = 1; round <= 5; round++) {
    const dies = createProcess();
    dies.calls.inc({ code: "ok" }, 10);
    dies.state.set({ store: "redis" }, 1);
    merged.take("2", await dies.sample());
    merged.end("2");
    expect(await linesOf(merged)).toContain(`calls_total{code="ok"} ${1 + 10 * round}`);
    expect((await merged.text()).includes('worker="2"')).toBe(false);
  }
});

test("what the supervisor counts stands beside, with its own label where it is a process's", async () => {
  const own = createProcess();
  own.calls.inc({ code: "ok" }, 4);
  own.cpu.inc(7);
  const worker = createProcess();
  worker.calls.inc({ code: "ok" }, 1);
  const merged = createMergedMetrics(own.registry);
  merged.take("1", await worker.sample());
  const lines = await linesOf(merged);
  expect(lines).toContain('calls_total{code="ok"} 5');
  expect(lines).toContain('process_cpu_seconds_total{worker="supervisor"} 7');
});
