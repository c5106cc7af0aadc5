import type { CallerTokenStore, ChangeFeed, DirectoryStore, KeyStore } from "../../src/core/ports.ts";
import {
  type CachedRights,
  type CachedRightsOptions,
  type CacheLimits,
  createCachedRights,
} from "../../src/replica/cached-rights.ts";
import { withInvalidation } from "../../src/replica/coherent-stores.ts";
import type { Clock } from "../../src/replica/lease.ts";
import { unique } from "../contract/records.ts";

export interface AllStores {
  readonly keys: KeyStore;
  readonly directory: DirectoryStore;
  readonly callerTokens: CallerTokenStore;
  readonly feed: ChangeFeed;
}

/** What one replica has, as the app puts it together, over stores that count and can be held up. */
export interface TestReplica {
  readonly id: string;
  readonly rights: CachedRights;
  /** Through which this replica writes. */
  readonly stores: Omit<AllStores, "feed">;
  readonly clock: TestClock;
  /** Reads of records that reached the stores. */
  readonly reads: () => number;
  /**
   * From now on each read has its answer from the store but does not give it, until `letGo`. After
   * `noMore`, only those that began before.
   */
  readonly holdReads: () => { letGo: () => void; noMore: () => void };
  readonly failures: unknown[];
}

/** Both clocks stand still until they are moved. */
export interface TestClock extends Clock {
  /** The machine runs: both move. */
  pass(ms: number): void;
  /** The machine sleeps: only the wall clock moves. */
  suspend(ms: number): void;
}

function createTestClock(): TestClock {
  let monotonicMs = 5000;
  let wallMs = 1_700_000_000_000;
  return {
    monotonicMs: () => monotonicMs,
    wallMs: () => wallMs,
    pass(ms) {
      monotonicMs += ms;
      wallMs += ms;
    },
    suspend(ms) {
      wallMs += ms;
    },
  };
}

export function createTestReplica(
  stores: AllStores,
  options: {
    feed?: ChangeFeed;
    limits?: Partial<CacheLimits>;
    clock?: Clock;
    renewEveryMs?: number;
    leaseMs?: number;
    graceMs?: () => number;
    onAccess?: NonNullable<CachedRightsOptions["onAccess"]>;
  } = {},
): TestReplica {
  let reads = 0;
  let held: Promise<void> = Promise.resolve();
  const failures: unknown[] = [];
  const clock = createTestClock();
  const id = unique("replica");

  const counted =
    <Arguments extends readonly unknown[], Result>(read: (...args: Arguments) => Promise<Result>) =>
    async (...args: Arguments): Promise<Result> => {
      reads++;
      const gate = held;
      const result = await read(...args);
      await gate;
      return result;
    };

  const rights = createCachedRights({
    keys: { findByDigest: counted(stores.keys.findByDigest), get: counted(stores.keys.get) },
    directory: {
      getWorkspace: counted(stores.directory.getWorkspace),
      getMember: counted(stores.directory.getMember),
    },
    callerTokens: { findByDigest: counted(stores.callerTokens.findByDigest) },
    feed: options.feed ?? stores.feed,
    replicaId: id,
    policies: () => ({ retrac: "digest" }),
    onRenewFailed: (error) => failures.push(error),
    clock: options.clock ?? clock,
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.graceMs === undefined ? {} : { graceMs: options.graceMs }),
    ...(options.onAccess === undefined ? {} : { onAccess: options.onAccess }),
    ...(options.leaseMs === undefined ? {} : { leaseMs: options.leaseMs }),
    ...(options.renewEveryMs === undefined ? {} : { renewEveryMs: options.renewEveryMs }),
  });

  return {
    id,
    rights,
    stores: withInvalidation(stores, rights),
    clock,
    failures,
    reads: () => reads,
    holdReads() {
      let letGo = (): void => {};
      held = new Promise((resolve) => {
        letGo = resolve;
      });
      const noMore = () => {
        held = Promise.resolve();
      };
      return {
        noMore,
        letGo() {
          noMore();
          letGo();
        },
      };
    },
  };
}
