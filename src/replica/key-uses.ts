import type { Deadline, KeyStore, KeyUse } from "../core/ports.ts";

export interface KeyUsesOptions {
  /** Default 5000. */
  readonly flushEveryMs?: number;
  /** Uses waiting at most; default 100,000. Beyond it, keys that are not among them are passed over. */
  readonly maxWaiting?: number;
  /** For one flush; default 5000. */
  readonly flushTimeoutMs?: number;
  /** A flush failed: its uses wait for the next one. */
  readonly onFlushFailed: (error: unknown) => void;
  readonly onFlushed?: (uses: number) => void;
}

/** Collects when keys were last used, off the request path: the latest use of each secret, written in batches. */
export interface KeyUses {
  record(use: KeyUse): void;
  /** Writes what waits. Throws when that fails; it goes on waiting then. */
  flush(): Promise<void>;
  start(): void;
  /** Flushes for the last time, by `deadline`; throws when that fails. */
  stop(deadline: Deadline): Promise<void>;
}

/** In one statement: so that it takes milliseconds, and locks no more rows than this. */
const batchSize = 1000;

export function createKeyUses(store: Pick<KeyStore, "recordUses">, options: KeyUsesOptions): KeyUses {
  const { flushEveryMs = 5000, maxWaiting = 100_000, flushTimeoutMs = 5000 } = options;
  const { onFlushFailed, onFlushed = () => {} } = options;
  /** Latest use by key id, in milliseconds since the epoch. */
  const waiting = { current: new Map<string, number>(), previous: new Map<string, number>() };
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  let lastDeadline = Number.POSITIVE_INFINITY;
  let flushing: Promise<void> = Promise.resolve();

  function record({ keyId, secret, timeMs }: KeyUse): void {
    const uses = waiting[secret];
    const latestMs = uses.get(keyId);
    if (latestMs === undefined ? waitingCount() < maxWaiting : latestMs < timeMs) uses.set(keyId, timeMs);
  }

  function waitingCount(): number {
    return waiting.current.size + waiting.previous.size;
  }

  function takeBatch(): readonly KeyUse[] {
    const batch: KeyUse[] = [];
    for (const secret of ["current", "previous"] as const) {
      for (const [keyId, timeMs] of waiting[secret]) {
        if (batch.length === batchSize) return batch;
        batch.push({ keyId, secret, timeMs });
        waiting[secret].delete(keyId);
      }
    }
    return batch;
  }

  async function flushAll(): Promise<void> {
    for (let batch = takeBatch(); batch.length > 0; batch = takeBatch()) {
      try {
        await store.recordUses(batch, Math.min(performance.now() + flushTimeoutMs, lastDeadline));
      } catch (error) {
        for (const use of batch) record(use);
        throw error;
      }
      onFlushed(batch.length);
    }
  }

  /** One after the other: the last flush must not end before one that is under way. */
  function flush(): Promise<void> {
    const flushed = flushing.then(flushAll);
    // Told to the caller; the next flush only waits for the end.
    flushing = flushed.catch(() => {});
    return flushed;
  }

  function schedule(): void {
    if (stopped) return;
    timer = setTimeout(() => {
      flush().catch(onFlushFailed).finally(schedule);
    }, flushEveryMs);
    timer.unref();
  }

  return {
    record,
    flush,
    start: schedule,
    async stop(deadline) {
      stopped = true;
      lastDeadline = deadline;
      clearTimeout(timer);
      await flush();
    },
  };
}
