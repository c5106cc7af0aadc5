import { sql } from "drizzle-orm";
import postgres from "postgres";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { audit, keyRecord, soon, unique } from "../contract/records.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";

let testDatabase: TestDatabase;
let database: PostgresDatabase;
let stores: Stores;

beforeEach(async () => {
  testDatabase = await createDatabase();
  database = createPostgresDatabase(testDatabase.url);
  await migrate(database, soon());
  stores = createStores(database);
});

afterEach(async () => {
  await database.close();
  await testDatabase.drop();
});

const createKey = () => stores.keys.create(keyRecord(), { claim: undefined, audit, deadline: soon() });
const execute = (statement: ReturnType<typeof sql>) =>
  database.run(soon(), (connection) => connection.execute(statement));

test("each change is notified with its number, once it is committed", async () => {
  const listener = postgres(testDatabase.url, { max: 1, onnotice: () => {} });
  onTestFinished(() => listener.end());
  const heard: string[] = [];
  await listener.listen("tollgate_changes", (payload) => heard.push(payload));
  await createKey();
  await createKey();
  await expect.poll(() => heard).toEqual(["1", "2"]);
});

test("old changes are pruned by a renewal, whole numbers from below, and reading them is a gap", async () => {
  for (let made = 0; made < 4; made++) await createKey();
  await execute(sql`insert into changes (number, part, change) values (2, 2, '{}')`);
  await execute(
    sql`update changes set time = now() - interval '11 minutes' where number < 2 or (number = 2 and part = 1)`,
  );
  const replica = { id: unique("replica"), applied: 0n, policies: {} };
  expect((await stores.feed.renew(replica, soon())).highest).toBe(4n);
  expect(await stores.feed.read(0n, 4n, soon())).toBe("gap");
  expect(await stores.feed.read(1n, 4n, soon())).toBe("gap");
  expect(await stores.feed.read(2n, 4n, soon())).toHaveLength(2);
});

test("a replica that has not renewed for ten seconds is not counted", async () => {
  const [dead, alive] = [unique("replica"), unique("replica")];
  await stores.feed.renew({ id: dead, applied: 0n, policies: {} }, soon());
  await execute(sql`update replicas set renew_time = now() - interval '11 seconds'`);
  expect(await stores.feed.renew({ id: alive, applied: 3n, policies: { a: "b" } }, soon())).toMatchObject({
    liveReplicas: 1,
  });
  const rows = await database.run(soon(), (connection) =>
    connection.execute(sql`select id, applied::text, policies from replicas where id = ${alive}`),
  );
  expect(rows).toEqual([{ id: alive, applied: "3", policies: { a: "b" } }]);
});

test("every write has its audit entry, and a write that fails has none", async () => {
  await createKey();
  await expect(
    stores.directory.putWorkspace(
      { directory: "d", workspaceId: "w" },
      {
        sourceVersion: 0n,
        next: () => {
          throw new Error("refused");
        },
        audit,
        deadline: soon(),
      },
    ),
  ).rejects.toThrow("refused");
  const rows = await database.run(soon(), (connection) =>
    connection.execute(sql`select caller_id, actor_user_id, action, detail from audit_log`),
  );
  expect(rows).toEqual([
    { caller_id: "ct_test", actor_user_id: "user-1", action: "test", detail: audit.detail },
  ]);
});
