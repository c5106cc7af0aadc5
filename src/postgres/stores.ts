import type { AuditLog, CallerTokenStore, ChangeFeed, DirectoryStore, KeyStore } from "../core/ports.ts";
import { createAuditLog } from "./audit-log.ts";
import { createCallerTokenStore } from "./caller-token-store.ts";
import { createChangeFeed } from "./change-feed.ts";
import type { Database } from "./database.ts";
import { withNeutralErrors } from "./errors.ts";
import { createKeyStore } from "./key-store.ts";
import { createMemberStore } from "./member-store.ts";
import { createWorkspaceStore } from "./workspace-store.ts";

export interface Stores {
  readonly keys: KeyStore;
  readonly directory: DirectoryStore;
  readonly callerTokens: CallerTokenStore;
  readonly feed: ChangeFeed;
  readonly audit: AuditLog;
}

/** The stores over Postgres, or over PGlite in this process. Its schema must be current. */
export function createStores(database: Database): Stores {
  const guarded = withNeutralErrors(database);
  return {
    keys: createKeyStore(guarded),
    directory: { ...createWorkspaceStore(guarded), ...createMemberStore(guarded) },
    callerTokens: createCallerTokenStore(guarded),
    feed: createChangeFeed(guarded),
    audit: createAuditLog(guarded),
  };
}
