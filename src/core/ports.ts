import type { Limit, OnOutage } from "./policy.ts";
import type { AuditEntry, CallerTokenRecord, KeyRecord, MemberRecord, WorkspaceRecord } from "./records.ts";

/**
 * What the core asks of its stores. `test/contract/` holds one suite a port that proves these promises
 * for every implementation.
 *
 * Of every method: it settles by `deadline`, or throws `storeUnavailable`; it throws a TollgateError
 * and no driver's error; a write is one transaction with its audit entry and its change, all or nothing.
 * A write that throws may have happened.
 */

/** When to give up, in milliseconds on `performance.now()`'s clock. */
export type Deadline = number;

/** A value that is at hand, or has to be read. Callers await only what is a promise. */
export type MaybePromise<T> = T | Promise<T>;

/** A write's outcome: the record as it is now, and the number of the change in the feed (0n: nothing changed). */
export interface Written<T> {
  readonly record: T;
  readonly change: bigint;
}

export interface Page<T> {
  readonly records: readonly T[];
  /** The last record's position, to go on after; undefined: no more. */
  readonly next: string | undefined;
}

export interface PageRequest {
  /** At least 1. */
  readonly size: number;
  /** `next` of the page before; undefined: from the start. Of the same filter, or the page is arbitrary. */
  readonly after: string | undefined;
}

export type KeyStatus = "active" | "disabled" | "expired" | "revoked";

export interface KeyFilter {
  /** Empty: any. */
  readonly apis: readonly string[];
  readonly workspaceId: string;
  readonly createdBy: string;
  readonly status: KeyStatus | undefined;
  /** What is expired is asked of this time, in milliseconds since the epoch. */
  readonly nowMs: number;
}

/** A use of a key, for `lastUseTimeMs`, or `previousLastUseTimeMs` when it was by the old secret. */
export interface KeyUse {
  readonly keyId: string;
  readonly secret: "current" | "previous";
  readonly timeMs: number;
}

/** The fields of a key that a change sets; those left out stay. */
export type KeyPatch = Partial<
  Pick<
    KeyRecord,
    | "name"
    | "description"
    | "scopes"
    | "disabled"
    | "metadata"
    | "allowedCidrs"
    | "expireTimeMs"
    | "revokeTimeMs"
    | "revokeReason"
    | "digest"
    | "preview"
    | "previousDigest"
    | "previousExpireTimeMs"
    | "previousLastUseTimeMs"
  >
>;

/** Keys of an api that are revoked together. */
export interface KeySelection {
  readonly api: string;
  /** That they are bound to; empty: any, or none. */
  readonly workspaceId: string;
  /** Empty: anybody. */
  readonly createdBy: string;
}

/** Says that a request_id was used: unique per caller and operation, for ever. */
export interface RequestClaim {
  readonly callerId: string;
  readonly operation: "key.create" | "key.rotate";
  readonly requestId: string;
}

export interface KeyStore {
  /** The key whose current or previous secret has this digest, whatever its status. */
  findByDigest(digest: string, deadline: Deadline): Promise<KeyRecord | undefined>;
  get(id: string, deadline: Deadline): Promise<KeyRecord | undefined>;
  /** Newest first. */
  list(filter: KeyFilter, page: PageRequest, deadline: Deadline): Promise<Page<KeyRecord>>;
  /** The id of the key that a used request_id made or rotated; undefined: it is free. */
  claimedBy(claim: RequestClaim, deadline: Deadline): Promise<string | undefined>;
  /**
   * Stores a new key. With a claim whose request_id was used: stores nothing and answers the id of the
   * key that it made. `madeIn`, where given, must exist when the key is committed, else "no_workspace": a
   * deletion of it comes wholly before, or revokes the key too.
   */
  create(
    key: KeyRecord,
    options: {
      madeIn?: { directory: string; workspaceId: string };
      claim: RequestClaim | undefined;
      audit: AuditEntry;
      deadline: Deadline;
    },
  ): Promise<Written<KeyRecord> | { usedBy: string } | "no_workspace">;
  /**
   * Patches the key if its revision is still `revision`, and raises it by one. "conflict" when it is
   * not; "missing" when there is no such key.
   */
  update(
    id: string,
    options: {
      revision: number;
      patch: KeyPatch;
      claim: RequestClaim | undefined;
      audit: AuditEntry;
      deadline: Deadline;
    },
  ): Promise<Written<KeyRecord> | { usedBy: string } | "conflict" | "missing">;
  /** Keys of the selection that are not revoked, newest first, at most `limit`. */
  listUnrevoked(
    selection: KeySelection,
    limit: number,
    deadline: Deadline,
  ): Promise<readonly Pick<KeyRecord, "id" | "workspaceId">[]>;
  /**
   * Revokes those of the keys that are not revoked yet, all or none of them, as one change, and raises their
   * revisions by one. Answers their ids, in order. `auditOf` is given these; where there are none, it is not
   * asked, and nothing changes.
   */
  revokeAll(
    ids: readonly string[],
    options: {
      nowMs: number;
      reason: string;
      auditOf: (revoked: readonly string[]) => AuditEntry;
      deadline: Deadline;
    },
  ): Promise<Written<readonly string[]>>;
  /** Raises last-use times; never lowers one. Unknown keys are passed over. Makes no change in the feed. */
  recordUses(uses: readonly KeyUse[], deadline: Deadline): Promise<void>;
}

