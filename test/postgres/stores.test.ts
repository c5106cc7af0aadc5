import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe } from "vitest";
import { rowsOf } from "../../src/postgres/database.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { auditLogContract } from "../contract/audit-log.ts";
import { callerTokenStoreContract } from "../contract/caller-token-store.ts";
import { changeFeedContract } from "../contract/change-feed.ts";
import { directoryStoreContract } from "../contract/directory-store.ts";
import { keyStoreContract } from "../contract/key-store.ts";
import { soon } from "../contract/records.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";

let testDatabase: TestDatabase;
let database: PostgresDatabase;
let stores: Stores;

beforeAll(async () => {
  testDatabase = await createDatabase();
  database = createPostgresDatabase(testDatabase.url);
  await migrate(database, soon());
  stores = createStores(database);
});

afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

describe("keys in Postgres", () => keyStoreContract(() => stores.keys));
describe("the directory in Postgres", () => directoryStoreContract(() => stores));
describe("caller tokens in Postgres", () => callerTokenStoreContract(() => stores.callerTokens));
describe("the change feed in Postgres", () => changeFeedContract(() => stores));
describe("the audit log in Postgres", () =>
  auditLogContract(
    () => stores.audit,
    (callerId) =>
      database.run(soon(), (connection) =>
        rowsOf(
          connection,
          sql`select caller_id, actor_user_id, action, detail from audit_log where caller_id = ${callerId} order by id`,
        ),
      ),
  ));
