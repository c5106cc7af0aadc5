import { describe, expect, test } from "vitest";
import { pointsTable } from "../../bench/points/points-report.ts";
import { parseRedisInfo } from "../../bench/points/redis-info.ts";

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
      memory: { buckets: 1000, bytesPerBucket: 209.4, largestBytes: 152, faults: [] },
      runs: [run(9), run(4), run(5)],
    },
  ]);
  const cells = table
    .split("\n")
    .at(-1)
    ?.split("|")
    .map((cell) => cell.trim());
  expect(cells).toEqual(["", "sliding", "5.0", "2.5", "0.016", "209", "152", "1000", ""]);
});
