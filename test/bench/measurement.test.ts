import { expect, test } from "vitest";
import { cpuSeconds, parseProcStat, parsePsTime } from "../../bench/cpu-seconds.ts";
import { percentile } from "../../bench/load/percentile.ts";
import { type Measurement, medianRun } from "../../bench/measure.ts";
import { reportTable } from "../../bench/report.ts";
import { countCommands, readsRecords } from "../../bench/store-counts.ts";

test("CPU time is utime plus stime of /proc/PID/stat, whatever the command is called", () => {
  const rest = "S 1 2 3 4 5 6 7 8 9 10 250 50 7 7 20 0 1 0 100";
  expect(parseProcStat(`42 (node) ${rest}`)).toBe(3);
  expect(parseProcStat(`42 (a) b (c d) ${rest}`)).toBe(3);
});

test.each([
  ["0:00.12", 0.12],
  ["3:07.50", 187.5],
  ["01:02:03", 3723],
  ["2-01:00:00", 2 * 86_400 + 3600],
])("ps prints %s for %d seconds of CPU", (text, seconds) => {
  expect(parsePsTime(` ${text}\n`)).toBeCloseTo(seconds, 6);
});

test("this process's CPU time grows by what it computes", async () => {
  const before = await cpuSeconds(process.pid);
  const start = process.cpuUsage();
  while (process.cpuUsage(start).user < 200_000) Math.sqrt(Math.random());
  expect((await cpuSeconds(process.pid)) - before).toBeGreaterThanOrEqual(0.15);
});

test.each([
  [0.5, 50],
  [0.99, 99],
  [1, 100],
  [0.001, 1],
])("the nearest rank for %d of 1 to 100 is %d", (share, expected) => {
  expect(
    percentile(
      Float64Array.from({ length: 100 }, (_, index) => index + 1),
      share,
    ),
  ).toBe(expected);
});

test("a script counts as one Redis command, whatever it calls inside", () => {
  const stats = [
    "# Commandstats",
    "cmdstat_evalsha:calls=40,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0",
    "cmdstat_eval:calls=1,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0",
    "cmdstat_hget:calls=4000,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0",
    "cmdstat_config|get:calls=3,usec=1,usec_per_call=1.00,rejected_calls=0,failed_calls=0",
  ].join("\r\n");
  expect(countCommands(stats)).toBe(41);
});

test("without scripts every Redis command counts but a driver's housekeeping", () => {
  const stats =
    "cmdstat_incr:calls=7,usec=1\r\ncmdstat_expire:calls=7,usec=1\r\ncmdstat_info:calls=9,usec=1\r\ncmdstat_client|setinfo:calls=2,usec=1\r\n";
  expect(countCommands(stats)).toBe(14);
});

test.each([
  ['select "id", "digest" from "keys" where "keys"."digest" = $1', true],
  ['select "id" from "members" where "members"."user_id" = $1', true],
  ["with used as (select $1) update keys set last_use_time_ms = $2", false],
  ["select number from change_counter", false],
])("%s: a look-up of what a decision is made of? %s", (query, expected) => {
  expect(readsRecords(query)).toBe(expected);
});

test("the median run is the one in the middle by CPU, and of two the cheaper", () => {
  const runs = [30, 10, 20].map((cpuPerCallUs) => measurement({ cpuPerCallUs }));
  expect(medianRun(runs).cpuPerCallUs).toBe(20);
  expect(medianRun(runs.slice(0, 2)).cpuPerCallUs).toBe(10);
});

test("the table sets each server's CPU against the hello's", () => {
  const hello = measurement({ cpuPerCallUs: 200 });
  const check = measurement({
    cpuPerCallUs: 220,
    redisCpuPerCallUs: 2.5,
    redisCommandsPerCall: 0.02,
    postgresStatements: 12,
    recordReads: 0,
  });
  const lines = reportTable(
    [
      { name: "hello", run: hello },
      { name: "check", run: check },
    ],
    hello,
  ).split("\n");
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  expect(lines[3]?.split("|").map((cell) => cell.trim())).toEqual([
    "",
    "check",
    "220.0",
    "1.10",
    "5000",
    "1.0",
    "2.0",
    "2.5",
    "0.020",
    "0",
    "12",
    "",
  ]);
});

function measurement(fields: Partial<Measurement>): Measurement {
  return {
    calls: 1000,
    failures: 0,
    statuses: { "0": 1000 },
    callsPerSecond: 5000,
    p50Ms: 1,
    p99Ms: 2,
    cpuPerCallUs: 100,
    ...fields,
  };
}
