/**
 * What the stores keep. Times are milliseconds since the epoch. An empty string means none: ids are
 * never empty. Records are immutable: a change makes a new one with a higher `revision`.
 */

export interface KeyRecord {
  readonly id: string;
  readonly api: string;
  readonly type: string;
  readonly environment: string;
  /** The workspace that the key is bound to; empty where the type takes it from the request. */
  readonly workspaceId: string;
  /** The user whose rights apply; empty where the type acts as the workspace or a service account. */
  readonly userId: string;
  readonly createdBy: string;
  /** Service accounts only. */
  readonly role: string;
  readonly name: string;
  readonly description: string;
  /** Scopes and presets as selected, sorted, without repeats. */
  readonly scopes: readonly string[];
  readonly preview: string;
  readonly disabled: boolean;
  readonly metadata: Readonly<Record<string, string>>;
  readonly allowedCidrs: readonly string[];
  readonly createTimeMs: number;
  readonly expireTimeMs: number | undefined;
  readonly revokeTimeMs: number | undefined;
  readonly revokeReason: string;
  readonly lastUseTimeMs: number | undefined;
  /** SHA-256 of the secret, 64 lower-case hex digits. */
  readonly digest: string;
  /** The old secret's digest, from a rotation on; still accepted before `previousExpireTimeMs`. */
  readonly previousDigest: string;
  readonly previousExpireTimeMs: number | undefined;
  readonly previousLastUseTimeMs: number | undefined;
  /** 1 at creation; the use times do not raise it. */
  readonly revision: number;
}

export interface WorkspaceRecord {
  readonly directory: string;
  readonly id: string;
  readonly name: string;
  /** Empty: none, below the lowest. */
  readonly plan: string;
  readonly features: readonly string[];
  readonly withheldScopes: readonly string[];
  readonly suspended: boolean;
  /** The host's own version; 0n: never given. */
  readonly sourceVersion: bigint;
  readonly revision: number;
}

export interface MemberRecord {
  readonly directory: string;
  readonly workspaceId: string;
  readonly userId: string;
  readonly role: string;
  readonly allLocations: boolean;
  readonly locationIds: readonly string[];
  readonly sourceVersion: bigint;
  readonly revision: number;
}

/** What a caller may do; "admin" includes all. */
export type Grant = "check" | "consume" | "keys" | "directory" | "admin";

export interface CallerTokenRecord {
  readonly id: string;
  readonly name: string;
  readonly grants: readonly Grant[];
  /** Empty: all. */
  readonly apis: readonly string[];
  /** SHA-256 of the secret, 64 lower-case hex digits. */
  readonly digest: string;
  readonly createTimeMs: number;
  readonly expireTimeMs: number | undefined;
  readonly revokeTimeMs: number | undefined;
}

/**
 * One line of the audit log, written in the transaction of the change that it tells of; for what is no change
 * of a record, before it is done.
 */
export interface AuditEntry {
  /** The caller token's id, or "admin-token", "cli" or "leak-report" for those that have none. */
  readonly callerId: string;
  /** The user on whose behalf; empty: the caller itself. */
  readonly actorUserId: string;
  /** Such as "key.create", "member.put". */
  readonly action: string;
  /** Plain facts; never a secret or a digest. */
  readonly detail: Readonly<Record<string, string | number | boolean | readonly string[]>>;
}
