import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sql } from "drizzle-orm";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { TollgateError } from "../core/errors.ts";
import type { Deadline } from "../core/ports.ts";
import { type Connection, type Database, rowsOf } from "./database.ts";
import { withNeutralErrors } from "./errors.ts";

/**
 * Against this version's migrations: "empty", none was applied; "older", some are missing; "newer", there
 * are some that this version does not know.
 */
export type SchemaState = "empty" | "older" | "current" | "newer";

export interface MigrateResult {
  /** How many migrations this call applied. */
  readonly applied: number;
  /** The last migration that was there before; "empty": none. */
  readonly from: string;
  readonly to: string;
}

/** Any number, the same in every version: what the lock is known by. */
const migrationLock = 7_091_733_264_501;

/**
 * Applies the migrations that are missing, all in one transaction, under a lock: of several at once, one
 * does the work and the others find nothing to do. FAILED_PRECONDITION for a schema newer than this version.
 */
export function migrate(database: Database, deadline: Deadline): Promise<MigrateResult> {
  return withNeutralErrors(database).transaction(deadline, async (transaction) => {
    await transaction.execute(sql`select pg_advisory_xact_lock(${migrationLock}::bigint)`);
    await createJournal(transaction);
    const known = knownMigrations();
    const applied = await appliedHashes(transaction);
    const state = compare(known, applied);
    if (state === "newer") {
      throw new TollgateError("failed_precondition", schemaProblem("newer"), { reason: "SCHEMA_NEWER" });
    }
    const missing = known.slice(applied.length);
    for (const { statements, hash, when } of missing) {
      for (const statement of statements) await transaction.execute(sql.raw(statement));
      await transaction.execute(
        sql`insert into drizzle.__drizzle_migrations (hash, created_at) values (${hash}, ${when}::bigint)`,
      );
    }
    return {
      applied: missing.length,
      from: known[applied.length - 1]?.name ?? "empty",
      to: known.at(-1)?.name ?? "empty",
    };
  });
}

export function schemaState(database: Database, deadline: Deadline): Promise<SchemaState> {
  return withNeutralErrors(database).run(deadline, async (connection) => {
    const [journal] = await rowsOf(
      connection,
      sql`select to_regclass('drizzle.__drizzle_migrations') is not null as exists`,
    );
    if (journal?.["exists"] !== true) return "empty";
    return compare(knownMigrations(), await appliedHashes(connection));
  });
}

/** What to tell the operator when the schema is not current. */
export function schemaProblem(state: Exclude<SchemaState, "current">): string {
  switch (state) {
    case "empty":
      return "The database has no Tollgate schema: run `tollgate migrate` with the same DATABASE_URL.";
    case "older":
      return "The database's schema is older than this version: run `tollgate migrate` with the same DATABASE_URL.";
    case "newer":
      return "The database's schema is newer than this version of Tollgate: start the version that made it, or a later one.";
  }
}

interface Migration {
  readonly name: string;
  readonly statements: readonly string[];
  readonly hash: string;
  /** Milliseconds since the epoch. */
  readonly when: number;
}

/** In the journal's order. */
function knownMigrations(): readonly Migration[] {
  // The same in a checkout (src/postgres) and built (dist/postgres).
  const migrationsFolder = fileURLToPath(new URL("../../migrations", import.meta.url));
  const journal = JSON.parse(readFileSync(`${migrationsFolder}/meta/_journal.json`, "utf8")) as {
    entries: { tag: string }[];
  };
  return readMigrationFiles({ migrationsFolder }).map((file, index) => ({
    name: journal.entries[index]?.tag ?? "",
    statements: file.sql,
    hash: file.hash,
    when: file.folderMillis,
  }));
}

function compare(known: readonly Migration[], applied: readonly string[]): SchemaState {
  if (applied.some((hash, index) => hash !== known[index]?.hash)) return "newer";
  if (applied.length === known.length) return "current";
  return applied.length === 0 ? "empty" : "older";
}

/** In the order in which they were applied. */
async function appliedHashes(connection: Connection): Promise<readonly string[]> {
  const rows = await rowsOf(connection, sql`select hash from drizzle.__drizzle_migrations order by id`);
  return rows.map((row) => String(row["hash"]));
}

/** As drizzle-kit makes it, so that its tools read it too. */
async function createJournal(transaction: Connection): Promise<void> {
  await transaction.execute(sql`create schema if not exists drizzle`);
  await transaction.execute(
    sql`create table if not exists drizzle.__drizzle_migrations (
      id serial primary key,
      hash text not null,
      created_at bigint
    )`,
  );
}