export interface DirectoryStore {
  getWorkspace(directory: string, id: string, deadline: Deadline): Promise<WorkspaceRecord | undefined>;
  /** By id. */
  listWorkspaces(directory: string, page: PageRequest, deadline: Deadline): Promise<Page<WorkspaceRecord>>;
  /**
   * Reads the stored workspace (undefined: none), asks `next` for what it shall be, and stores that, as
   * one: nothing comes between. `next` may be asked more than once; what it throws is thrown, and
   * nothing is stored. `sourceVersion` above 0n and below the stored one: "stale".
   */
  putWorkspace(
    id: { directory: string; workspaceId: string },
    options: {
      sourceVersion: bigint;
      next: (stored: WorkspaceRecord | undefined) => WorkspaceFields;
      audit: AuditEntry;
      deadline: Deadline;
    },
  ): Promise<Written<WorkspaceRecord> | "stale">;
  /**
   * Deletes the workspace, its members and their remembered versions, and revokes the keys of `apis`
   * that are bound to it. Missing: nothing happens. Answers whether it was there.
   */
  deleteWorkspace(
    id: { directory: string; workspaceId: string },
    options: {
      apis: readonly string[];
      revokeReason: string;
      nowMs: number;
      audit: AuditEntry;
      deadline: Deadline;
    },
  ): Promise<Written<boolean>>;
  getMember(
    directory: string,
    workspaceId: string,
    userId: string,
    deadline: Deadline,
  ): Promise<MemberRecord | undefined>;
  /** By user id. */
  listMembers(
    directory: string,
    workspaceId: string,
    page: PageRequest,
    deadline: Deadline,
  ): Promise<Page<MemberRecord>>;
  /** As putWorkspace; "no_workspace" when the workspace does not exist. A removal's version counts as stored. */
  putMember(
    id: { directory: string; workspaceId: string; userId: string },
    options: {
      sourceVersion: bigint;
      next: (stored: MemberRecord | undefined) => MemberFields;
      audit: AuditEntry;
      deadline: Deadline;
    },
  ): Promise<Written<MemberRecord> | "stale" | "no_workspace">;
  /** Removes the member and remembers the version. Missing: remembers it too. Answers whether he was there. */
  removeMember(
    id: { directory: string; workspaceId: string; userId: string },
    options: { sourceVersion: bigint; audit: AuditEntry; deadline: Deadline },
  ): Promise<Written<boolean> | "stale">;
}

export type WorkspaceFields = Pick<
  WorkspaceRecord,
  "name" | "plan" | "features" | "withheldScopes" | "suspended"
>;
export type MemberFields = Pick<MemberRecord, "role" | "allLocations" | "locationIds">;

export interface CallerTokenStore {
  findByDigest(digest: string, deadline: Deadline): Promise<CallerTokenRecord | undefined>;
  create(
    token: CallerTokenRecord,
    options: { audit: AuditEntry; deadline: Deadline },
  ): Promise<Written<CallerTokenRecord>>;
  /** Newest first. */
  list(page: PageRequest, deadline: Deadline): Promise<Page<CallerTokenRecord>>;
  /** Keeps the first revocation's time. */
  revoke(
    id: string,
    options: { nowMs: number; audit: AuditEntry; deadline: Deadline },
  ): Promise<Written<CallerTokenRecord> | "missing">;
}

/** What a change touched: enough to drop it from a cache. */
export type Change =
  | { readonly kind: "key"; readonly keyId: string; readonly digests: readonly string[] }
  | { readonly kind: "workspace"; readonly directory: string; readonly workspaceId: string }
  | {
      readonly kind: "member";
      readonly directory: string;
      readonly workspaceId: string;
      readonly userId: string;
    }
  | { readonly kind: "caller_token"; readonly digest: string };

export interface NumberedChange {
  readonly number: bigint;
  readonly change: Change;
}

/**
 * The order of all changes. Numbers are given by one counter row that is held to commit: when number n
 * is visible, so is every lower one.
 */
