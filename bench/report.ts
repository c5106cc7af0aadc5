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

/** A Markdown table that lines up on a terminal too. */
export function reportTable(rows: readonly Row[], hello: Measurement | undefined): string {
  const lines = [columns, ...rows.map((row) => cells(row, hello))];
  const widths = columns.map((_, column) =>
    Math.max(...lines.map((line) => (line[column] as string).length)),
  );
  const format = (line: readonly string[]) =>
    `| ${line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] as number) : cell.padStart(widths[column] as number))).join(" | ")} |`;
  const [head, ...body] = lines.map(format);
  const rule = `|${widths.map((width, column) => `${"-".repeat(width + 1)}${column === 0 ? "-" : ":"}`).join("|")}|`;
  return [head, rule, ...body].join("\n");
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
