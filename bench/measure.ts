import { childrenOf } from "../test/support/children-of.ts";
import { cpuSeconds } from "./cpu-seconds.ts";
import type { LoadPhase, LoadResult } from "./load/load-client.ts";
import type { LoadProcess } from "./load/load-process.ts";
import { residentBytes } from "./resident-bytes.ts";
import type { StoreCounter, StoreCounts } from "./store-counts.ts";
import type { Subject } from "./subject.ts";

/** One phase of one server. Times of CPU are of whole processes, from before the first call to after the last. */
export interface Measurement {
  readonly calls: number;
  /** Calls that did not answer OK, or not what was expected. */
  readonly failures: number;
  readonly statuses: LoadResult["statuses"];
  readonly callsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** The server's, in microseconds. */
  readonly cpuPerCallUs: number;
  /** The server's memory, afterwards. */
  readonly residentBytes: number;
  /** Of one core. Near 1 the load process is what was measured. */
  readonly loadCpuShare: number;
  readonly redisCpuPerCallUs?: number;
  readonly redisCommandsPerCall?: number;
  /** All that Postgres was asked while the calls ran, by whom and for whatever. */
  readonly postgresStatements?: number;
  /** Of these, look-ups of keys, workspaces, members and caller tokens. */
  readonly recordReads?: number;
}

export async function measure(
  subject: Subject,
  options: { load: LoadProcess; counter: StoreCounter | undefined; phase: LoadPhase },
): Promise<Measurement> {
  const before = await readCosts(subject, options.counter);
  const result = await options.load.run(options.phase);
  const after = await readCosts(subject, options.counter);
  const perCallUs = (seconds: number) => (seconds * 1e6) / result.calls;
  return {
    calls: result.calls,
    failures: result.calls - (result.statuses["0"] ?? 0) + result.unexpected,
    statuses: result.statuses,
    callsPerSecond: (result.calls * 1000) / result.elapsedMs,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    cpuPerCallUs: perCallUs(after.cpu - before.cpu),
    residentBytes: await sumOf(subject, residentBytes),
    loadCpuShare: result.cpuMs / result.elapsedMs,
    ...(subject.redis === undefined
      ? {}
      : { redisCpuPerCallUs: perCallUs(after.redisCpu - before.redisCpu) }),
    ...(after.redisCommands === undefined
      ? {}
      : { redisCommandsPerCall: (after.redisCommands - (before.redisCommands ?? 0)) / result.calls }),
    ...(after.postgresStatements === undefined
      ? {}
      : {
          postgresStatements: after.postgresStatements - (before.postgresStatements ?? 0),
          recordReads: (after.recordReads ?? 0) - (before.recordReads ?? 0),
        }),
  };
}

/** What makes a measurement worthless, in words; none in a good one. */
export function faultsOf({ recordReads = 0, failures, calls, statuses }: Measurement): string[] {
  return [
    ...(recordReads > 0 ? [`${recordReads} look-ups in Postgres, though every key is cached`] : []),
    ...(failures > 0 ? [`${failures} of ${calls} calls failed: ${JSON.stringify(statuses)}`] : []),
  ];
}

interface Costs extends Partial<StoreCounts> {
  readonly cpu: number;
  readonly redisCpu: number;
}

async function readCosts(subject: Subject, counter: StoreCounter | undefined): Promise<Costs> {
  return {
    ...(await counter?.read()),
    redisCpu: subject.redis === undefined ? 0 : await cpuSeconds(subject.redis.pid),
    cpu: await sumOf(subject, cpuSeconds),
  };
}

/** Of the process and those that it has started. */
async function sumOf({ pid }: Subject, read: (pid: number) => Promise<number>): Promise<number> {
  const values = await Promise.all([pid, ...childrenOf(pid)].map(read));
  return values.reduce((sum, value) => sum + value, 0);
}
