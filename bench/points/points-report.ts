import { markdownTable } from "../markdown-table.ts";
import { median } from "../median.ts";
import type { PointsMeasurement } from "./points-measurement.ts";
import type { PointsMemory } from "./points-memory.ts";

/** What was measured of one subject, all rounds. */
export interface PointsRuns {
  readonly name: string;
  readonly memory: PointsMemory;
  readonly runs: readonly PointsMeasurement[];
}

const columns = [
  "points by",
  "Redis CPU µs/decision",
  "in commands µs",
  "commands/decision",
  "bytes/bucket",
  "MEMORY USAGE, most",
  "buckets",
];

/** A Markdown table; of the rounds the medians. */
export function pointsTable(rows: readonly PointsRuns[]): string {
  return markdownTable(
    columns,
    rows.map(({ name, memory, runs }) => [
      name,
      median(runs.map(({ redisCpuUs }) => redisCpuUs)).toFixed(1),
      median(runs.map(({ commandUs }) => commandUs)).toFixed(1),
      median(runs.map(({ commands }) => commands)).toFixed(3),
      memory.bytesEach.toFixed(0),
      String(memory.largestBytes),
      String(memory.entries),
    ]),
  );
}
