import { markdownTable } from "./markdown-table.ts";
import type { Measurement } from "./measure.ts";
import { median } from "./median.ts";

/** A server's name, and its measurements: one a round of each phase. */
export interface Row {
  readonly name: string;
  /** As many calls as the load has callers, always. */
  readonly saturated: readonly Measurement[];
  /** Half as many calls a second as when saturated, at a steady pace. */
  readonly half: readonly Measurement[];
  /** One call at a time. */
  readonly alone: readonly Measurement[];
}

const columns = [
  "server",
  "CPU µs/call",
  "× Tollgate",
  "calls/s",
  "alone p50 ms",
  "alone p99 ms",
  "half p50 ms",
  "half p99 ms",
  "memory MB",
  "Redis CPU µs/call",
  "Redis commands/call",
  "SQL look-ups",
  "load's core %",
];

/** A Markdown table: each figure is the median of its rounds, and of the saturated phase unless it says else. */
export function reportTable(rows: readonly Row[], tollgate: Row | undefined): string {
  return markdownTable(
    columns,
    rows.map((row) => cells(row, tollgate)),
  );
}

function cells({ name, saturated, half, alone }: Row, tollgate: Row | undefined): string[] {
  const cpu = figure(saturated, cpuPerCall);
  const tollgateCpu = tollgate && figure(tollgate.saturated, cpuPerCall);
  const ofSaturated = (of: Figure, digits: number) => shown(figure(saturated, of), digits);
  return [
    name,
    shown(cpu, 1),
    shown(cpu && tollgateCpu && cpu / tollgateCpu, 2),
    ofSaturated((run) => run.callsPerSecond, 0),
    ...[alone, half].flatMap((runs) => {
      const latency = (of: Figure) => shown(figure(runs, of), 3);
      return [latency((run) => run.p50Ms), latency((run) => run.p99Ms)];
    }),
    ofSaturated((run) => run.residentBytes / 2 ** 20, 0),
    ofSaturated((run) => run.redisCpuPerCallUs, 1),
    ofSaturated((run) => run.redisCommandsPerCall, 3),
    ofSaturated((run) => run.recordReads, 0),
    ofSaturated((run) => run.loadCpuShare * 100, 0),
  ];
}

/** Undefined of what was not measured. */
type Figure = (run: Measurement) => number | undefined;

const cpuPerCall: Figure = (run) => run.cpuPerCallUs;

/** The median. */
function figure(runs: readonly Measurement[], of: Figure): number | undefined {
  const values = runs.map(of).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : median(values);
}

function shown(value: number | undefined, digits: number): string {
  return value?.toFixed(digits) ?? "";
}
