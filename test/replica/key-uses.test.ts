import { afterEach, beforeEach, expect, test } from "vitest";
import type { KeyUse } from "../../src/core/ports.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { createKeyUses, type KeyUsesOptions } from "../../src/replica/key-uses.ts";
import { audit, keyRecord, soon } from "../contract/records.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";

let testDatabase: TestDatabase;
let database: PostgresDatabase;
let stores: Stores;
let batches: (readonly KeyUse[])[];
let failure: Error | undefined;
let failures: unknown[];

beforeEach(async () => {
  testDatabase = await createDatabase();
  database = createPostgresDatabase(testDatabase.url);
  await migrate(database, soon());
  stores = createStores(database);
  batches = [];
  failure = undefined;
  failures = [];
});

afterEach(async () => {
  await database.close();
  await testDatabase.drop();
});

const createUses = (options: Partial<KeyUsesOptions> = {}) =>
  createKeyUses(
    {
      async recordUses(uses, deadline) {
        if (failure !== undefined) throw failure;
        await stores.keys.recordUses(uses, deadline);
        batches.push(uses);
      },
    },
    { onFlushFailed: (error) => failures.push(error), ...options },
  );

const create = async () => {
  const key = keyRecord();
  await stores.keys.create(key, { claim: undefined, audit, deadline: soon() });
  return key;
};

test("of many uses the latest of each secret is written, in one batch", async () => {
  const uses = createUses();
  const key = await create();
  for (const timeMs of [5, 9, 7]) uses.record({ keyId: key.id, secret: "current", timeMs });
  uses.record({ keyId: key.id, secret: "previous", timeMs: 3 });
  await uses.flush();
  expect(batches).toHaveLength(1);
  expect(await stores.keys.get(key.id, soon())).toMatchObject({
    lastUseTimeMs: 9,
    previousLastUseTimeMs: 3,
  });
  await uses.flush();
  expect(batches).toHaveLength(1);
});

test("what could not be written waits for the next flush, and later uses are not lowered by it", async () => {
  const uses = createUses();
  const key = await create();
  uses.record({ keyId: key.id, secret: "current", timeMs: 5 });
  failure = new Error("no database");
  const failing = uses.flush();
  await expect(failing).rejects.toBe(failure);
  uses.record({ keyId: key.id, secret: "current", timeMs: 4 });
  failure = undefined;
  await uses.flush();
  expect(await stores.keys.get(key.id, soon())).toMatchObject({ lastUseTimeMs: 5 });
});

test("it flushes by itself, goes on after a failure, and once more when it stops", async () => {
  const uses = createUses({ flushEveryMs: 10 });
  const key = await create();
  uses.start();
  failure = new Error("no database");
  uses.record({ keyId: key.id, secret: "current", timeMs: 5 });
  await expect.poll(() => failures).toContain(failure);
  failure = undefined;
  await expect.poll(async () => (await stores.keys.get(key.id, soon()))?.lastUseTimeMs).toBe(5);
  uses.record({ keyId: key.id, secret: "current", timeMs: 6 });
  await uses.stop(soon());
  expect(await stores.keys.get(key.id, soon())).toMatchObject({ lastUseTimeMs: 6 });
});

test("no more wait than the bound, and those that wait are still raised", async () => {
  const uses = createUses({ maxWaiting: 2 });
  const keys = [await create(), await create(), await create()];
  for (const { id } of keys) uses.record({ keyId: id, secret: "current", timeMs: 5 });
  uses.record({ keyId: keys[0]?.id ?? "", secret: "current", timeMs: 8 });
  await uses.flush();
  const times = await Promise.all(
    keys.map(async ({ id }) => (await stores.keys.get(id, soon()))?.lastUseTimeMs),
  );
  expect(times).toEqual([8, 5, undefined]);
});

test("many uses are written in batches", async () => {
  const uses = createUses();
  for (let index = 0; index < 2500; index++) {
    uses.record({ keyId: `key_${index}`, secret: "current", timeMs: 1 });
  }
  await uses.flush();
  expect(batches.map((batch) => batch.length)).toEqual([1000, 1000, 500]);
});

test("a flush writes each use once: of keys that are used while it writes, the next one writes the later use", async () => {
  const times: number[][] = [];
  const uses = createKeyUses(
    {
      async recordUses(batch) {
        times.push(batch.map(({ timeMs }) => timeMs));
        for (const { keyId, secret, timeMs } of batch) uses.record({ keyId, secret, timeMs: timeMs + 1 });
      },
    },
    { onFlushFailed: (error) => failures.push(error) },
  );
  uses.record({ keyId: "key_1", secret: "current", timeMs: 10 });
  uses.record({ keyId: "key_2", secret: "previous", timeMs: 20 });
  await uses.flush();
  expect(times).toEqual([[10, 20]]);
  await uses.flush();
  expect(times).toEqual([
    [10, 20],
    [11, 21],
  ]);
});

test("a batch that fails keeps no other from being written, and is tried again", async () => {
  const isStuck = new Set(["key_1500"]);
  const written = new Map<string, number>();
  const uses = createKeyUses(
    {
      async recordUses(batch) {
        if (batch.some(({ keyId }) => isStuck.has(keyId))) throw new Error("a row is locked");
        for (const { keyId, timeMs } of batch) written.set(keyId, timeMs);
      },
    },
    { onFlushFailed: (error) => failures.push(error) },
  );
  for (let index = 0; index < 2500; index++) {
    uses.record({ keyId: `key_${index}`, secret: "current", timeMs: 1 });
  }
  await expect(uses.flush()).rejects.toThrow("a row is locked");
  expect(written.size).toBe(1000);
  await expect(uses.flush()).rejects.toThrow("a row is locked");
  expect(written.size).toBe(1500);
  uses.record({ keyId: "key_1500", secret: "current", timeMs: 2 });
  isStuck.clear();
  await uses.flush();
  expect(written.size).toBe(2500);
  expect([written.get("key_1499"), written.get("key_1500")]).toEqual([1, 2]);
});
