import fc from "fast-check";
import { AggregatorRegistry, Histogram, Registry } from "prom-client";
import { expect, test } from "vitest";
import { hotHistogram, type Observations } from "../../src/metrics/hot-histogram.ts";

const buckets = [0.000_25, 0.1, 1, 2.5];
const about = { name: "call_seconds", help: "Calls." };

test("it reads as prom-client's own histogram does, at each scrape anew, alone and merged", async () => {
  const label = fc.constantFrom("ok", "failed", "", 'with "quotes"\n');
  const value = fc.oneof(
    fc.constantFrom(0, ...buckets, 2.500_000_001, 1e9),
    fc.double({ min: 0, max: 3, noNaN: true }),
  );
  const call = fc.record({ labels: fc.record({ method: label, code: label }), value });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(call, { maxLength: 20 }), { maxLength: 3 }), async (scrapes) => {
      const registry = new Registry();
      const theirs = new Registry();
      const observationsOf = hotHistogram<"method" | "code">({ ...about, buckets, registers: [registry] });
      const labelNames = ["method", "code"] as const;
      const histogram = new Histogram({ ...about, buckets, labelNames, registers: [theirs] });
      const known = new Map<string, Observations>();
      for (const calls of [...scrapes, []]) {
        for (const { labels, value } of calls) {
          const key = JSON.stringify(labels);
          const observations = known.get(key) ?? observationsOf(labels);
          known.set(key, observations);
          observations.observe(value);
          histogram.observe(labels, value);
        }
        expect(await registry.metrics()).toBe(await theirs.metrics());
        const samples = await Promise.all([registry.getMetricsAsJSON(), theirs.getMetricsAsJSON()]);
        expect(samples[0]).toEqual(samples[1]);
        const [merged, mergedTheirs] = samples.map((one) =>
          AggregatorRegistry.aggregate([one, one]).metrics(),
        );
        expect(await merged).toBe(await mergedTheirs);
      }
    }),
  );
});

test("without labels it reads as prom-client's own does, also before anything is observed", async () => {
  const registry = new Registry();
  const theirs = new Registry();
  const observations = hotHistogram<never>({ ...about, buckets, registers: [registry] })({});
  const histogram = new Histogram({ ...about, buckets, registers: [theirs] });
  expect(await registry.metrics()).toBe(await theirs.metrics());
  for (const value of [0.1, 7]) {
    observations.observe(value);
    histogram.observe(value);
  }
  expect(await registry.metrics()).toBe(await theirs.metrics());
  expect(await registry.getMetricsAsJSON()).toEqual(await theirs.getMetricsAsJSON());
});
