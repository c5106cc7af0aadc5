import type { Charge } from "../core/ports.ts";

/** What a bucket was charged without its store, which does not know of it yet. */
export interface Use {
  /** The whole limit's; the cost is what was used. */
  readonly charge: Charge;
  /** Empty: several uses together, or one that had none. */
  readonly requestId: string;
  /** When the last of it was used, in ms on the clock of who counts them. */
  readonly atMs: number;
}

export interface UntoldUses {
  /** Uses held, those of one bucket without a request_id as one. */
  readonly size: number;
  /** Uses that were dropped because there were too many. */
  readonly dropped: number;
  /** Any of them. */
  readonly first: Use | undefined;
  has(charge: Charge): boolean;
  add(use: Use): void;
  /** Takes out those of the charge's bucket. */
  remove(charge: Charge): readonly Use[];
  /** Takes out those of whole buckets, the oldest first: `count` uses, or a few more. */
  removeSome(count: number): readonly Use[];
}

/** About 300 bytes each. Above it the bucket that was used first goes: what its window says is most likely over. */
const MOST_BUCKETS = 50_000;

/** About 300 bytes each. Above it a use is told without its request_id. */
const MOST_REQUEST_IDS = 50_000;

/** Bounded: a long outage of many subjects forgets, and counts what it forgot. */
export function createUntoldUses({
  mostBuckets = MOST_BUCKETS,
  mostRequestIds = MOST_REQUEST_IDS,
}: {
  mostBuckets?: number;
  mostRequestIds?: number;
} = {}): UntoldUses {
  // By bucket, then by request_id.
  const buckets = new Map<string, Map<string, Use>>();
  let size = 0;
  let withId = 0;
  let dropped = 0;

  function removeNamed(name: string): readonly Use[] {
    const uses = [...(buckets.get(name)?.values() ?? [])];
    buckets.delete(name);
    size -= uses.length;
    withId -= uses.filter(({ requestId }) => requestId !== "").length;
    return uses;
  }

  function ofBucket(name: string): Map<string, Use> {
    const known = buckets.get(name);
    if (known !== undefined) return known;
    const [oldest] = buckets.keys();
    if (buckets.size >= mostBuckets && oldest !== undefined) dropped += removeNamed(oldest).length;
    const made = new Map<string, Use>();
    buckets.set(name, made);
    return made;
  }

  return {
    get size() {
      return size;
    },
    get dropped() {
      return dropped;
    },
    get first() {
      const [bucket] = buckets.values();
      const [use] = bucket?.values() ?? [];
      return use;
    },

    has: (charge) => buckets.has(bucketNameOf(charge)),

    add({ charge, requestId: given, atMs }) {
      const uses = ofBucket(bucketNameOf(charge));
      const requestId = withId < mostRequestIds || uses.has(given) ? given : "";
      const known = uses.get(requestId);
      if (known === undefined) {
        size++;
        if (requestId !== "") withId++;
      }
      // A request_id charges a bucket once: another use under it is one put back.
      const cost = charge.cost + (requestId === "" ? (known?.charge.cost ?? 0) : 0);
      uses.set(requestId, { charge: { ...charge, cost }, requestId, atMs });
    },

    remove: (charge) => removeNamed(bucketNameOf(charge)),

    removeSome(count) {
      const removed: Use[] = [];
      for (const name of buckets.keys()) {
        if (removed.length >= count) break;
        removed.push(...removeNamed(name));
      }
      return removed;
    },
  };
}

/** Of the charge's bucket. */
export function bucketNameOf({ limit, bucket }: Charge): string {
  return `${limit.shape}${limit.windowMs}:${bucket}`;
}
