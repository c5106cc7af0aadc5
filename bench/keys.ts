import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { newId, newSecret, secretDigest, secretPreview } from "../src/core/secret.ts";
import { keys, members, workspaces } from "../src/postgres/schema.ts";

/** Rows of one INSERT: below the 65,535 parameters that Postgres takes. */
const rowsPerInsert = 1000;

export interface BenchKey {
  readonly id: string;
  readonly secret: string;
}

export function newKeys(count: number): BenchKey[] {
  return Array.from({ length: count }, () => ({ id: newId("key_"), secret: newSecret("retrac_") }));
}

/**
 * Fills a migrated, empty database with restricted Retrac keys, each of an owner in a workspace of its own.
 * By SQL, since what is measured is Check and not CreateKey.
 */
export async function insertKeys(databaseUrl: string, made: readonly BenchKey[]): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1 });
  try {
    const db = drizzle(sql);
    for (let from = 0; from < made.length; from += rowsPerInsert) {
      const batch = made
        .slice(from, from + rowsPerInsert)
        .map((key, index) => ({ key, number: from + index }));
      await db.insert(workspaces).values(batch.map(({ number }) => workspaceRow(number)));
      await db.insert(members).values(batch.map(({ number }) => memberRow(number)));
      await db.insert(keys).values(batch.map(({ key, number }) => keyRow(key, number)));
    }
    await sql`ANALYZE`;
  } finally {
    await sql.end();
  }
}

function workspaceRow(number: number): typeof workspaces.$inferInsert {
  return {
    directory: "retrac",
    id: `workspace-${number}`,
    name: `Workspace ${number}`,
    plan: "business",
    features: [],
    withheldScopes: [],
    suspended: false,
    sourceVersion: 0n,
    revision: 1,
  };
}

function memberRow(number: number): typeof members.$inferInsert {
  return {
    directory: "retrac",
    workspaceId: `workspace-${number}`,
    userId: `user-${number}`,
    role: "owner",
    allLocations: true,
    locationIds: [],
    removed: false,
    sourceVersion: 0n,
    revision: 1,
  };
}

function keyRow({ id, secret }: BenchKey, number: number): typeof keys.$inferInsert {
  return {
    id,
    api: "retrac",
    type: "restricted",
    environment: "live",
    workspaceId: `workspace-${number}`,
    userId: `user-${number}`,
    createdBy: `user-${number}`,
    role: "",
    name: "benchmark",
    description: "",
    scopes: ["apis.all"],
    preview: secretPreview(secret, "retrac_"),
    disabled: false,
    metadata: {},
    allowedCidrs: [],
    createTimeMs: Date.now(),
    revokeReason: "",
    digest: secretDigest(secret),
    revision: 1,
  };
}
