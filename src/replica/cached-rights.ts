import type {
  CallerTokenStore,
  Change,
  ChangeFeed,
  DirectoryStore,
  Grace,
  KeyStore,
  NumberedChange,
  RightsReads,
  RightsSource,
} from "../core/ports.ts";
import type { CallerTokenRecord, KeyRecord, MemberRecord, WorkspaceRecord } from "../core/records.ts";
import { type CoherentCache, type CoherentCacheOptions, createCoherentCache } from "./coherent-cache.ts";
import { createFootings, type FootingReads } from "./footings.ts";
import { type Clock, createLease, systemClock } from "./lease.ts";

export type CachedKind = "key" | "workspace" | "member" | "caller_token";

export interface CachedRightsOptions {
  readonly keys: Pick<KeyStore, "findByDigest" | "get">;
  readonly directory: Pick<DirectoryStore, "getWorkspace" | "getMember">;
  readonly callerTokens: Pick<CallerTokenStore, "findByDigest">;
  readonly feed: ChangeFeed;
  /** Random for each process start. */
  readonly replicaId: string;
  /** Of Tollgate; for those who look at the replicas. */
  readonly version?: string;
  /** Digest by api, of the policies now loaded. */
  readonly policies: () => Readonly<Record<string, string>>;
  /** The longest of the policies now loaded; default none. */
  readonly graceMs?: () => number;
  /** A renewal failed: until one succeeds, the lease runs out and every read goes to the stores. */
  readonly onRenewFailed: (error: unknown) => void;
  /** Answers what is called on every access: keep that cheap. */
  readonly onAccess?: (kind: CachedKind) => (outcome: "hit" | "miss") => void;
  readonly limits?: Partial<CacheLimits>;
  /** How long after a renewal was sent what is cached may be used; default 1000. */
  readonly leaseMs?: number;
  /** Default 300: a lease survives two renewals that are lost. */
  readonly renewEveryMs?: number;
  readonly clock?: Clock;
}

/** Records kept, what they take, and reads under way, at most. */
export interface CacheLimits {
  readonly keys: number;
  readonly workspaces: number;
  readonly members: number;
  readonly callerTokens: number;
  /** Of all kinds together, by estimate. */
  readonly bytes: number;
  /** Of each kind: ids known to be nobody's. */
  readonly missing: number;
  /** Of each kind: reads under way. */
  readonly lookups: number;
}

const defaultLimits: CacheLimits = {
  keys: 100_000,
  workspaces: 100_000,
  members: 100_000,
  callerTokens: 1000,
  bytes: 512 * 1024 * 1024,
  missing: 10_000,
  lookups: 1000,
};

/** Parts of the bytes. */
const BYTES: Readonly<Record<CachedKind, number>> = {
  key: 0.3,
  workspace: 0.2,
  member: 0.15,
  caller_token: 0.05,
};

/** Further behind than this, beginning anew costs less than catching up. */
const maxChangesBehind = 10_000n;
/** Of a look-up that its callers have given up. */
const lookupMs = 1000;

export interface CachedRights extends RightsSource {
  /** Renews until stopped; settles after the first attempt, whether it succeeded or not. */
  start(): Promise<void>;
  /** Ends the lease and takes this replica's row away; settles by `deadline`, and throws when the row stays. */
  stop(deadline: number): Promise<void>;
  /** Renews now, or once more after a renewal that is under way. Throws when it fails. */
  renew(): Promise<void>;
  /**
   * All changes up to this number can be read: applies them, and says so in this replica's row. What was
   * told before, and what turns out to be wrong, costs nothing.
   */
  catchUp(to: bigint): void;
  /** The highest change that this replica has applied; 0n before the first renewal. */
  applied(): bigint;
  /** Drops what a change touched. A key is dropped under all digests, those of the change and the cached ones. */
  invalidate(change: Change): void;
  /** Drops a workspace with all its members and the keys bound to it. */
  forgetWorkspace(directory: string, workspaceId: string): void;
  /** Drops a caller token of which only the id is known. */
  forgetCallerToken(id: string): void;
  /** Whether what is cached may be used now, or within a grace. */
  isLive(graceMs?: number): boolean;
  /** As of the last renewal, this one included; 1 before the first. */
  liveReplicas(): number;
}

/**
 * Reads rights through caches that are at most `leaseMs` behind what other replicas changed.
 *
 * Each renewal answers the number of the last change; once all changes up to it are applied here, the
 * caches may be used for `leaseMs` from before the renewal was sent. What was applied stands in this replica's row
 * at once: who waits for it goes on. Without a lease every read goes to
 * the stores and nothing is kept. A lease that lapsed, a row that was gone, a feed with a gap and a server that
 * took over all begin with empty caches: the database may be another by then.
 */
