import type { LoadBounds } from "./load/closed-loop.ts";
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

/** Each key several times, so that it is cached and what decides it is compiled. */
export const warmUpBounds: LoadBounds = {
  minMs: 2000,
  minCalls: 3 * keyCount,
  maxMs: 60_000,
  maxCalls: maxCallsPerRun,
};

export function runBounds({ seconds }: BenchOptions): LoadBounds {
  const ms = seconds * 1000;
  return { minMs: ms, minCalls: 0, maxMs: ms, maxCalls: maxCallsPerRun };
}
