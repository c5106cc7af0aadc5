/** What V8 writes of a process, as far as it is read here (Chrome DevTools Protocol, Profiler.Profile). */
export interface CpuProfile {
  /** A tree: each node is a function as called by its parent. The first is the root. */
  readonly nodes: readonly ProfileNode[];
  /** In microseconds, of the monotonic clock. */
  readonly startTime: number;
  /** The node in which each sample found the main thread. */
  readonly samples: readonly number[];
  /** From the sample before, or from the start, in microseconds. */
  readonly timeDeltas: readonly number[];
}

export interface ProfileNode {
  readonly id: number;
  readonly callFrame: CallFrame;
  /** Ids. */
  readonly children?: readonly number[];
}

export interface CallFrame {
  readonly functionName: string;
  /** Empty for functions that are not JavaScript, and for V8's own `(garbage collector)`, `(idle)` and the like. */
  readonly url: string;
  /** From 0. */
  readonly lineNumber: number;
}

/**
 * How many samples found the main thread in each node, by its id. Samples are counted, and the time between
 * them is not: it also passes while another process has the core. Throws when the span holds none.
 */
export function samplesBetween(
  { samples, timeDeltas, startTime }: CpuProfile,
  { fromUs, untilUs }: { fromUs: number; untilUs: number },
): Map<number, number> {
  const counts = new Map<number, number>();
  let atUs = startTime;
  samples.forEach((node, index) => {
    atUs += timeDeltas[index] ?? 0;
    if (atUs >= fromUs && atUs < untilUs) counts.set(node, (counts.get(node) ?? 0) + 1);
  });
  if (counts.size === 0) throw new Error("the profile has no samples of the load: its clock is another");
  return counts;
}
