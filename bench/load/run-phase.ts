import { closedLoop } from "./closed-loop.ts";
import type { Caller, LoadPhase, LoadResult } from "./load-client.ts";
import { pacedLoop } from "./paced-loop.ts";

/** Has the callers make a phase's calls. */
export function runPhase(callers: readonly Caller[], phase: LoadPhase): Promise<LoadResult> {
  const { callsPerSecond, inFlight = callers.length } = phase;
  if (inFlight > callers.length) throw new Error(`there are ${callers.length} callers, not ${inFlight}`);
  const taking = callers.slice(0, inFlight);
  return callsPerSecond === undefined
    ? closedLoop(taking, phase)
    : pacedLoop(taking, { ...phase, callsPerSecond });
}
