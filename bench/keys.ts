import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { newId, newSecret, secretDigest, secretPreview } from "../src/core/secret.ts";
import { keys, members, workspaces } from "../src/postgres/schema.ts";

/** Rows of one INSERT: below the 65,535 parameters that Postgres takes. */
const rowsPerInsert = 1000;

/**
 * Fills a migrated, empty database with `count` restricted Retrac keys, each of an owner in a workspace of
 * its own, and answers their secrets. By SQL, since what is measured is Check and not CreateKey.
 */
export async function insertKeys(databaseUrl: string, count: number): Promise<string[]> {
  const secrets = Array.from({ length: count }, () => newSecret("retrac_"));
  const sql = postgres(databaseUrl, { max: 1 });
  try {
    const db = drizzle(sql);
    for (let from = 0; from < count; from += rowsPerInsert) {
      const batch = secrets
        .slice(from, from + rowsPerInsert)
        .map((secret, index) => ({ secret, number: from + index }));
      await db.insert(workspaces).values(batch.map(({ number }) => workspaceRow(number)));
      await db.insert(members).values(batch.map(({ number }) => memberRow(number)));
      await db.insert(keys).values(batch.map(({ secret, number }) => keyRow(secret, number)));
    }
    await sql`ANALYZE`;
  } finally {
    await sql.end();
  }
  return secrets;
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

function keyRow(secret: string, number: number): typeof keys.$inferInsert {
  return {
    id: newId("key_"),
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
