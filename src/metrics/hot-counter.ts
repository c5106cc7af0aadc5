import { Counter, type CounterConfiguration, type LabelValues } from "prom-client";

/** How often something was told of one combination of labels. */
export interface Count {
  value: number;
}

/**
 * A counter for what every call tells of: plain numbers, which prom-client is given at each scrape. Answers what
 * makes the count of one combination of labels; it is made once, and kept by whoever counts.
 */
export function hotCounter<Label extends string>(
  configuration: Omit<CounterConfiguration<Label>, "collect">,
): (labels: LabelValues<Label>) => Count {
  const counts: { readonly labels: LabelValues<Label>; readonly count: Count }[] = [];
  const counter: Counter<Label> = new Counter({
    ...configuration,
    collect() {
      counter.reset();
      for (const { labels, count } of counts) counter.inc(labels, count.value);
    },
  });
  return (labels) => {
    const count = { value: 0 };
    counts.push({ labels, count });
    return count;
  };
}
