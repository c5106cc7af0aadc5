import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sql } from "drizzle-orm";
import { readMigrationFiles } from "drizzle-orm/migrator";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { rowsOf } from "../../src/postgres/database.ts";
import { migrate, schemaProblem, schemaState } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { soon } from "../contract/records.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";

const folder = new URL("../../migrations/", import.meta.url);
const journal = JSON.parse(readFileSync(new URL("meta/_journal.json", folder), "utf8")) as {
  entries: { idx: number; tag: string; when: number }[];
};
const last = journal.entries.at(-1)?.tag;

let testDatabase: TestDatabase;
let database: PostgresDatabase;

beforeEach(async () => {
  testDatabase = await createDatabase();
  database = createPostgresDatabase(testDatabase.url);
});

afterEach(async () => {
  await database.close();
  await testDatabase.drop();
});

const execute = (statement: string) =>
  database.run(soon(), (connection) => connection.execute(sql.raw(statement)));
const tables = () =>
  database.run(soon(), (connection) =>
    rowsOf(connection, sql`select table_name from information_schema.tables where table_schema = 'public'`),
  );

describe("migrate", () => {
  test("brings an empty database up to date, and does nothing the second time", async () => {
    expect(await schemaState(database, soon())).toBe("empty");
    expect(await migrate(database, soon())).toEqual({
      applied: journal.entries.length,
      from: "empty",
      to: last,
    });
    expect(await schemaState(database, soon())).toBe("current");
    expect(await migrate(database, soon())).toEqual({ applied: 0, from: last, to: last });
  });

  test("twenty at once do the work once, and all succeed", async () => {
    const databases = Array.from({ length: 20 }, () =>
      createPostgresDatabase(testDatabase.url, { connections: 1 }),
    );
    try {
      const results = await Promise.all(databases.map((each) => migrate(each, soon())));
      const applied = results.map((result) => result.applied).filter((count) => count > 0);
      expect(applied).toEqual([journal.entries.length]);
      expect(await schemaState(database, soon())).toBe("current");
    } finally {
      await Promise.all(databases.map((each) => each.close()));
    }
  });

  test("applies what an older version lacks, and only that", async () => {
    const [first] = readMigrationFiles({ migrationsFolder: fileURLToPath(folder) });
    for (const statement of first?.sql ?? []) await execute(statement);
    await execute("create schema drizzle");
    await execute("create table drizzle.__drizzle_migrations (id serial, hash text, created_at bigint)");
    await execute(`insert into drizzle.__drizzle_migrations (hash) values ('${first?.hash}')`);
    expect(await schemaState(database, soon())).toBe("older");
    expect(await migrate(database, soon())).toEqual({
      applied: journal.entries.length - 1,
      from: journal.entries[0]?.tag,
      to: last,
    });
    expect(await schemaState(database, soon())).toBe("current");
  });

  test("leaves nothing behind when a migration fails", async () => {
    await execute("create table keys (id int)");
    await expect(migrate(database, soon())).rejects.toMatchObject({
      name: "TollgateError",
      code: "internal",
    });
    expect(await schemaState(database, soon())).toBe("empty");
    expect(await tables()).toEqual([{ table_name: "keys" }]);
  });

  test("refuses a schema with migrations that it does not know, and changes nothing", async () => {
    await migrate(database, soon());
    await execute("insert into drizzle.__drizzle_migrations (hash, created_at) values ('future', 1)");
    expect(await schemaState(database, soon())).toBe("newer");
    await expect(migrate(database, soon())).rejects.toMatchObject({
      code: "failed_precondition",
      reason: "SCHEMA_NEWER",
      message: schemaProblem("newer"),
    });
  });

  test("a database that only another application uses is empty", async () => {
    await execute("create table theirs (id int)");
    expect(await schemaState(database, soon())).toBe("empty");
  });
});

describe("the journal", () => {
  test("is in order of time: drizzle's own tools skip a migration older than the newest applied", () => {
    const times = journal.entries.map(({ when }) => when);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(new Set(times).size).toBe(times.length);
    expect(journal.entries.map(({ idx }) => idx)).toEqual(journal.entries.map((_, index) => index));
  });

  test("names every SQL file, and no other", () => {
    const files = readdirSync(folder).filter((name) => name.endsWith(".sql"));
    expect(files.sort()).toEqual(journal.entries.map(({ tag }) => `${tag}.sql`).sort());
  });
});
