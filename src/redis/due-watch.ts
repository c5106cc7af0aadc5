import type { PendingTake } from "./pending-take.ts";

/** Timers of a machine that has time wake within this of their hour, also behind the end of a burst. */
const PUNCTUAL_MS = 5;

/** Takes that are answered, or given up, together. */
export interface Watched {
  readonly takes: readonly PendingTake[];
  /** When their wait began, or their call was sent. */
  readonly sinceMs: number;
  /** The watch's own: its place; -1: none. */
  place: number;
}

export interface DueWatch<T extends Watched> {
  /** Until it is dropped, or none of its takes is open any more. */
  add(watched: T): void;
  drop(watched: T): void;
}

/**
 * Fails each take that has no answer at its deadline. One timer for all: it wakes at the earliest deadline
 * that it was told, also where that take was answered meanwhile, so that most takes neither set nor clear one.
 *
 * A watch that wakes late itself says that the machine stood still, or had no processor to spare, and then
 * Redis had as little: the takes that it should have woken for get as much longer, once, up to their caller's deadline.
 * On a machine that has time this adds nothing.
 */
export function createDueWatch<T extends Watched>({
  onAllFailed,
}: {
  onAllFailed: (watched: T) => void;
}): DueWatch<T> {
  // A `Set` that batches come to and leave all the time keeps what they held through collections.
  const all: T[] = [];
  let timer: NodeJS.Timeout | undefined;
  let wakeMs = Number.POSITIVE_INFINITY;

  function wakeBy(dueMs: number): void {
    if (dueMs >= wakeMs) return;
    wakeMs = dueMs;
    clearTimeout(timer);
    // A take that waits has a connection, which keeps the process; one that was answered must not.
    timer = setTimeout(wake, Math.max(1, Math.ceil(dueMs - performance.now()))).unref();
  }

  function wake(): void {
    const nowMs = performance.now();
    const lateMs = nowMs - wakeMs;
    if (lateMs > PUNCTUAL_MS) {
      for (const { takes, sinceMs } of all) {
        if (sinceMs <= wakeMs) for (const take of takes) take.prolong(nowMs + lateMs);
      }
    }
    wakeMs = Number.POSITIVE_INFINITY;
    // Then a turn later: a reply that came in meanwhile, while this process was busy, is read first.
    setImmediate(failDue, nowMs);
  }

  /** Not those that became due since then: for them the watch has yet to wake. */
  function failDue(thenMs: number): void {
    for (const watched of [...all]) {
      for (const take of watched.takes) if (take.deadline <= thenMs) take.giveUp();
      const dueMs = earliestDue(watched);
      if (dueMs !== undefined) wakeBy(dueMs);
      else {
        drop(watched);
        onAllFailed(watched);
      }
    }
  }

  function drop(watched: T): void {
    if (watched.place === -1) return;
    const last = all.pop() as T;
    if (last !== watched) {
      all[watched.place] = last;
      last.place = watched.place;
    }
    watched.place = -1;
  }

  return {
    add(watched) {
      if (watched.place === -1) watched.place = all.push(watched) - 1;
      const dueMs = earliestDue(watched);
      if (dueMs !== undefined) wakeBy(dueMs);
    },
    drop,
  };
}

/** Of those that are open; undefined: none is. */
function earliestDue({ takes }: Watched): number | undefined {
  let dueMs: number | undefined;
  for (const { isOpen, deadline } of takes) {
    if (isOpen && (dueMs === undefined || deadline < dueMs)) dueMs = deadline;
  }
  return dueMs;
}