export interface ChangeFeed {
  /**
   * Writes this replica's row in one transaction on the primary. It and a change exclude each other: either the
   * answer's `highest` has the change, or the change is committed after the row, whose renewal `replicas`
   * then tells.
   */
  renew(replica: ReplicaState, deadline: Deadline): Promise<Renewal>;
  /** Raises what the replica's row says it has applied, and nothing else; no row: nothing happens. */
  acknowledge(replica: Pick<ReplicaState, "id" | "applied">, deadline: Deadline): Promise<void>;
  /** As of a moment after the call. */
  replicas(deadline: Deadline): Promise<ReplicaReport>;
  /** Takes a replica's row away, if it was not renewed since `row` was read. */
  retire(row: Pick<ReplicaRow, "id" | "renewal">, deadline: Deadline): Promise<void>;
  /** Changes above `after` up to and including `upTo`, in order; "gap" when some were pruned already. */
  read(after: bigint, upTo: bigint, deadline: Deadline): Promise<readonly NumberedChange[] | "gap">;
  /** Takes this replica's row away; for an orderly stop. */
  leave(replicaId: string, deadline: Deadline): Promise<void>;
}

export interface ReplicaState {
  /** Random for each process start. */
  readonly id: string;
  /** The highest change number that this replica has applied. */
  readonly applied: bigint;
  /** How long after a renewal was sent it may use what it has cached; at least 1. */
  readonly leaseMs: number;
  /** Digest by api. */
  readonly policies: Readonly<Record<string, string>>;
  /** Of Tollgate. */
  readonly version: string;
}

export interface Renewal {
  /** Of all changes; each up to it can be read. */
  readonly highest: bigint;
  /** Replicas that have renewed within the last 10 seconds, this one included. */
  readonly liveReplicas: number;
  /** The row was not there: never, or somebody took it away. */
  readonly isNew: boolean;
  /** Another one: another server answers, which may lack what was told before. */
  readonly timeline: string;
}

export interface ReplicaReport {
  /** Of all changes. */
  readonly highest: bigint;
  /** By id. */
  readonly replicas: readonly ReplicaRow[];
}

export interface ReplicaRow extends ReplicaState {
  /** Another one after each renewal. */
  readonly renewal: string;
  /** By the store's clock: how long ago it began, and renewed last. */
  readonly startedMsAgo: number;
  readonly renewedMsAgo: number;
}

/** For whom rights from before will do while the stores do not answer. */
export interface Grace {
  /** For so many milliseconds longer than otherwise. */
  readonly ms: number;
  /** Set by the source that answered from before. */
  isUsed: boolean;
}

/**
 * Where a decision reads rights from: a cache or the stores. What is at hand is returned as it is,
 * without a promise. undefined: there is none.
 */
export interface RightsReads {
  keyByDigest(digest: string, deadline: Deadline): MaybePromise<KeyRecord | undefined>;
  keyById(id: string, deadline: Deadline): MaybePromise<KeyRecord | undefined>;
  workspace(directory: string, id: string, deadline: Deadline): MaybePromise<WorkspaceRecord | undefined>;
  member(
    directory: string,
    workspaceId: string,
    userId: string,
    deadline: Deadline,
  ): MaybePromise<MemberRecord | undefined>;
  /** The workspace and the member of a key's request, as those two reads would answer them. */
  footing(key: KeyRecord, place: Place, deadline: Deadline): MaybePromise<Footing>;
  callerToken(digest: string, deadline: Deadline): MaybePromise<CallerTokenRecord | undefined>;
}

/** Where a request of a key acts. */
export interface Place {
  readonly directory: string;
  /** Empty: in none. */
  readonly workspaceId: string;
  /** As which member of it; empty: as none. */
  readonly userId: string;
}

/**
 * What a key's request stands on. As long as neither record changes, a source may answer a key's requests with the
 * same object, so that what follows from it is derived once.
 */
export interface Footing {
  /** Undefined: there is no such workspace, or none was asked for. */
  readonly workspace: WorkspaceRecord | undefined;
  readonly member: MemberRecord | undefined;
  /** The core's: what it derived last. */
  derived?: object;
}

export interface RightsSource extends RightsReads {
  /** The same for one decision, whose policy has a grace. */
  within(grace: Grace): RightsReads;
}

export type PointsMode = "enforce" | "peek" | "record";

/** One limit that a decision charges. Decisions of one key share theirs: what is known by one may be kept for the next. */
export interface Charge {
  readonly limit: Limit;
  /** The limit's points for this subject: what its plan gives. At least 1. */
  readonly points: number;
  /** Whose bucket: api, limit and subject, unambiguous; never shown in a key name as it is. */
  readonly bucket: string;
  /** What the bucket is sharded by: the workspace, or the api for limits that span workspaces. */
  readonly shardBy: string;
  /** 0 and more. */
  readonly cost: number;
  /** The store's own: what it made of this one. */
  derived?: object;
}

/** Who waits for an answer. */
export interface Waiter {
  /** Not any more: what has not begun need not. */
  readonly isAborted: boolean;
}

