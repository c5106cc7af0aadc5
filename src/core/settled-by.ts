import type { TollgateError } from "./errors.ts";
import type { Deadline } from "./ports.ts";

export interface SettledByOptions {
  readonly deadline: Deadline;
  /** What is thrown when the deadline passes first. */
  readonly missed: () => TollgateError;
  /** Called at most once, when the deadline passes first; before the caller learns of it. */
  readonly onMissed?: () => void;
}

/**
 * Settles as the work does, or throws at the deadline. The work itself goes on: what becomes of it then is
 * not told here. Work that has settled already is answered, though the deadline has passed.
 */
export async function settledBy<T>(work: Promise<T>, options: SettledByOptions): Promise<T> {
  const { deadline, missed, onMissed } = options;
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(missed());
      onMissed?.();
    }, msUntil(deadline));
  });
  try {
    return await Promise.race([work, passed]);
  } finally {
    clearTimeout(timer);
  }
}

/** As a timer takes it: from 0 to 2^31 - 1 ms. */
export function msUntil(deadline: Deadline): number {
  return Math.max(0, Math.min(deadline - performance.now(), 2 ** 31 - 1));
}