export function createCachedRights(options: CachedRightsOptions): CachedRights {
  const { keys, directory, callerTokens, feed, replicaId, policies, onRenewFailed } = options;
  const { onAccess = () => () => {}, leaseMs = 1000, renewEveryMs = 300 } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const clock = options.clock ?? systemClock;
  const lease = createLease(leaseMs, clock);

  const cacheOf = <V extends object>(
    kind: CachedKind,
    entries: number,
    read: (id: string, deadline: number) => Promise<V | undefined>,
    hooks: Pick<CoherentCacheOptions<V>, "onKept" | "onDropped"> = {},
  ): CoherentCache<V> =>
    createCoherentCache({
      ...hooks,
      isLive: lease.isLive,
      entries,
      bytes: Math.floor(limits.bytes * BYTES[kind]),
      missing: limits.missing,
      lookups: limits.lookups,
      lookupMs,
      read,
      onAccess: onAccess(kind),
    });

  const digests = createDigestIndex();
  const keysByDigest = cacheOf<KeyRecord>("key", limits.keys, keys.findByDigest, digests);
  const keysById = cacheOf<KeyRecord>("key", limits.keys, keys.get);
  const workspaces = cacheOf<WorkspaceRecord>("workspace", limits.workspaces, (id, deadline) => {
    const [inDirectory = "", workspaceId = ""] = id.split(separator);
    return directory.getWorkspace(inDirectory, workspaceId, deadline);
  });
  const members = cacheOf<MemberRecord>("member", limits.members, (id, deadline) => {
    const [inDirectory = "", workspaceId = "", userId = ""] = id.split(separator);
    return directory.getMember(inDirectory, workspaceId, userId, deadline);
  });
  const tokens = cacheOf<CallerTokenRecord>("caller_token", limits.callerTokens, callerTokens.findByDigest);
  const caches = [keysByDigest, keysById, workspaces, members, tokens];

  /** The last change applied; undefined: not begun. */
  let position: bigint | undefined;
  /** The last change known to be there. */
  let announced = 0n;
  /** The last change that this replica's row says it has applied. */
  let acknowledged = 0n;
  /** How often what was known before was found to count no more. */
  let beginnings = 0;
  let catchingUp: Promise<void> | undefined;
  let timeline = "";
  let liveReplicas = 1;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let renewing: Promise<void> = Promise.resolve();
  let queued: Promise<void> | undefined;

  function invalidate(change: Change): void {
    switch (change.kind) {
      case "key":
        keysById.invalidate(change.keyId);
        for (const digest of change.digests) keysByDigest.invalidate(digest);
        // A write of this replica may not know all digests that the key had.
        for (const digest of digests.of(change.keyId)) keysByDigest.invalidate(digest);
        keysByDigest.invalidateReads();
        return;
      case "workspace":
        workspaces.invalidate(workspaceKey(change.directory, change.workspaceId));
        return;
      case "member":
        members.invalidate(memberKey(change.directory, change.workspaceId, change.userId));
        return;
      case "caller_token":
        tokens.invalidate(change.digest);
    }
  }

  async function renewOnce(): Promise<void> {
    const sent = lease.now();
    // Later it would extend nothing.
    const deadline = performance.now() + leaseMs;
    const told = position ?? 0n;
    const graceMs = options.graceMs?.() ?? 0;
    lease.limitGrace(graceMs);
    const renewed = await feed.renew(
      {
        id: replicaId,
        applied: told,
        leaseMs: leaseMs + graceMs,
        policies: policies(),
        version: options.version ?? "",
      },
      deadline,
    );
    liveReplicas = renewed.liveReplicas;
    const { highest } = renewed;
    acknowledged = told < highest ? told : highest;
    // Below what was told: another database, or one restored.
    if (renewed.isNew || renewed.timeline !== timeline || highest < told) {
      position = undefined;
      announced = 0n;
      beginnings++;
    }
    timeline = renewed.timeline;
    apply(await changesUpTo(highest, deadline), highest);
    if (stopped) return;
    lease.extend(sent, graceMs);
    // Somebody may wait for it.
    catchUp(highest);
  }

  /** Also while a renewal does the same: dropping twice does no harm. */
  function apply(changes: readonly NumberedChange[] | "gap", upTo: bigint): void {
    if (stopped) return;
    if (changes === "gap" || !lease.isLive(Number.POSITIVE_INFINITY))
      for (const cache of caches) cache.clear();
    else for (const { change } of changes) invalidate(change);
    if (position === undefined || upTo > position) position = upTo;
  }

  async function changesUpTo(highest: bigint, deadline: number): Promise<readonly NumberedChange[] | "gap"> {
    if (position === undefined || highest - position > maxChangesBehind) return "gap";
    return highest <= position ? [] : await feed.read(position, highest, deadline);
  }

  function catchUp(to: bigint): void {
    if (to > announced) announced = to;
    catchingUp ??= keepUp()
      .catch(onRenewFailed)
      .finally(() => {
        catchingUp = undefined;
      });
  }

  /** Applies what is announced and says so, without a renewal: that would wait for whoever is changing something. */
  async function keepUp(): Promise<void> {
    while (!stopped && position !== undefined && (announced > position || position > acknowledged)) {
      const deadline = performance.now() + leaseMs;
      const beginning = beginnings;
      if (announced > position) {
        const upTo = announced;
        const changes = await changesUpTo(upTo, deadline);
        if (beginning !== beginnings) continue;
        // Anybody can announce a number, which must not be said to be applied: only a renewal knows the last.
        if (changes === "gap") announced = 0n;
        else apply(changes, upTo);
      }
      const applied = position;
      if (applied <= acknowledged) continue;
      await feed.acknowledge({ id: replicaId, applied }, deadline);
      if (beginning === beginnings && applied > acknowledged) acknowledged = applied;
    }
  }

  function renew(): Promise<void> {
    queued ??= renewing.then(() => {
      queued = undefined;
      const renewal = renewOnce();
      // Told to whom `queued` was given; the next one only waits for the end.
      renewing = renewal.catch(() => {});
      return renewal;
    });
    return queued;
  }

  async function keepRenewing(): Promise<void> {
    try {
      await renew();
    } catch (error) {
      onRenewFailed(error);
    }
    if (stopped) return;
    timer = setTimeout(() => void keepRenewing(), renewEveryMs);
    timer.unref();
  }

  const onWorkspace = onAccess("workspace");
  const onMember = onAccess("member");
  const footings = createFootings({
    isLive: lease.isLive,
    nowMs: clock.monotonicMs,
    workspace: {
      hold: (place) => workspaces.hold(workspaceKey(place.directory, place.workspaceId)),
      onHit: () => onWorkspace("hit"),
    },
    member: {
      hold: (place) => members.hold(memberKey(place.directory, place.workspaceId, place.userId)),
      onHit: () => onMember("hit"),
    },
  });

  const reads = (grace?: Grace): RightsReads => {
    const ofPlaces: FootingReads = {
      workspace: ({ directory: inDirectory, workspaceId }, deadline) =>
        workspaces.get(workspaceKey(inDirectory, workspaceId), deadline, grace),
      member: ({ directory: inDirectory, workspaceId, userId }, deadline) =>
        members.get(memberKey(inDirectory, workspaceId, userId), deadline, grace),
    };
    return {
      keyByDigest: (digest, deadline) => keysByDigest.get(digest, deadline, grace),
      keyById: (id, deadline) => keysById.get(id, deadline, grace),
      workspace: (inDirectory, workspaceId, deadline) =>
        ofPlaces.workspace({ directory: inDirectory, workspaceId, userId: "" }, deadline),
      member: (inDirectory, workspaceId, userId, deadline) =>
        ofPlaces.member({ directory: inDirectory, workspaceId, userId }, deadline),
      footing: (key, place, deadline) =>
        footings.kept(key, place) ?? footings.read(key, place, { deadline, reads: ofPlaces }),
      // Of which api's policy a call is, is not known before it is known whose it is.
      callerToken: (digest, deadline) => tokens.get(digest, deadline, longestGrace),
    };
  };

  return {
    ...reads(),
    within: reads,
    start: keepRenewing,
    async stop(deadline) {
      stopped = true;
      clearTimeout(timer);
      lease.end();
      await Promise.all([renewing, catchingUp]);
      await feed.leave(replicaId, deadline);
    },
    renew,
    catchUp,
    applied: () => position ?? 0n,
    invalidate,
    forgetWorkspace(inDirectory, workspaceId) {
      workspaces.invalidate(workspaceKey(inDirectory, workspaceId));
      members.invalidateWhere(
        (member) => member.directory === inDirectory && member.workspaceId === workspaceId,
      );
      // Which apis use the directory is the policies' matter: keys of others are only read once more.
      for (const cache of [keysByDigest, keysById]) {
        cache.invalidateWhere((key) => key.workspaceId === workspaceId);
      }
    },
    forgetCallerToken: (id) => tokens.invalidateWhere((token) => token.id === id),
    isLive: lease.isLive,
    liveReplicas: () => liveReplicas,
  };
}

/** As far as the lease states it. */
const longestGrace: Grace = { ms: Number.POSITIVE_INFINITY, isUsed: false };

/** Under which digests a key is cached: two at most, while a rotation's overlap lasts. */
function createDigestIndex() {
  const digestsOf = new Map<string, Set<string>>();
  return {
    of: (keyId: string): readonly string[] => [...(digestsOf.get(keyId) ?? [])],
    onKept(digest: string, { id }: KeyRecord) {
      const digests = digestsOf.get(id);
      if (digests === undefined) digestsOf.set(id, new Set([digest]));
      else digests.add(digest);
    },
    onDropped(digest: string, { id }: KeyRecord) {
      const digests = digestsOf.get(id);
      if (digests?.delete(digest) === true && digests.size === 0) digestsOf.delete(id);
    },
  };
}

/** Stands in no id. */
const separator = "\n";

function workspaceKey(directory: string, id: string): string {
  return directory + separator + id;
}

function memberKey(directory: string, workspaceId: string, userId: string): string {
  return directory + separator + workspaceId + separator + userId;
}
