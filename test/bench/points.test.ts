import { describe, expect, test } from "vitest";
import { longestHoldTable } from "../../bench/points/longest-hold.ts";
import { pointsTable } from "../../bench/points/points-report.ts";
import { parseRedisInfo } from "../../bench/points/redis-info.ts";
import { requestIdsTable } from "../../bench/points/request-ids.ts";

const info = [
  "# Memory",
  "used_memory:1204072",
  "used_memory_rss:7000000",
  "# Keyspace",
  "db0:keys=12,expires=11,avg_ttl=0",
  "db1:keys=99,expires=99,avg_ttl=0",
  "# Commandstats",
  "cmdstat_evalsha:calls=10,usec=2500,usec_per_call=250.00,rejected_calls=0,failed_calls=0",
  "cmdstat_eval:calls=1,usec=300,usec_per_call=300.00,rejected_calls=0,failed_calls=0",
  "cmdstat_set:calls=500,usec=900,usec_per_call=1.80,rejected_calls=0,failed_calls=0",
].join("\r\n");

describe("what Redis says of itself", () => {
  test("is summed over the commands that were asked for, and those only", () => {
    expect(parseRedisInfo(info, ["eval", "evalsha"])).toEqual({
      usedBytes: 1204072,
      keys: 12,
      expiringKeys: 11,
      calls: 11,
      commandUs: 2800,
    });
  });

  test("of an empty database is no key", () => {
    expect(parseRedisInfo("used_memory:5\r\n", [])).toMatchObject({ keys: 0, expiringKeys: 0, calls: 0 });
  });

  test("without its memory is no answer", () => {
    expect(() => parseRedisInfo("db0:keys=1,expires=1", [])).toThrow("how much memory");
  });
});

test("a row of the table shows the median of its rounds", () => {
  const run = (redisCpuUs: number) => ({
    decisions: 100,
    decisionsPerSecond: 10,
    redisCpuUs,
    commandUs: redisCpuUs / 2,
    commands: 1 / 64,
    faults: [],
  });
  const table = pointsTable([
    {
      name: "sliding",
      memory: { entries: 1000, bytesEach: 209.4, largestBytes: 152, faults: [] },
      runs: [run(9), run(4), run(5)],
    },
  ]);
  expect(lastRow(table)).toEqual(["", "sliding", "5.0", "2.5", "0.016", "209", "152", "1000", ""]);
});

test("the bound on request_ids is what a thousand requests a second leave in Redis until they expire", () => {
  const table = requestIdsTable({ entries: 100_000, bytesEach: 200, largestBytes: 136, faults: [] });
  // 600 s remembered, and 60 s more for clocks that are set back.
  expect(lastRow(table)).toEqual(["", "100000", "200", "136", "660", "132", ""]);
});

test("a row of the longest calls tells how much they did and how long that took", () => {
  const table = longestHoldTable([
    { limits: 3, hasRequestId: true, takes: 20, keys: 120, medianUs: 500.4, p99Us: 700, mostUs: 900 },
  ]);
  expect(lastRow(table)).toEqual(["", "3", "yes", "20", "120", "500", "700", "900", ""]);
});

function lastRow(table: string): string[] {
  const line = table.split("\n").at(-1) ?? "";
  return line.split("|").map((cell) => cell.trim());
}
