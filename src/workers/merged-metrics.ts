import { AggregatorRegistry, type Registry } from "prom-client";
import type { MetricsSample } from "../metrics.ts";

/** The metrics of several processes as those of one service. */
export interface MergedMetrics {
  /** Remembers what a worker's metrics are now. */
  take(worker: string, sample: MetricsSample): void;
  /** The worker has ended: what it has counted stays counted, what it was is forgotten. */
  end(worker: string): void;
  /** All of them, and this process's own, in Prometheus' text form. */
  text(): Promise<string>;
}

/**
 * Counters and histograms are sums over the workers, also those that have ended: a sum that fell would read
 * as a counter that began anew, and what was counted before as counted again. (What a worker counted after
 * its last sample is lost with it.) Gauges, and all that is a process's (`process_`, `nodejs_`), are told for
 * each worker, with the label `worker`; of those of `own` the value is `supervisor`.
 */
export function createMergedMetrics(own: Registry): MergedMetrics {
  const samples = new Map<string, MetricsSample>();
  let ended: MetricsSample[] = [];

  return {
    take(worker, sample) {
      samples.set(worker, sample);
    },
    end(worker) {
      const last = samples.get(worker);
      samples.delete(worker);
      if (last !== undefined) ended.push(last.filter((metric) => !isOfProcess(metric)));
    },
    async text() {
      const ownSample = await own.getMetricsAsJSON();
      if (ended.length > 1) ended = [await merge(ended).getMetricsAsJSON()];
      const labelled = [...samples].map(([worker, sample]) => labelProcess(sample, worker));
      return merge([...labelled, ...ended, labelProcess(ownSample, "supervisor")]).metrics();
    },
  };
}

type Metric = MetricsSample[number];

function isOfProcess({ name, type }: Metric): boolean {
  // Declared as an enum of numbers; in fact it is a word.
  return String(type) === "gauge" || /^(process|nodejs)_/.test(name);
}

function labelProcess(sample: MetricsSample, worker: string): MetricsSample {
  return sample.map((metric) => {
    if (!isOfProcess(metric)) return metric;
    const values = metric.values.map((value) => ({ ...value, labels: { worker, ...value.labels } }));
    // Some are left out by default, or averaged; with the label nothing meets another's.
    return { ...metric, values, aggregator: "sum" };
  });
}

function merge(samples: readonly MetricsSample[]): Registry {
  return AggregatorRegistry.aggregate([...samples]);
}
