import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import postgres from "postgres";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createChangeFeed } from "../../src/postgres/change-feed.ts";
import { type Database, rowsOf } from "../../src/postgres/database.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { writeChange } from "../../src/postgres/write-change.ts";
import { audit, keyRecord, soon, unique } from "../contract/records.ts";
import { createTestReplica } from "../replica/test-replica.ts";
import {
  createDatabase,
  type PostgresServer,
  startPostgres,
  type TestDatabase,
} from "../support/postgres.ts";

/** Other tests have the machine busy meanwhile. */
const patient = { timeout: 20_000 };

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
  await expect.poll(() => heard, patient).toEqual(["1", "2"]);
});

test("old changes are pruned by a renewal, whole numbers from below, and reading them is a gap", async () => {
  for (let made = 0; made < 4; made++) await createKey();
  await execute(sql`insert into changes (number, part, change) values (2, 2, '{}')`);
  await execute(
    sql`update changes set time = now() - interval '11 minutes' where number < 2 or (number = 2 and part = 1)`,
  );
  const replica = { id: unique("replica"), applied: 0n, leaseMs: 1000, policies: {}, version: "" };
  expect((await stores.feed.renew(replica, soon())).highest).toBe(4n);
  expect(await stores.feed.read(0n, 4n, soon())).toBe("gap");
  expect(await stores.feed.read(1n, 4n, soon())).toBe("gap");
  expect(await stores.feed.read(2n, 4n, soon())).toHaveLength(2);
});

