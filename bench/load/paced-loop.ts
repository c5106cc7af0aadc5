import type { Caller, LoadBounds, LoadResult } from "./load-client.ts";
import { createTally } from "./tally.ts";
import { startTicks } from "./ticks.ts";

/** Finer than timers of the event loop; a tick costs some 35 µs, and so all of them 7 % of a core. */
const tickMs = 0.5;

/**
 * Begins calls at a pace, however fast answers come, as many clients that know nothing of each other do. With
 * every caller busy, calls wait for one, and their wait counts: a server that falls behind cannot hide it.
 */
export async function pacedLoop(
  callers: readonly Caller[],
  { callsPerSecond, ...bounds }: LoadBounds & { callsPerSecond: number },
): Promise<LoadResult> {
  // The longest idle is next, so that calls go round the connections.
  const idle = [...callers];
  /** Since when calls wait that found no caller. */
  const waiting: number[] = [];
  let inFlight = 0;
  const tally = createTally(bounds);
  const startMs = performance.now();
  let begun = 0;
  let ticks: ReturnType<typeof startTicks> | undefined;

  await new Promise<void>((resolve, reject) => {
    /** The call, and those that wait for its caller. */
    const make = async (call: Caller, sinceMs: number) => {
      inFlight++;
      for (let next: number | undefined = sinceMs; next !== undefined; next = waiting.shift()) {
        tally.end(await call(), next);
      }
      inFlight--;
      idle.push(call);
      if (inFlight === 0 && tally.isOver()) resolve();
    };
    ticks = startTicks(tickMs, () => {
      const due = ((performance.now() - startMs) * callsPerSecond) / 1000;
      for (; begun < due && !tally.isOver(); begun++) {
        const sinceMs = tally.begin();
        const call = idle.shift();
        if (call === undefined) waiting.push(sinceMs);
        else make(call, sinceMs).catch(reject);
      }
      if (inFlight === 0 && tally.isOver()) resolve();
    });
  }).finally(() => ticks?.stop());
  return tally.result();
}
