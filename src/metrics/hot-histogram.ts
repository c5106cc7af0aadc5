import type { Histogram, LabelValues, Registry } from "prom-client";

export interface HotHistogramOptions {
  readonly name: string;
  readonly help: string;
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[];
  readonly registers: readonly Registry[];
}

/** What was observed of one combination of labels. */
export class Observations {
  readonly #bounds: readonly number[];
  /** By bucket, each without those below it; the last: above every bound. */
  readonly counts: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += value;
  }
}

/**
 * A histogram for what every call tells of: plain numbers, which are brought into the form of prom-client's own
 * histograms at each scrape. Answers what makes the observations of one combination of labels; they are made
 * once, and kept by whoever observes.
 */
export function hotHistogram<Label extends string>(
  options: HotHistogramOptions,
): (labels: LabelValues<Label>) => Observations {
  const { name, help, buckets, registers } = options;
  const all: { readonly labels: LabelValues<Label>; readonly observations: Observations }[] = [];

  function valuesOf({ labels, observations }: (typeof all)[number]) {
    const { counts, sum } = observations;
    let count = 0;
    const bounds = [...buckets, "+Inf"].map((le, bucket) => {
      count += counts[bucket] as number;
      return { value: count, metricName: `${name}_bucket`, exemplar: null, labels: { le, ...labels } };
    });
    return [
      ...bounds,
      { value: sum, metricName: `${name}_sum`, exemplar: undefined, labels: { ...labels } },
      { value: count, metricName: `${name}_count`, exemplar: undefined, labels: { ...labels } },
    ];
  }

  const about = { name, help, type: "histogram", aggregator: "sum" };
  const metric = { ...about, get: async () => ({ ...about, values: all.flatMap(valuesOf) }) };
  // All that a registry asks of one.
  for (const register of registers) register.registerMetric(metric as unknown as Histogram);
  return (labels) => {
    const observations = new Observations(buckets);
    all.push({ labels, observations });
    return observations;
  };
}
