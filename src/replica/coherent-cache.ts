import { LRUCache } from "lru-cache";
import { storeUnavailable, TollgateError } from "../core/errors.ts";
import type { Deadline, Grace, MaybePromise } from "../core/ports.ts";
import { settledBy } from "../core/settled-by.ts";
import { type Chance, SecondChanceMap } from "./second-chance-map.ts";

export interface CoherentCacheOptions<V> {
  /** Whether what is cached may be used now, or within a grace. */
  readonly isLive: (graceMs?: number) => boolean;
  /** Records kept at most; those not used for longest, nearly, go first. */
  readonly entries: number;
  /** What they take at most, by estimate. */
  readonly bytes: number;
  /** Ids known to be nobody's, kept at most. */
  readonly missing: number;
  /**
   * Reads under way at most; beyond it, RESOURCE_EXHAUSTED at once. A quarter is kept for ids that were
   * found before, so that a flood of made-up ones does not shut them out.
   */
  readonly lookups: number;
  /** A read goes on for this long, though the caller that began it gives up: others wait for it too. */
  readonly lookupMs: number;
  readonly read: (id: string, deadline: Deadline) => Promise<V | undefined>;
  readonly onAccess: (outcome: "hit" | "miss") => void;
  /** A record came into the cache, or went out of it for whatever reason. */
  readonly onKept?: (id: string, record: V) => void;
  readonly onDropped?: (id: string, record: V) => void;
}

/** A record in a cache. */
export interface Held<V> extends Chance {
  readonly record: V;
  /** False from when it is changed, or dropped for whatever reason: then it is to be looked up again. */
  isCurrent: boolean;
}

/** Records of one kind, as fresh as the invalidations that reach it and the lease that it is used under. */
export interface CoherentCache<V> {
  /** At hand: returned as it is. Else read; by many at once, once. */
  get(id: string, deadline: Deadline, grace?: Grace): MaybePromise<V | undefined>;
  /** At hand, while what is cached may be used: for those who keep it beyond the turn. Not told to `onAccess`. */
  hold(id: string): Held<V> | undefined;
  /** A read that is under way still answers those who wait for it, and nobody else. */
  invalidate(id: string): void;
  /** Looks at every record: for what is rare. */
  invalidateWhere(matches: (record: V) => boolean): void;
  /** As if each read under way had been invalidated: which records they will bring is not known yet. */
  invalidateReads(): void;
  clear(): void;
}

interface Fill<V> {
  readonly result: Promise<V | undefined>;
  /** False once an invalidation has passed: what it reads may be from before. */
  isCurrent: boolean;
}

export function createCoherentCache<V extends object>(options: CoherentCacheOptions<V>): CoherentCache<V> {
  const { isLive, lookups, lookupMs, read, onAccess, onKept, onDropped } = options;
  const present = new SecondChanceMap<Held<V>>({
    entries: options.entries,
    bytes: options.bytes,
    onDropped(held) {
      held.isCurrent = false;
      onDropped?.(held.id, held.record);
    },
  });
  const missing = new LRUCache<string, true>({ max: options.missing });
  /** Found before; outlives what is cached. */
  const known = new LRUCache<string, true>({ max: options.entries });
  const fills = new Map<string, Fill<V>>();
  let reading = 0;

  async function lookUp(id: string, deadline: Deadline): Promise<V | undefined> {
    if (reading >= (known.has(id) ? lookups : Math.ceil(lookups * 0.75))) {
      throw new TollgateError("resource_exhausted", "Too many look-ups under way; try again later.", {
        reason: "LOOKUPS_EXHAUSTED",
      });
    }
    reading++;
    try {
      const record = await read(id, Math.max(deadline, performance.now() + lookupMs));
      if (record !== undefined) known.set(id, true);
      return record;
    } finally {
      reading--;
    }
  }

  /** Begun while the lease was live: coherent, unless an invalidation passes. */
  async function fill(id: string, deadline: Deadline): Promise<V | undefined> {
    const filling: Fill<V> = { result: lookUp(id, deadline), isCurrent: true };
    fills.set(id, filling);
    try {
      const record = await filling.result;
      if (filling.isCurrent) {
        if (record === undefined) missing.set(id, true);
        else keep(id, record);
      }
      return record;
    } finally {
      if (fills.get(id) === filling) fills.delete(id);
    }
  }

  function keep(id: string, record: V): void {
    const bytes = bytesOf(record) + bytesOf(id);
    const isKept = present.set({ id, record, bytes, isCurrent: true, isUsed: false, slot: 0 });
    if (isKept) onKept?.(id, record);
  }

  function invalidateReads(): void {
    for (const filling of fills.values()) filling.isCurrent = false;
    fills.clear();
  }

  return {
    // Each waits by a deadline of its own: the read may go on.
    get(id, deadline, grace) {
      if (!isLive()) {
        const older = grace !== undefined && isLive(grace.ms) ? present.get(id)?.record : undefined;
        if (grace !== undefined && older !== undefined) {
          grace.isUsed = true;
          onAccess("hit");
          return older;
        }
        onAccess("miss");
        return settledBy(lookUp(id, deadline), { deadline, missed: missedDeadline });
      }
      const record = present.get(id)?.record;
      if (record !== undefined || missing.get(id) === true) {
        onAccess("hit");
        return record;
      }
      onAccess("miss");
      return settledBy(fills.get(id)?.result ?? fill(id, deadline), { deadline, missed: missedDeadline });
    },
    hold: (id) => (isLive() ? present.get(id) : undefined),
    invalidate(id) {
      present.delete(id);
      missing.delete(id);
      const filling = fills.get(id);
      if (filling === undefined) return;
      filling.isCurrent = false;
      fills.delete(id);
    },
    invalidateWhere(matches) {
      for (const { id, record } of present.values()) if (matches(record)) present.delete(id);
      invalidateReads();
    },
    invalidateReads,
    clear() {
      present.clear();
      missing.clear();
      invalidateReads();
    },
  };
}

/** About what V8 takes: a record's size is bounded by what may stand in it, and this tells large from small. */
function bytesOf(value: unknown): number {
  if (typeof value === "string") return 24 + value.length;
  if (typeof value !== "object" || value === null) return 8;
  let bytes = 64;
  for (const each of Object.values(value)) bytes += 8 + bytesOf(each);
  return bytes;
}

function missedDeadline(): TollgateError {
  return storeUnavailable("postgres", new Error("the deadline passed while a record was read"));
}