export interface TakeRequest {
  /** All of one decision; each bucket once; at least one. */
  readonly charges: readonly Charge[];
  readonly mode: PointsMode;
  /** Unique per caller already; empty: none. A bucket that was charged under it is not charged again. */
  readonly requestId: string;
  readonly onOutage: OnOutage;
  /** The most that the take waits for its store, in ms, where that is less than the store's own budget. */
  readonly budgetMs?: number;
  /** A take that nobody waits for by the time it would be sent is not sent. */
  readonly waiter?: Waiter | undefined;
}

/** A bucket after the decision. Times are whole milliseconds, rounded up. */
export interface BucketState {
  /** Points that could be spent now; 0 while blocked. */
  readonly remaining: number;
  /** Until all points are back and no block is left. */
  readonly resetMs: number;
  /** 0: not blocked. */
  readonly blockedMs: number;
  /** Until this charge's cost could pass here; 0: it passed, or could now. */
  readonly retryAfterMs: number;
  /** What this limit alone says. */
  readonly outcome: "admitted" | "exceeded" | "blocked";
}

export interface TakeAnswer {
  /**
   * Of the limits that are not in shadow. "admitted": charged in full (enforce, record), or could be (peek);
   * also where there are none. "exceeded": at least one limit would be, none was blocked. "blocked": at least
   * one was blocked. "unavailable": the store did not answer and `onOutage` is "deny", or the local share is
   * smaller than the cost.
   */
  readonly outcome: "admitted" | "exceeded" | "blocked" | "unavailable";
  /** In the order of the charges; empty when no bucket was looked at. */
  readonly states: readonly BucketState[];
  /** Who decided: the store, this process's share of the limits, or nobody (onOutage: allow). */
  readonly decidedBy: "store" | "local" | "nobody";
}

/**
 * The points engine. `take` is one atomic step over all charges: all are charged, or none is, but for those
 * of limits in shadow.
 *
 * Rules, for every implementation:
 * - A charge is admitted where what was charged within the window, plus the cost, is at most `points`.
 * - A bucket in a block refuses every charge, also of cost 0, and is not changed by it.
 * - Outside of a block: a refused charge starts the limit's block, for each limit that it would exceed,
 *   only in mode "enforce", only with a cost above 0 and up to `points`, only when no charge of the decision
 *   is blocked.
 * - A limit in shadow refuses nothing, and changes nothing of the others. When those admit, each is decided by
 *   itself, as if it were the only one: it is charged, or refuses alone, and then starts its block by the
 *   rule above. When they refuse, it is not charged and starts no block. Its state tells what it says.
 * - "peek" changes nothing. "record" charges whatever the state, is always "admitted", and starts the
 *   block of each limit that it leaves above `points`; a block that runs is not extended.
 * - A refusal charges nothing and is not remembered. A request_id that charged a bucket is remembered
 *   for ten minutes or the window, whichever is longer; a repeat within that time is admitted by that
 *   bucket without a charge, also during a block, and does not change it. A repeat with another cost:
 *   throws TollgateError `failed_precondition` REQUEST_ID_REUSED; a limit in shadow takes it for the repeat.
 * - Time is the store's own and never goes backwards for a bucket.
 */
export interface BucketStore {
  take(request: TakeRequest, deadline: Deadline): Promise<TakeAnswer>;
}

export interface GiveBackRequest {
  /** The limits that are given back to, each bucket once; at least one. */
  readonly charges: readonly Charge[];
  /**
   * "all": as if the bucket had never been charged or blocked. "cost": the charge's `cost`, at least 1, or
   * what is spent where that is less; a block goes on.
   */
  readonly what: "all" | "cost";
  /** As in a take, unique also against those; of "cost" only. A repeat gives nothing more back. */
  readonly requestId: string;
}

/**
 * Points given back by a person's decision. One atomic step over all charges.
 *
 * - What is given back by "cost" is the oldest that is spent: what counts longest goes on counting. So an
 *   interval of the window's length holds at most the limit's points and those given back within it.
 * - request_ids of takes stay remembered: what was charged under one is not charged again by a repeat.
 * - A repeat of a request_id, within the time that takes remember theirs, answers what the first gave back;
 *   with another cost it throws TollgateError `failed_precondition` REQUEST_ID_REUSED.
 * - Nothing happens after the deadline, as far as the store's clock can tell.
 */
export interface BucketCorrections {
  /** Whole points that were given back, rounded up, one a charge; not told of "all": empty. */
  giveBack(request: GiveBackRequest, deadline: Deadline): Promise<readonly number[]>;
}

/** Entries of what changes no record: those that do are written with their change. */
export interface AuditLog {
  write(entry: AuditEntry, deadline: Deadline): Promise<void>;
}