test("a replica that has not renewed for ten seconds is not counted", async () => {
  const [dead, alive] = [unique("replica"), unique("replica")];
  await createKey();
  await stores.feed.renew({ id: dead, applied: 0n, leaseMs: 1000, policies: {}, version: "" }, soon());
  await execute(sql`update replicas set renew_time = now() - interval '11 seconds'`);
  expect(
    await stores.feed.renew(
      { id: alive, applied: 1n, leaseMs: 1000, policies: { a: "b" }, version: "" },
      soon(),
    ),
  ).toMatchObject({
    liveReplicas: 1,
  });
  const rows = await database.run(soon(), (connection) =>
    connection.execute(sql`select id, applied::text, policies from replicas where id = ${alive}`),
  );
  expect(rows).toEqual([{ id: alive, applied: "1", policies: { a: "b" } }]);
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

const waitingForLocks = async () => {
  const [row] = await database.run(soon(), (connection) =>
    rowsOf(
      connection,
      sql`select count(*)::integer as count from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`,
    ),
  );
  return row?.["count"];
};

describe("a renewal and a change exclude each other", () => {
  const replica = () => ({ id: unique("replica"), applied: 0n, leaseMs: 1000, policies: {}, version: "" });

  test("a renewal that meets a change in progress waits for it, and answers its number", async () => {
    const renewing = await database.transaction(soon(), async (transaction) => {
      await writeChange(transaction, audit, [{ kind: "caller_token", digest: "d" }]);
      const renewal = stores.feed.renew(replica(), soon());
      await expect.poll(waitingForLocks, patient).toBe(1);
      return { renewal };
    });
    const { highest } = await renewing.renewal;
    expect(highest).toBe(1n);
    expect(await stores.feed.read(0n, highest, soon())).toHaveLength(1);
  });

  test("a change that meets a renewal in progress waits for it, and then finds its row", async () => {
    const state = replica();
    const { renewal, creating } = await database.transaction(soon(), async (transaction) => {
      // The same statement, in a transaction that is not over.
      const feed = createChangeFeed({
        run: (_, work) => work(transaction),
        transaction: (_, work) => work(transaction),
      });
      const renewed = await feed.renew(state, soon());
      const change = createKey();
      await expect.poll(waitingForLocks, patient).toBe(1);
      return { renewal: renewed, creating: change };
    });
    await creating;
    const report = await stores.feed.replicas(soon());
    expect(renewal.highest).toBe(0n);
    expect(report).toMatchObject({ highest: 1n, replicas: [{ id: state.id, applied: 0n }] });
  });

  test("an acknowledgement does not wait for a change in progress, nor for a renewal that does", async () => {
    const state = replica();
    await createKey();
    await stores.feed.renew(state, soon());
    const renewing = await database.transaction(soon(), async (transaction) => {
      await writeChange(transaction, audit, [{ kind: "caller_token", digest: "d" }]);
      const renewal = stores.feed.renew(state, soon());
      await expect.poll(waitingForLocks, patient).toBe(1);
      await stores.feed.acknowledge({ id: state.id, applied: 1n }, soon());
      expect((await stores.feed.replicas(soon())).replicas).toMatchObject([{ id: state.id, applied: 1n }]);
      return { renewal };
    });
    expect((await renewing.renewal).highest).toBe(2n);
  });
});

describe("with a database whose default is that no commit waits for the disk", () => {
  let server: PostgresServer;
  let own: PostgresDatabase;

  beforeEach(async () => {
    // Nothing else writes the log meanwhile: what did not wait is lost when every process is killed.
    server = await startPostgres({ settings: { synchronous_commit: "off", wal_writer_delay: "10s" } });
    own = createPostgresDatabase(server.url);
    await migrate(own, soon());
  });

  afterEach(async () => {
    await own.close();
    await server.stop();
  });

  async function reopen(): Promise<Stores> {
    await own.close();
    await server.kill();
    await server.restart();
    own = createPostgresDatabase(server.url);
    return createStores(own);
  }

  test("a change that has answered is there after Postgres was killed", async () => {
    const key = keyRecord();
    await createStores(own).keys.create(key, { claim: undefined, audit, deadline: soon() });
    const { keys, feed } = await reopen();
    expect(await keys.get(key.id, soon())).toEqual(key);
    expect((await feed.replicas(soon())).highest).toBe(1n);
  });

  test("a renewal that has answered is there after Postgres was killed", async () => {
    const state = { id: unique("replica"), applied: 0n, leaseMs: 1000, policies: {}, version: "" };
    await createStores(own).feed.renew(state, soon());
    const { feed } = await reopen();
    expect((await feed.replicas(soon())).replicas).toMatchObject([state]);
  });
});

describe("a server that follows another one", () => {
  test("renews no lease; once it took over, its timeline is another, and what was cached counts no more", async () => {
    const server = await startPostgres();
    onTestFinished(server.stop);
    let own = createPostgresDatabase(server.url);
    onTestFinished(() => own.close());
    await migrate(own, soon());
    // Through whatever connection there is, as a replica goes on with the server that took over.
    const through: Database = {
      run: (deadline, work) => own.run(deadline, work),
      transaction: (deadline, work) => own.transaction(deadline, work),
    };
    const { rights, reads, stores: replicaStores } = createTestReplica(createStores(through));
    await rights.renew();
    const key = keyRecord();
    await replicaStores.keys.create(key, { claim: undefined, audit, deadline: soon() });
    await rights.renew();
    await rights.keyByDigest(key.digest, soon());
    await rights.keyByDigest(key.digest, soon());
    expect(reads()).toBe(1);
    const [row] = await own.run(soon(), (connection) => rowsOf(connection, sql`show data_directory`));
    writeFileSync(join(String(row?.["data_directory"]), "standby.signal"), "");
    await own.close();
    // Ready, as it tells it, is a server only that takes writes.
    const tookOver = server.restart();
    own = createPostgresDatabase(server.url);
    const inRecovery = async () => {
      const [answer] = await own.run(soon(), (connection) =>
        rowsOf(connection, sql`select pg_is_in_recovery() as recovers`),
      );
      return answer?.["recovers"];
    };
    await expect.poll(() => inRecovery().catch(() => undefined), patient).toBe(true);
    await expect(rights.renew()).rejects.toMatchObject({ code: "unavailable" });
    await own.run(soon(), (connection) => connection.execute(sql`select pg_promote()`));
    await tookOver;
    await rights.renew();
    await rights.keyByDigest(key.digest, soon());
    expect(reads()).toBe(2);
  });
});

test("no statement of a change, of the wait for it or of a renewal is planned for more rows than there are", async () => {
  const server = await startPostgres({
    settings: { shared_preload_libraries: "pg_stat_statements", jit: "on" },
  });
  onTestFinished(() => server.stop());
  const own = createPostgresDatabase(server.url);
  onTestFinished(() => own.close());
  await migrate(own, soon());
  const { keys, feed } = createStores(own);
  await own.run(soon(), (connection) => connection.execute(sql`create extension pg_stat_statements`));
  const replica = { id: unique("replica"), applied: 0n, leaseMs: 1000, policies: {}, version: "" };
  await feed.renew(replica, soon());
  await keys.create(keyRecord(), { claim: undefined, audit, deadline: soon() });
  expect(await feed.read(0n, 1n, soon())).toHaveLength(1);
  await feed.acknowledge({ ...replica, applied: 1n }, soon());
  expect(await feed.replicas(soon())).toMatchObject({ highest: 1n, replicas: [{ applied: 1n }] });
  // Tables that were never analysed count as thousands of rows, and the product of two as millions: Postgres then
  // compiles the statement, each time anew, which takes some milliseconds.
  const compiled = await own.run(soon(), (connection) =>
    rowsOf(
      connection,
      sql`select query from pg_stat_statements
        where jit_functions > 0 and query ~ 'change_counter|changes|replicas' and query !~ 'pg_stat_statements'`,
    ),
  );
  expect(compiled).toEqual([]);
});
