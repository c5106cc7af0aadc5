import fc from "fast-check";
import { Counter, Registry } from "prom-client";
import { expect, test } from "vitest";
import { type Count, hotCounter } from "../../src/metrics/hot-counter.ts";

const about = { name: "calls_total", help: "Calls.", labelNames: ["method", "code"] as const };

test("it reads as prom-client's own counter does, at each scrape anew", async () => {
  const label = fc.constantFrom("ok", "failed", "", 'with "quotes"\n');
  const call = fc.record({ method: label, code: label });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(call, { maxLength: 20 }), { maxLength: 3 }), async (scrapes) => {
      const registry = new Registry();
      const theirs = new Registry();
      const countOf = hotCounter({ ...about, registers: [registry] });
      const counter = new Counter({ ...about, registers: [theirs] });
      const counts = new Map<string, Count>();
      for (const calls of [...scrapes, []]) {
        for (const labels of calls) {
          const key = JSON.stringify(labels);
          const count = counts.get(key) ?? countOf(labels);
          counts.set(key, count);
          count.value++;
          counter.inc(labels);
        }
        expect(await registry.metrics()).toBe(await theirs.metrics());
        expect(await registry.getMetricsAsJSON()).toEqual(await theirs.getMetricsAsJSON());
      }
    }),
  );
});
