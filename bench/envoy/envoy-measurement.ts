import { cpuSeconds } from "../cpu-seconds.ts";
import type { LoadBounds } from "../load/load-client.ts";
import type { LoadProcess } from "../load/load-process.ts";
import type { EnvoySubject } from "./envoy-subject.ts";

/** One run. Times of CPU are of whole processes, in microseconds a request. */
export interface EnvoyMeasurement {
  readonly requests: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly envoyCpuUs: number;
  readonly serviceCpuUs: number | undefined;
  readonly redisCpuUs: number | undefined;
  /** What makes the figures worthless, in words; none in a good run. */
  readonly faults: readonly string[];
}

export async function measureBehindEnvoy(
  subject: EnvoySubject,
  { load, bounds }: { load: LoadProcess; bounds: LoadBounds },
): Promise<EnvoyMeasurement> {
  const countsBefore = await readCounts(subject);
  const before = await readCpu(subject);
  const result = await load.run(bounds);
  const after = await readCpu(subject);
  const countsAfter = await readCounts(subject);
  const perRequestUs = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? undefined : ((to - from) * 1e6) / result.calls;
  return {
    requests: result.calls,
    requestsPerSecond: (result.calls * 1000) / result.elapsedMs,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    envoyCpuUs: perRequestUs(before.envoy, after.envoy) as number,
    serviceCpuUs: perRequestUs(before.service, after.service),
    redisCpuUs: perRequestUs(before.redis, after.redis),
    faults: faultsOf({
      requests: result.calls,
      statuses: result.statuses,
      passed: grown(countsBefore.passed, countsAfter.passed),
      faults: grown(countsBefore.faults, countsAfter.faults),
    }),
  };
}

/** Says what is wrong with a run whose every request was to be let pass by its filter, and answered. */
export function faultsOf(run: {
  requests: number;
  statuses: Readonly<Record<string, number>>;
  /** How much each counter of the subject's `passedCounters` has grown. */
  passed: Readonly<Record<string, number>>;
  /** How often each of the subject's `faults` has happened. */
  faults: Readonly<Record<string, number>>;
}): string[] {
  const ok = run.statuses["200"] ?? 0;
  const faults: string[] = [];
  if (ok < run.requests)
    faults.push(
      `${run.requests - ok} of ${run.requests} requests were not answered 200: ${JSON.stringify(run.statuses)}`,
    );
  for (const [name, count] of Object.entries(run.passed))
    if (count !== run.requests) faults.push(`${name} is ${count} after ${run.requests} requests`);
  for (const [name, count] of Object.entries(run.faults)) if (count > 0) faults.push(`${count} ${name}`);
  return faults;
}

type Counts = Readonly<Record<string, number>>;

async function readCounts(subject: EnvoySubject): Promise<{ passed: Counts; faults: Counts }> {
  return { passed: await subject.envoy.counters(subject.passedCounters), faults: await subject.faults() };
}

function grown(before: Counts, after: Counts): Counts {
  return Object.fromEntries(
    Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const),
  );
}

async function readCpu({ envoy, service }: EnvoySubject) {
  return {
    envoy: await cpuSeconds(envoy.pid),
    service: service && (await cpuSeconds(service.pid)),
    redis: service && (await cpuSeconds(service.redis.pid)),
  };
}
