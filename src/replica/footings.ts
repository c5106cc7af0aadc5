import type { Deadline, Footing, MaybePromise, Place } from "../core/ports.ts";
import type { KeyRecord, MemberRecord, WorkspaceRecord } from "../core/records.ts";
import type { Held } from "./coherent-cache.ts";

/** How long a footing is used before its records are looked up again, so that caches know them to be in use; in ms. */
const LOOK_UP_AFTER_MS = 10_000;

/**
 * A key keeps its footing's records also once their own caches have dropped them, until it is used again. So that the
 * caches' bounds hold, a footing of larger ones is not kept, but made anew for each decision.
 */
const MAX_KEPT_BYTES = 2048;

export interface FootingsOptions {
  /** Whether what is cached may be used now. */
  readonly isLive: () => boolean;
  readonly workspace: Cached<WorkspaceRecord>;
  readonly member: Cached<MemberRecord>;
  /** Milliseconds, monotonic. */
  readonly nowMs: () => number;
}

/** Records of one kind. */
interface Cached<V> {
  hold(place: Place): Held<V> | undefined;
  /** Told of each use of a record. */
  readonly onHit: () => void;
}

/** Look-ups that may have to wait. */
export interface FootingReads {
  workspace(place: Place, deadline: Deadline): MaybePromise<WorkspaceRecord | undefined>;
  member(place: Place, deadline: Deadline): MaybePromise<MemberRecord | undefined>;
}

export interface Footings {
  /** From the caches alone; undefined: not all of it is there, or may be used now. */
  kept(key: KeyRecord, place: Place): Footing | undefined;
  read(
    key: KeyRecord,
    place: Place,
    by: { readonly deadline: Deadline; readonly reads: FootingReads },
  ): Promise<Footing>;
}

interface KeptFooting extends Footing {
  readonly place: Place;
  /** Undefined: none is asked for. */
  readonly heldWorkspace: Held<WorkspaceRecord> | undefined;
  readonly heldMember: Held<MemberRecord> | undefined;
  lookedUpMs: number;
}

/**
 * The last footing of each key. It answers without any look-up as long as its records are the cached ones and the
 * lease is live: as the look-ups would.
 */
export function createFootings({ isLive, workspace, member, nowMs }: FootingsOptions): Footings {
  const footings = new WeakMap<KeyRecord, KeptFooting>();

  function knownAt(key: KeyRecord, place: Place): KeptFooting | undefined {
    const known = footings.get(key);
    return known !== undefined && isSamePlace(known.place, place) ? known : undefined;
  }

  /** The known one where nothing has changed. */
  function lookUp(key: KeyRecord, place: Place): KeptFooting | undefined {
    const heldWorkspace = place.workspaceId === "" ? undefined : workspace.hold(place);
    if (heldWorkspace === undefined && place.workspaceId !== "") return undefined;
    const heldMember = place.userId === "" ? undefined : member.hold(place);
    if (heldMember === undefined && place.userId !== "") return undefined;
    const known = knownAt(key, place);
    if (known !== undefined && known.heldWorkspace === heldWorkspace && known.heldMember === heldMember) {
      known.lookedUpMs = nowMs();
      return known;
    }
    const footing: KeptFooting = {
      workspace: heldWorkspace?.record,
      member: heldMember?.record,
      place,
      heldWorkspace,
      heldMember,
      lookedUpMs: nowMs(),
    };
    if ((heldWorkspace?.bytes ?? 0) + (heldMember?.bytes ?? 0) <= MAX_KEPT_BYTES) footings.set(key, footing);
    else footings.delete(key);
    return footing;
  }

  return {
    kept(key, place) {
      const known = knownAt(key, place);
      const isKept =
        known !== undefined && isCurrent(known) && nowMs() - known.lookedUpMs < LOOK_UP_AFTER_MS && isLive();
      const footing = isKept ? known : lookUp(key, place);
      if (footing?.heldWorkspace !== undefined) workspace.onHit();
      if (footing?.heldMember !== undefined) member.onHit();
      return footing;
    },

    async read(key, place, { deadline, reads }) {
      const found = place.workspaceId === "" ? undefined : await reads.workspace(place, deadline);
      const isMemberAsked = found !== undefined && place.userId !== "";
      const foundMember = isMemberAsked ? await reads.member(place, deadline) : undefined;
      const known = knownAt(key, place);
      // In a grace the caches' records are still the ones that it was made of.
      if (known !== undefined && known.workspace === found && known.member === foundMember) return known;
      return { workspace: found, member: foundMember };
    },
  };
}

function isSamePlace(a: Place, b: Place): boolean {
  return a.workspaceId === b.workspaceId && a.userId === b.userId && a.directory === b.directory;
}

function isCurrent({ heldWorkspace, heldMember }: KeptFooting): boolean {
  return heldWorkspace?.isCurrent !== false && heldMember?.isCurrent !== false;
}
