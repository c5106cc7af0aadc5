/** Thins out what would be told again and again: at most once in a while of each name. */
export interface Repeats {
  /** How many of that name were left out since the last was told; undefined: this is one too many. */
  suppressedBefore(name: string, nowMs: number): number | undefined;
}

/** Names are few; should they not be, all begin anew. */
const MAX_NAMES = 1000;

export function createRepeats({ everyMs }: { everyMs: number }): Repeats {
  const told = new Map<string, { lastMs: number; suppressed: number }>();
  return {
    suppressedBefore(name, nowMs) {
      const known = told.get(name);
      if (known !== undefined && nowMs - known.lastMs < everyMs) {
        known.suppressed++;
        return undefined;
      }
      if (told.size >= MAX_NAMES) told.clear();
      told.set(name, { lastMs: nowMs, suppressed: 0 });
      return known?.suppressed ?? 0;
    },
  };
}
