import type { Caller, LoadBounds, LoadResult } from "./load-client.ts";
import { createTally } from "./tally.ts";

/** Keeps one call of each caller in flight: an answer makes room for the caller's next call. */
export async function closedLoop(callers: readonly Caller[], bounds: LoadBounds): Promise<LoadResult> {
  const tally = createTally(bounds);
  const keepCalling = async (call: Caller) => {
    while (!tally.isOver()) {
      const sinceMs = tally.begin();
      tally.end(await call(), sinceMs);
    }
  };
  await Promise.all(callers.map(keepCalling));
  return tally.result();
}
