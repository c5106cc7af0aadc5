import type { CallerTokenStore, Change, DirectoryStore, KeyStore } from "../core/ports.ts";
import type { CachedRights } from "./cached-rights.ts";

/**
 * The same stores, whose writes drop what they touched from this replica's caches before they answer: a
 * decision that begins after the answer sees them. Also when a write throws, since it may have happened.
 */
export function withInvalidation(
  stores: {
    readonly keys: KeyStore;
    readonly directory: DirectoryStore;
    readonly callerTokens: CallerTokenStore;
  },
  rights: Pick<CachedRights, "invalidate" | "forgetWorkspace" | "forgetCallerToken">,
): { keys: KeyStore; directory: DirectoryStore; callerTokens: CallerTokenStore } {
  async function invalidating<T>(write: Promise<T>, change: Change): Promise<T> {
    try {
      return await write;
    } finally {
      rights.invalidate(change);
    }
  }

  const { keys, directory, callerTokens } = stores;
  return {
    keys: {
      ...keys,
      create: (key, options) =>
        invalidating(keys.create(key, options), { kind: "key", keyId: key.id, digests: [key.digest] }),
      update: (id, options) => {
        const { digest } = options.patch;
        const digests = digest === undefined ? [] : [digest];
        return invalidating(keys.update(id, options), { kind: "key", keyId: id, digests });
      },
      async revokeAll(ids, options) {
        try {
          return await keys.revokeAll(ids, options);
        } finally {
          for (const keyId of ids) rights.invalidate({ kind: "key", keyId, digests: [] });
        }
      },
    },
    directory: {
      ...directory,
      putWorkspace: (id, options) =>
        invalidating(directory.putWorkspace(id, options), { kind: "workspace", ...id }),
      async deleteWorkspace(id, options) {
        try {
          return await directory.deleteWorkspace(id, options);
        } finally {
          rights.forgetWorkspace(id.directory, id.workspaceId);
        }
      },
      putMember: (id, options) => invalidating(directory.putMember(id, options), { kind: "member", ...id }),
      removeMember: (id, options) =>
        invalidating(directory.removeMember(id, options), { kind: "member", ...id }),
    },
    callerTokens: {
      ...callerTokens,
      create: (token, options) =>
        invalidating(callerTokens.create(token, options), { kind: "caller_token", digest: token.digest }),
      async revoke(id, options) {
        try {
          return await callerTokens.revoke(id, options);
        } finally {
          rights.forgetCallerToken(id);
        }
      },
    },
  };
}
