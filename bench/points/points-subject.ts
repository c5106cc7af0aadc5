import type { LoadClient } from "../load/load-client.ts";

/** Something that counts points in a Redis of its own. */
export interface PointsSubject {
  readonly name: string;
  readonly redis: { readonly url: string; readonly pid: number };
  /** The commands that its decisions send, as `INFO commandstats` names them. */
  readonly commands: readonly string[];
  /** What `load` answers where the point was given. */
  readonly admitted: string;
  /** Makes the buckets whose memory is measured, in an empty Redis; answers how many. */
  fill(): Promise<number>;
  /** Brings those that `load` charges into the state that is measured. */
  warmUp(): Promise<void>;
  /** One decision over one point each, of the subjects in turn, 64 in flight. */
  readonly load: LoadClient;
  stop(): Promise<void>;
}

/** Subjects that the load is spread over. */
export const loadedBuckets = 10_000;

/** Subjects whose memory is measured. */
export const filledBuckets = 1_000_000;

export const inFlight = 64;
