import { markdownTable } from "./markdown-table.ts";
import type { Measurement } from "./measure.ts";

/** A server's name and its median run. */
export interface Row {
  readonly name: string;
  readonly run: Measurement;
}

/** The CPU, in microseconds, that Tollgate may add to the hello for each Check. */
export const addedCpuGoalUs = 25;

const columns = [
  "server",
  "CPU µs/call",
  "× hello",
  "calls/s",
  "p50 ms",
  "p99 ms",
  "Redis CPU µs/call",
  "Redis commands/call",
  "SQL look-ups",
  "SQL in all",
];

/** What Tollgate costs above each of the two hellos, in microseconds; undefined for what was not measured. */
export function addedCpuUs(
  tollgate: Measurement | undefined,
  floor: Measurement | undefined,
): number | undefined {
  return tollgate && floor && tollgate.cpuPerCallUs - floor.cpuPerCallUs;
}

export function reportTable(rows: readonly Row[], hello: Measurement | undefined): string {
  return markdownTable(
    columns,
    rows.map((row) => cells(row, hello)),
  );
}

function cells({ name, run }: Row, hello: Measurement | undefined): string[] {
  return [
    name,
    run.cpuPerCallUs.toFixed(1),
    hello === undefined ? "" : (run.cpuPerCallUs / hello.cpuPerCallUs).toFixed(2),
    run.callsPerSecond.toFixed(0),
    run.p50Ms.toFixed(1),
    run.p99Ms.toFixed(1),
    run.redisCpuPerCallUs?.toFixed(1) ?? "",
    run.redisCommandsPerCall?.toFixed(3) ?? "",
    run.recordReads?.toFixed(0) ?? "",
    run.postgresStatements?.toFixed(0) ?? "",
  ];
}
