import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe } from "vitest";
import { type EmbeddedDatabase, openEmbedded } from "../../src/embedded/pglite.ts";
import { rowsOf } from "../../src/postgres/database.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { auditLogContract } from "../contract/audit-log.ts";
import { callerTokenStoreContract } from "../contract/caller-token-store.ts";
import { changeFeedContract } from "../contract/change-feed.ts";
import { directoryStoreContract } from "../contract/directory-store.ts";
import { keyStoreContract } from "../contract/key-store.ts";
import { soon } from "../contract/records.ts";

let folder: string;
let database: EmbeddedDatabase;
let stores: Stores;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "tollgate-embedded-"));
  database = await openEmbedded(folder, {
    prepare: async (opened) => {
      await migrate(opened, soon());
    },
  });
  stores = createStores(database);
});

afterAll(async () => {
  await database.close();
  rmSync(folder, { recursive: true });
});

describe("embedded keys", () => keyStoreContract(() => stores.keys));
describe("the embedded directory", () => directoryStoreContract(() => stores));
describe("embedded caller tokens", () => callerTokenStoreContract(() => stores.callerTokens));
describe("the embedded change feed", () => changeFeedContract(() => stores));
describe("the embedded audit log", () =>
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
