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
 * Fills a migrated, empty database with restricted Retrac keys, so many of the owner of each workspace.
 * By SQL, since what is measured is Check and not CreateKey.
 */
export async function insertKeys(
  databaseUrl: string,
  made: readonly BenchKey[],
  { keysPerWorkspace }: { keysPerWorkspace: number },
): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1 });
  try {
    const db = drizzle(sql);
    const owners = Array.from({ length: Math.ceil(made.length / keysPerWorkspace) }, (_, number) => number);
    for (const batch of batchesOf(owners)) {
      await db.insert(workspaces).values(batch.map(workspaceRow));
      await db.insert(members).values(batch.map(memberRow));
    }
    const rows = made.map((key, index) => keyRow(key, Math.floor(index / keysPerWorkspace)));
    for (const batch of batchesOf(rows)) await db.insert(keys).values(batch);
    await sql`ANALYZE`;
  } finally {
    await sql.end();
  }
}

/** Adds keys whose secrets nobody has, in workspaces of their own. */
export async function addUnusedKeys(
  databaseUrl: string,
  { count, keysPerWorkspace }: { count: number; keysPerWorkspace: number },
): Promise<void> {
  const sql = postgres(databaseUrl, { max: 1 });
  const addLike = async (table: string, rows: number, differing: string) => {
    await sql.unsafe(`
      INSERT INTO ${table} SELECT made.*
      FROM (SELECT to_jsonb(first) AS model FROM ${table} AS first LIMIT 1) AS one,
        generate_series(0, ${rows - 1}) AS number,
        jsonb_populate_record(null::${table}, model || jsonb_build_object(${differing})) AS made`);
  };
  try {
    const owners = Math.ceil(count / keysPerWorkspace);
    await addLike("workspaces", owners, "'id', 'unused-' || number");
    await addLike("members", owners, "'workspace_id', 'unused-' || number");
    await addLike(
      "keys",
      count,
      `'id', 'key_unused_' || number, 'workspace_id', 'unused-' || number / ${keysPerWorkspace},
       'digest', encode(sha256(number::text::bytea), 'hex')`,
    );
    await sql`ANALYZE`;
  } finally {
    await sql.end();
  }
}

function batchesOf<Row>(rows: readonly Row[]): Row[][] {
  return Array.from({ length: Math.ceil(rows.length / rowsPerInsert) }, (_, batch) =>
    rows.slice(batch * rowsPerInsert, (batch + 1) * rowsPerInsert),
  );
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
