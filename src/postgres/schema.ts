import { sql } from "drizzle-orm";
import {
  bigint,
  boolean,
  check,
  customType,
  index,
  integer,
  jsonb,
  numeric,
  pgTable,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
} from "drizzle-orm/pg-core";
import type { Change } from "../core/ports.ts";
import type { AuditEntry, Grant } from "../core/records.ts";

/** Ordered and compared byte by byte, whatever the database's locale: pages must not depend on it. */
const bytewise = customType<{ data: string; driverData: string }>({ dataType: () => 'text collate "C"' });

/** Milliseconds since the epoch. */
const epochMs = (name: string) => bigint(name, { mode: "number" });

/** A uint64, which bigint cannot hold. */
const uint64 = (name: string) => numeric(name, { precision: 20, scale: 0, mode: "bigint" });

/** JSON: text arrays do not survive drizzle with every text in them. */
const textList = (name = "") => jsonb(name).$type<readonly string[]>();

export const workspaces = pgTable(
  "workspaces",
  {
    directory: bytewise().notNull(),
    id: bytewise().notNull(),
    name: text().notNull(),
    plan: text().notNull(),
    features: textList().notNull(),
    withheldScopes: textList("withheld_scopes").notNull(),
    suspended: boolean().notNull(),
    sourceVersion: uint64("source_version").notNull(),
    revision: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.directory, table.id] })],
);

/**
 * A removed member's row stays while it has a source_version, so that an older message does not bring
 * him back. It may stand without its workspace: a removal can arrive first.
 */
export const members = pgTable(
  "members",
  {
    directory: bytewise().notNull(),
    workspaceId: bytewise("workspace_id").notNull(),
    userId: bytewise("user_id").notNull(),
    role: text().notNull(),
    allLocations: boolean("all_locations").notNull(),
    locationIds: textList("location_ids").notNull(),
    removed: boolean().notNull(),
    sourceVersion: uint64("source_version").notNull(),
    revision: integer().notNull(),
  },
  (table) => [primaryKey({ columns: [table.directory, table.workspaceId, table.userId] })],
);

export const keys = pgTable(
  "keys",
  {
    id: bytewise().primaryKey(),
    api: bytewise().notNull(),
    type: text().notNull(),
    environment: text().notNull(),
    workspaceId: bytewise("workspace_id").notNull(),
    userId: bytewise("user_id").notNull(),
    createdBy: bytewise("created_by").notNull(),
    role: text().notNull(),
    name: text().notNull(),
    description: text().notNull(),
    scopes: textList().notNull(),
    preview: text().notNull(),
    disabled: boolean().notNull(),
    metadata: jsonb().$type<Readonly<Record<string, string>>>().notNull(),
    allowedCidrs: textList("allowed_cidrs").notNull(),
    createTimeMs: epochMs("create_time_ms").notNull(),
    expireTimeMs: epochMs("expire_time_ms"),
    revokeTimeMs: epochMs("revoke_time_ms"),
    revokeReason: text("revoke_reason").notNull(),
    lastUseTimeMs: epochMs("last_use_time_ms"),
    digest: bytewise().notNull(),
    /** Null: none, so that the index holds only those that have one. */
    previousDigest: bytewise("previous_digest"),
    previousExpireTimeMs: epochMs("previous_expire_time_ms"),
    previousLastUseTimeMs: epochMs("previous_last_use_time_ms"),
    revision: integer().notNull(),
  },
  (table) => [
    uniqueIndex("keys_digest").on(table.digest),
    uniqueIndex("keys_previous_digest").on(table.previousDigest),
    // Pages are read newest first, backwards through these.
    index("keys_page").on(table.createTimeMs, table.id),
    index("keys_workspace_page").on(table.workspaceId, table.createTimeMs, table.id),
    index("keys_api_workspace_page").on(table.api, table.workspaceId, table.createTimeMs, table.id),
    index("keys_created_by_page").on(table.createdBy, table.createTimeMs, table.id),
  ],
);

/** Kept for ever: a request_id makes one key, however late its repeat. */
export const requestClaims = pgTable(
  "request_claims",
  {
    callerId: bytewise("caller_id").notNull(),
    operation: bytewise().notNull(),
    requestId: bytewise("request_id").notNull(),
    keyId: bytewise("key_id").notNull(),
  },
  (table) => [primaryKey({ columns: [table.callerId, table.operation, table.requestId] })],
);

export const callerTokens = pgTable(
  "caller_tokens",
  {
    id: bytewise().primaryKey(),
    name: text().notNull(),
    grants: jsonb().$type<readonly Grant[]>().notNull(),
    apis: textList().notNull(),
    digest: bytewise().notNull(),
    createTimeMs: epochMs("create_time_ms").notNull(),
    expireTimeMs: epochMs("expire_time_ms"),
    revokeTimeMs: epochMs("revoke_time_ms"),
  },
  (table) => [
    uniqueIndex("caller_tokens_digest").on(table.digest),
    index("caller_tokens_page").on(table.createTimeMs, table.id),
  ],
);

export const auditLog = pgTable(
  "audit_log",
  {
    id: bigint({ mode: "bigint" }).primaryKey().generatedAlwaysAsIdentity(),
    /** The database's clock. */
    time: timestamp({ withTimezone: true, precision: 3 }).notNull().default(sql`clock_timestamp()`),
    callerId: text("caller_id").notNull(),
    actorUserId: text("actor_user_id").notNull(),
    action: text().notNull(),
    detail: jsonb().$type<AuditEntry["detail"]>().notNull(),
  },
  (table) => [index("audit_log_time").on(table.time)],
);

/**
 * One row, made by a migration. A change takes its number by updating it and holds it to commit, so
 * that numbers become visible in order.
 */
export const changeCounter = pgTable(
  "change_counter",
  {
    id: smallint().primaryKey(),
    number: bigint({ mode: "bigint" }).notNull(),
  },
  (table) => [check("change_counter_one_row", sql`${table.id} = 1`)],
);

/** What each number changed; several parts where one write touched several records. */
export const changes = pgTable(
  "changes",
  {
    number: bigint({ mode: "bigint" }).notNull(),
    part: integer().notNull(),
    change: jsonb().$type<Change>().notNull(),
    /** Taken while the counter is held, so that it rises with the number. */
    time: timestamp({ withTimezone: true, precision: 3 }).notNull().default(sql`clock_timestamp()`),
  },
  (table) => [primaryKey({ columns: [table.number, table.part] }), index("changes_time").on(table.time)],
);

export const replicas = pgTable("replicas", {
  id: bytewise().primaryKey(),
  applied: bigint({ mode: "bigint" }).notNull(),
  /** Policy digest by api. */
  policies: jsonb().$type<Readonly<Record<string, string>>>().notNull(),
  /** How long after a renewal was sent the replica may use what it has cached. */
  leaseMs: integer("lease_ms").notNull().default(1000),
  /** Of Tollgate; empty: one from before this was told. */
  version: text().notNull().default(""),
  startTime: timestamp("start_time", { withTimezone: true, precision: 3 }).notNull().defaultNow(),
  renewTime: timestamp("renew_time", { withTimezone: true, precision: 3 }).notNull(),
});
