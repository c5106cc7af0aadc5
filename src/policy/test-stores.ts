import { keyStatus } from "../core/keys.ts";
import type {
  DirectoryStore,
  KeyStore,
  Page,
  PageRequest,
  RightsReads,
  RightsSource,
} from "../core/ports.ts";
import type { KeyRecord, MemberRecord, WorkspaceRecord } from "../core/records.ts";

/** The stores of one case: in memory, for one process, with no other writer. */
export interface TestStores {
  readonly keys: KeyStore;
  readonly directory: DirectoryStore;
  readonly rights: RightsSource;
}

export function createTestStores(): TestStores {
  const keys = new Map<string, KeyRecord>();
  const workspaces = new Map<string, WorkspaceRecord>();
  const members = new Map<string, MemberRecord>();
  const versions = new Map<string, bigint>();
  const claims = new Map<string, string>();
  let change = 0n;

  const byDigest = (digest: string) =>
    [...keys.values()].find((key) => key.digest === digest || key.previousDigest === digest);
  const written = <T>(record: T) => ({ record, change: ++change });
  const isStale = (place: string, version: bigint) => version > 0n && version < (versions.get(place) ?? 0n);

  const keyStore: KeyStore = {
    findByDigest: async (digest) => byDigest(digest),
    get: async (id) => keys.get(id),
    list: async (filter, page) =>
      pageOf(
        [...keys.values()]
          .filter(
            (key) =>
              (filter.apis.length === 0 || filter.apis.includes(key.api)) &&
              (filter.workspaceId === "" || filter.workspaceId === key.workspaceId) &&
              (filter.createdBy === "" || filter.createdBy === key.createdBy) &&
              (filter.status === undefined || filter.status === keyStatus(key, filter.nowMs)),
          )
          .reverse(),
        page,
      ),
    claimedBy: async (claim) => claims.get(claimOf(claim)),
    async create(key, { madeIn, claim }) {
      if (madeIn !== undefined && !workspaces.has(place(madeIn.directory, madeIn.workspaceId))) {
        return "no_workspace";
      }
      const used = claim === undefined ? undefined : claims.get(claimOf(claim));
      if (used !== undefined) return { usedBy: used };
      if (claim !== undefined) claims.set(claimOf(claim), key.id);
      keys.set(key.id, key);
      return written(key);
    },
    async update(id, { revision, patch, claim }) {
      const key = keys.get(id);
      if (key === undefined) return "missing";
      const used = claim === undefined ? undefined : claims.get(claimOf(claim));
      if (used !== undefined) return { usedBy: used };
      if (key.revision !== revision) return "conflict";
      if (claim !== undefined) claims.set(claimOf(claim), id);
      const next = { ...key, ...patch, revision: revision + 1 };
      keys.set(id, next);
      return written(next);
    },
    listUnrevoked: async (selection, limit) =>
      [...keys.values()]
        .filter(
          (key) =>
            key.revokeTimeMs === undefined &&
            key.api === selection.api &&
            (selection.workspaceId === "" || selection.workspaceId === key.workspaceId) &&
            (selection.createdBy === "" || selection.createdBy === key.createdBy),
        )
        .reverse()
        .slice(0, limit),
    async revokeAll(ids, { nowMs, reason }) {
      const live = [...new Set(ids)]
        .sort()
        .flatMap((id) => keys.get(id) ?? [])
        .filter((key) => key.revokeTimeMs === undefined);
      for (const key of live) {
        const revoked = { revokeTimeMs: nowMs, revokeReason: reason, revision: key.revision + 1 };
        keys.set(key.id, { ...key, ...revoked });
      }
      return live.length === 0 ? { record: [], change: 0n } : written(live.map(({ id }) => id));
    },
    async recordUses(uses) {
      for (const { keyId, secret, timeMs } of uses) {
        const key = keys.get(keyId);
        if (key === undefined) continue;
        const field = secret === "current" ? "lastUseTimeMs" : "previousLastUseTimeMs";
        keys.set(keyId, { ...key, [field]: Math.max(key[field] ?? 0, timeMs) });
      }
    },
  };

  const directory: DirectoryStore = {
    getWorkspace: async (name, id) => workspaces.get(place(name, id)),
    listWorkspaces: async (name, page) =>
      pageOf(
        sortedBy(
          [...workspaces.values()].filter((found) => found.directory === name),
          "id",
        ),
        page,
      ),
    async putWorkspace({ directory: name, workspaceId }, { sourceVersion, next }) {
      const at = place(name, workspaceId);
      if (isStale(at, sourceVersion)) return "stale";
      const stored = workspaces.get(at);
      const record = {
        ...next(stored),
        directory: name,
        id: workspaceId,
        sourceVersion,
        revision: (stored?.revision ?? 0) + 1,
      };
      workspaces.set(at, record);
      versions.set(at, sourceVersion);
      return written(record);
    },
    async deleteWorkspace({ directory: name, workspaceId }, { apis, revokeReason, nowMs }) {
      for (const [at, member] of members) {
        if (member.directory === name && member.workspaceId === workspaceId) members.delete(at);
      }
      for (const key of keys.values()) {
        if (key.workspaceId !== workspaceId || !apis.includes(key.api) || key.revokeTimeMs !== undefined)
          continue;
        keys.set(key.id, { ...key, revokeTimeMs: nowMs, revokeReason, revision: key.revision + 1 });
      }
      return written(workspaces.delete(place(name, workspaceId)));
    },
    getMember: async (name, workspaceId, userId) => members.get(place(name, workspaceId, userId)),
    listMembers: async (name, workspaceId, page) =>
      pageOf(
        sortedBy(
          [...members.values()].filter(
            (found) => found.directory === name && found.workspaceId === workspaceId,
          ),
          "userId",
        ),
        page,
      ),
    async putMember({ directory: name, workspaceId, userId }, { sourceVersion, next }) {
      if (!workspaces.has(place(name, workspaceId))) return "no_workspace";
      const at = place(name, workspaceId, userId);
      if (isStale(at, sourceVersion)) return "stale";
      const stored = members.get(at);
      const record = {
        ...next(stored),
        directory: name,
        workspaceId,
        userId,
        sourceVersion,
        revision: (stored?.revision ?? 0) + 1,
      };
      members.set(at, record);
      versions.set(at, sourceVersion);
      return written(record);
    },
    async removeMember({ directory: name, workspaceId, userId }, { sourceVersion }) {
      const at = place(name, workspaceId, userId);
      if (isStale(at, sourceVersion)) return "stale";
      versions.set(at, sourceVersion);
      return written(members.delete(at));
    },
  };

  const reads: RightsReads = {
    keyByDigest: byDigest,
    keyById: (id) => keys.get(id),
    workspace: (name, id) => workspaces.get(place(name, id)),
    member: (name, workspaceId, userId) => members.get(place(name, workspaceId, userId)),
    footing: (_key, { directory: name, workspaceId, userId }) => ({
      workspace: workspaces.get(place(name, workspaceId)),
      member: members.get(place(name, workspaceId, userId)),
    }),
    // Cases ask as a caller that is known already.
    callerToken: () => undefined,
  };

  return { keys: keyStore, directory, rights: { ...reads, within: () => reads } };
}

/** Ids hold no line feed, so no two places are spelt alike. */
function place(...ids: readonly string[]): string {
  return ids.join("\n");
}

function claimOf(claim: { callerId: string; operation: string; requestId: string }): string {
  return place(claim.callerId, claim.operation, claim.requestId);
}

function sortedBy<T, F extends keyof T>(records: readonly T[], field: F): T[] {
  return [...records].sort((a, b) => (a[field] < b[field] ? -1 : 1));
}

function pageOf<T>(records: readonly T[], page: PageRequest): Page<T> {
  const start = page.after === undefined ? 0 : Number(page.after);
  const end = start + page.size;
  return { records: records.slice(start, end), next: end < records.length ? String(end) : undefined };
}
