import { readFileSync } from "node:fs";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CallerTokens } from "../../src/core/caller-tokens.ts";
import type { Directory } from "../../src/core/directory.ts";
import { createKeys } from "../../src/core/keys.ts";
import { createPolicySet } from "../../src/core/policy-set.ts";
import type { KeyRecord } from "../../src/core/records.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { rowsOf } from "../../src/postgres/database.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { withAcknowledgements } from "../../src/replica/acknowledged-writes.ts";
import { audit, keyRecord, soon, unique } from "../contract/records.ts";
import { admin } from "../core/world.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { inRepository } from "../support/repository.ts";
import { createTestReplica, type TestReplica } from "./test-replica.ts";

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

async function createKeysOf(createdBy: string, count: number): Promise<readonly KeyRecord[]> {
  const keys = Array.from({ length: count }, () => keyRecord({ createdBy, workspaceId: "w" }));
  for (const key of keys) await stores.keys.create(key, { claim: undefined, audit, deadline: soon() });
  return keys;
}

const revoked = ({ rights }: TestReplica, keys: readonly KeyRecord[]) =>
  Promise.all(
    keys.map(async (key) => [
      (await rights.keyByDigest(key.digest, soon()))?.revokeTimeMs,
      (await rights.keyById(key.id, soon()))?.revokeTimeMs,
    ]),
  );

const revokeAll = (ids: readonly string[], through: Pick<Stores, "keys"> = stores) =>
  through.keys.revokeAll(ids, { nowMs: 5, reason: "left", auditOf: () => audit, deadline: soon() });

/** The call, on a replica, as the app puts it together. */
function revokeKeysOf(replica: Pick<TestReplica, "stores">, everywhere: () => Promise<void>) {
  const file = inRepository("policies", "retrac.yaml");
  const parsed = parsePolicy(readFileSync(file, "utf8"), file);
  if ("problems" in parsed) throw new Error(`${file} is not valid`);
  const policies = createPolicySet([parsed.policy]);
  const { keys } = withAcknowledgements(
    {
      keys: createKeys({ policies: () => policies, ...replica.stores, nowMs: () => 5, forget: () => {} }),
      directory: {} as Directory,
      callerTokens: {} as CallerTokens,
    },
    { everywhere },
  );
  return (userId: string) => {
    const input = { api: "retrac", workspaceId: "", userId, reason: "left", actorUserId: "" };
    return keys.revokeAll(input, admin, soon());
  };
}

test("keys that are revoked together are one change, which every replica applies as a whole", async () => {
  const keys = await createKeysOf(unique("u"), 3);
  const [other] = await createKeysOf(unique("u"), 1);
  const reader = createTestReplica(stores);
  await reader.rights.renew();
  const live = [
    [undefined, undefined],
    [undefined, undefined],
    [undefined, undefined],
  ];
  expect(await revoked(reader, keys)).toEqual(live);
  expect(await revoked(reader, [other as KeyRecord])).toEqual([[undefined, undefined]]);
  const { highest } = await stores.feed.replicas(soon());
  const written = await revokeAll(keys.map(({ id }) => id));
  expect(written.change).toBe(highest + 1n);
  expect(await stores.feed.read(highest, written.change, soon())).toHaveLength(3);
  expect(await revoked(reader, keys)).toEqual(live);
  await reader.rights.renew();
  expect(await revoked(reader, keys)).toEqual([
    [5, 5],
    [5, 5],
    [5, 5],
  ]);
});

test.each([
  ["has answered", undefined],
  ["was made and its answer lost", new Error("the answer was lost")],
])("this replica uses none of them once its write %s", async (_, lost) => {
  const keys = await createKeysOf(unique("u"), 2);
  const losing: Stores["keys"] = {
    ...stores.keys,
    async revokeAll(...args) {
      const written = await stores.keys.revokeAll(...args);
      if (lost !== undefined) throw lost;
      return written;
    },
  };
  const writer = createTestReplica({ ...stores, keys: losing });
  await writer.rights.renew();
  const live = [
    [undefined, undefined],
    [undefined, undefined],
  ];
  expect(await revoked(writer, keys)).toEqual(live);
  const [outcome] = await Promise.allSettled([
    revokeAll(
      keys.map(({ id }) => id),
      writer.stores,
    ),
  ]);
  expect(outcome).toMatchObject(lost === undefined ? { status: "fulfilled" } : { reason: lost });
  expect(await revoked(writer, keys)).toEqual([
    [5, 5],
    [5, 5],
  ]);
});

test("the call waits once for all replicas, after all of its keys are revoked; so does a repeat", async () => {
  const userId = unique("u");
  const keys = await createKeysOf(userId, 3);
  const revokedWhenWaiting: number[] = [];
  const everywhere = async () => {
    const left = await stores.keys.listUnrevoked(
      { api: "retrac", workspaceId: "", createdBy: userId },
      9,
      soon(),
    );
    revokedWhenWaiting.push(3 - left.length);
  };
  const revokeKeys = revokeKeysOf({ stores }, everywhere);
  const ids = keys.map(({ id }) => id).sort();
  expect(await revokeKeys(userId)).toEqual({ keyIds: ids, more: false });
  expect(revokedWhenWaiting).toEqual([3]);
  expect(await revokeKeys(userId)).toEqual({ keyIds: [], more: false });
  expect(revokedWhenWaiting).toEqual([3, 3]);
});

test("the call is not answered when some replica may not know yet", async () => {
  const userId = unique("u");
  await createKeysOf(userId, 1);
  const notYet = new Error("not acknowledged");
  const revokeKeys = revokeKeysOf({ stores }, () => Promise.reject(notYet));
  await expect(revokeKeys(userId)).rejects.toBe(notYet);
});

test("one entry of the audit log names who asked, for what, and every key that was ended", async () => {
  const userId = unique("u");
  const keys = await createKeysOf(userId, 2);
  await revokeKeysOf({ stores }, async () => {})(userId);
  const entries = await database.run(soon(), (connection) =>
    rowsOf(
      connection,
      sql`select caller_id, actor_user_id, action, detail from audit_log where detail ->> 'user_id' = ${userId}`,
    ),
  );
  expect(entries).toEqual([
    {
      caller_id: admin.id,
      actor_user_id: "",
      action: "key.revoke_all",
      detail: {
        api: "retrac",
        workspace_id: "",
        user_id: userId,
        key_ids: keys.map(({ id }) => id).sort(),
      },
    },
  ]);
});
