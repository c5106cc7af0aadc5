import type { LoadBounds } from "./load/load-client.ts";
import { keyCount } from "./tollgate-with-keys.ts";

/** What the command line says. */
export interface BenchOptions {
  /** How long each server is loaded in each round. */
  readonly seconds: number;
  readonly rounds: number;
  /** Names of what is measured. */
  readonly only: readonly string[];
}

/** However fast the server: a bound on the memory that the latencies take. */
const maxCallsPerRun = 5_000_000;

/** Of few keys too. */
const compiledAfterCalls = 30_000;

/** Each key several times, so that it is cached and what decides it is compiled. */
export const warmUpBounds = warmUpBoundsOf(keyCount);

export function warmUpBoundsOf(keys: number): LoadBounds {
  const minCalls = Math.max(3 * keys, compiledAfterCalls);
  return { minMs: 2000, minCalls, maxMs: 120_000, maxCalls: maxCallsPerRun };
}

/** Before each round: not measured. */
export const leadInBounds: LoadBounds = {
  minMs: 1000,
  minCalls: compiledAfterCalls / 3,
  maxMs: 10_000,
  maxCalls: maxCallsPerRun,
};

export function runBounds({ seconds }: BenchOptions): LoadBounds {
  const ms = seconds * 1000;
  return { minMs: ms, minCalls: 0, maxMs: ms, maxCalls: maxCallsPerRun };
}
