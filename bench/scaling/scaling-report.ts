import { markdownTable } from "../markdown-table.ts";
import type { Measurement } from "../measure.ts";
import { median } from "../median.ts";

/** Two sizes and their measurements, one a round. */
export interface ScalingRow {
  readonly small: ScalingRuns;
  readonly large: ScalingRuns;
}

interface ScalingRuns {
  readonly size: string;
  readonly runs: readonly Measurement[];
}

const columns = [
  "from … to",
  "CPU µs/call, from",
  "to",
  "ratio",
  "calls/s, from",
  "to",
  "memory MB, from",
  "to",
  "load's core %, from",
  "to",
];

/** A Markdown table; each figure is the median of its rounds. */
export function scalingTable(rows: readonly ScalingRow[]): string {
  return markdownTable(columns, rows.map(cells));
}

function cells({ small, large }: ScalingRow): string[] {
  const figures = (of: (run: Measurement) => number) =>
    [small, large].map(({ runs }) => median(runs.map(of))) as [number, number];
  const [fromCpu, toCpu] = figures((run) => run.cpuPerCallUs);
  const pairs = [
    figures((run) => run.callsPerSecond),
    figures((run) => run.residentBytes / 2 ** 20),
    figures((run) => run.loadCpuShare * 100),
  ];
  return [
    `${small.size} … ${large.size}`,
    fromCpu.toFixed(1),
    toCpu.toFixed(1),
    (toCpu / fromCpu).toFixed(2),
    ...pairs.flat().map((figure) => figure.toFixed(0)),
  ];
}
