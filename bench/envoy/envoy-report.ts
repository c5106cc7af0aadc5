import { markdownTable } from "../markdown-table.ts";
import { median } from "../median.ts";
import type { EnvoyMeasurement } from "./envoy-measurement.ts";

/** What was measured of one subject, all rounds. */
export interface EnvoyRuns {
  readonly name: string;
  /** With many requests in flight. */
  readonly busy: readonly EnvoyMeasurement[];
  /** With one request in flight. */
  readonly alone: readonly EnvoyMeasurement[];
}

/** One line of the table: each figure is the median of its rounds. */
export interface EnvoyRow {
  readonly name: string;
  readonly requestsPerSecond: number;
  readonly busyP50Ms: number;
  readonly busyP99Ms: number;
  readonly aloneP50Ms: number;
  readonly aloneP99Ms: number;
  readonly serviceCpuUs: number | undefined;
  readonly redisCpuUs: number | undefined;
  readonly envoyCpuUs: number;
}

export function envoyRow({ name, busy, alone }: EnvoyRuns): EnvoyRow {
  const ofBusy = (figure: (run: EnvoyMeasurement) => number) => median(busy.map(figure));
  const ofAlone = (figure: (run: EnvoyMeasurement) => number) => median(alone.map(figure));
  const hasService = busy.every(({ serviceCpuUs }) => serviceCpuUs !== undefined);
  return {
    name,
    requestsPerSecond: ofBusy((run) => run.requestsPerSecond),
    busyP50Ms: ofBusy((run) => run.p50Ms),
    busyP99Ms: ofBusy((run) => run.p99Ms),
    aloneP50Ms: ofAlone((run) => run.p50Ms),
    aloneP99Ms: ofAlone((run) => run.p99Ms),
    serviceCpuUs: hasService ? ofBusy((run) => run.serviceCpuUs as number) : undefined,
    redisCpuUs: hasService ? ofBusy((run) => run.redisCpuUs as number) : undefined,
    envoyCpuUs: ofBusy((run) => run.envoyCpuUs),
  };
}

const columns = [
  "Envoy with",
  "requests/s",
  "× bare",
  "p50 ms",
  "p99 ms",
  "alone p50 ms",
  "alone p99 ms",
  "added p50 ms",
  "added p99 ms",
  "service CPU µs",
  "its Redis µs",
  "Envoy µs",
];

/** A Markdown table. CPU is of the busy runs, in microseconds a request; what is added, of those alone. */
export function envoyTable(rows: readonly EnvoyRow[], bare: EnvoyRow | undefined): string {
  return markdownTable(
    columns,
    rows.map((row) => cells(row, bare)),
  );
}

function cells(row: EnvoyRow, bare: EnvoyRow | undefined): string[] {
  const added = (of: (row: EnvoyRow) => number) =>
    bare === undefined || bare === row ? "" : (of(row) - of(bare)).toFixed(3);
  return [
    row.name,
    row.requestsPerSecond.toFixed(0),
    bare === undefined ? "" : (row.requestsPerSecond / bare.requestsPerSecond).toFixed(2),
    row.busyP50Ms.toFixed(1),
    row.busyP99Ms.toFixed(1),
    row.aloneP50Ms.toFixed(3),
    row.aloneP99Ms.toFixed(3),
    added(({ aloneP50Ms }) => aloneP50Ms),
    added(({ aloneP99Ms }) => aloneP99Ms),
    row.serviceCpuUs?.toFixed(1) ?? "",
    row.redisCpuUs?.toFixed(1) ?? "",
    row.envoyCpuUs.toFixed(1),
  ];
}
