import { expect, test } from "vitest";
import { cpuSeconds, parseProcStat, parsePsTime } from "../../bench/cpu-seconds.ts";
import { percentile } from "../../bench/load/percentile.ts";
import { faultsOf, type Measurement } from "../../bench/measure.ts";
import { median } from "../../bench/median.ts";
import { reportTable } from "../../bench/report.ts";
import { parseProcStatus, residentBytes } from "../../bench/resident-bytes.ts";
import { scalingTable } from "../../bench/scaling/scaling-report.ts";
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

test("the median is the middle one, and of two the lower", () => {
  expect(median([30, 10, 20])).toBe(20);
  expect(median([20, 10])).toBe(10);
  expect(() => median([])).toThrow(/no run/);
});

test("resident memory is VmRSS of /proc/PID/status, in bytes", () => {
  expect(parseProcStatus("Name:\tnode\nVmHWM:\t  900 kB\nVmRSS:\t  512 kB\nRssAnon:\t 7 kB\n")).toBe(524_288);
  expect(() => parseProcStatus("Name:\tkthreadd\n")).toThrow(/resident/);
});

test("this process's resident memory grows by what it writes to", async () => {
  const before = await residentBytes(process.pid);
  const held = Buffer.alloc(256 * 2 ** 20, 1);
  // What is collected meanwhile counts against it.
  expect((await residentBytes(process.pid)) - before).toBeGreaterThan(held.length / 2);
});

test("a failed call, an unexpected answer and a look-up in Postgres each make a measurement worthless", () => {
  expect(faultsOf(measurement({}))).toEqual([]);
  expect(faultsOf(measurement({ failures: 2, statuses: { "0": 998, "14": 2 } }))).toEqual([
    '2 of 1000 calls failed: {"0":998,"14":2}',
  ]);
  expect(faultsOf(measurement({ recordReads: 1 }))).toEqual([
    "1 look-ups in Postgres, though every key is cached",
  ]);
});

test("the table sets each server's CPU against Tollgate's, and shows medians of the rounds", () => {
  const tollgate = {
    name: "Tollgate",
    saturated: [10, 30, 20].map((cpuPerCallUs) =>
      measurement({ cpuPerCallUs, redisCpuPerCallUs: 2.5, redisCommandsPerCall: 0.02, recordReads: 0 }),
    ),
    half: [measurement({ p50Ms: 0.5, p99Ms: 0.75 })],
    alone: [measurement({ p50Ms: 0.125, p99Ms: 0.25 })],
  };
  const peer = { ...tollgate, name: "peer", saturated: [measurement({ cpuPerCallUs: 50 })] };
  expect(cellsOf(reportTable([tollgate, peer], tollgate))).toEqual([
    [
      "Tollgate",
      "20.0",
      "1.00",
      "5000",
      "0.125",
      "0.250",
      "0.500",
      "0.750",
      "100",
      "2.5",
      "0.020",
      "0",
      "25",
    ],
    ["peer", "50.0", "2.50", "5000", "0.125", "0.250", "0.500", "0.750", "100", "", "", "", "25"],
  ]);
});

test("a row of the scaling table is the large side's CPU over the small side's", () => {
  const small = { size: "10 routes", runs: [measurement({ cpuPerCallUs: 20 })] };
  const large = { size: "500 routes", runs: [measurement({ cpuPerCallUs: 22, callsPerSecond: 4000 })] };
  expect(cellsOf(scalingTable([{ small, large }]))).toEqual([
    ["10 routes … 500 routes", "20.0", "22.0", "1.10", "5000", "4000", "100", "100", "25", "25"],
  ]);
});

/** Of each line but the head; all lines of a table are as long. */
function cellsOf(table: string): string[][] {
  const lines = table.split("\n");
  expect(new Set(lines.map((line) => line.length)).size).toBe(1);
  return lines.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

function measurement(fields: Partial<Measurement>): Measurement {
  return {
    calls: 1000,
    failures: 0,
    statuses: { "0": 1000 },
    callsPerSecond: 5000,
    p50Ms: 1,
    p99Ms: 2,
    cpuPerCallUs: 100,
    residentBytes: 100 * 2 ** 20,
    loadCpuShare: 0.25,
    ...fields,
  };
}
