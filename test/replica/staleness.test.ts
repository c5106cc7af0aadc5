import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { audit, keyRecord, soon } from "../contract/records.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { createTestReplica } from "./test-replica.ts";

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

type Event =
  | { readonly kind: "write"; readonly replica: 0 | 1 }
  | { readonly kind: "read"; readonly replica: 0 | 1 }
  /** Begun, and answered by the store; its answer arrives with "settle". */
  | { readonly kind: "begin read"; readonly replica: 0 | 1 }
  | { readonly kind: "settle"; readonly replica: 0 | 1 }
  /** Time passes, and some replicas renew. */
  | { readonly kind: "pass"; readonly ms: number; readonly renewing: readonly number[] };

const replica = fc.constantFrom(0 as const, 1 as const);
const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ kind: fc.constant("write" as const), replica }),
  fc.record({ kind: fc.constant("read" as const), replica }),
  fc.record({ kind: fc.constant("begin read" as const), replica }),
  { arbitrary: fc.record({ kind: fc.constant("settle" as const), replica }), weight: 2 },
  {
    arbitrary: fc.record({
      kind: fc.constant("pass" as const),
      ms: fc.constantFrom(400, 600, 600, 1000),
      renewing: fc.constantFrom([0, 1], [0, 1], [0, 1], [0], [1], []),
    }),
    weight: 3,
  },
);

test("whatever happens, a read is never older than a second, nor than the replica's own writes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 10, maxLength: 40, size: "max" }), async (events) => {
      const key = keyRecord();
      await stores.keys.create(key, { claim: undefined, audit, deadline: soon() });
      const replicas = [createTestReplica(stores), createTestReplica(stores)] as const;
      const held = replicas.map(() => [] as { letGo: () => void }[]);
      const reading: Promise<unknown>[] = [];
      let nowMs = 0;
      let revision = 1;
      const stale: unknown[] = [];
      const writes = [{ revision, atMs: nowMs, by: -1 }];
      const oldestAllowed = (index: number) =>
        Math.max(
          ...writes
            .filter(({ atMs, by }) => by === index || by === -1 || atMs <= nowMs - 1000)
            .map((written) => written.revision),
        );
      const read = async (index: 0 | 1) => {
        // It would wait for the reads that are held.
        if (held[index]?.length !== 0) return;
        const oldest = oldestAllowed(index);
        const found = await replicas[index].rights.keyByDigest(key.digest, soon());
        if ((found?.revision ?? 0) < oldest) stale.push({ read: found?.revision, oldest });
      };
      for (const each of events) {
        if (each.kind === "pass") {
          nowMs += each.ms;
          for (const { clock } of replicas) clock.pass(each.ms);
          for (const index of each.renewing) await replicas[index]?.rights.renew();
          await read(0);
          await read(1);
          continue;
        }
        const { rights, stores: own, holdReads } = replicas[each.replica];
        if (each.kind === "write") {
          const written = await own.keys.update(key.id, {
            revision,
            patch: { name: `revision ${revision + 1}` },
            claim: undefined,
            audit,
            deadline: soon(),
          });
          if (typeof written === "string") throw new Error(`the write was refused: ${written}`);
          writes.push({ revision: ++revision, atMs: nowMs, by: each.replica });
        } else if (each.kind === "begin read") {
          const hold = holdReads();
          reading.push(Promise.resolve(rights.keyByDigest(key.digest, soon())));
          hold.noMore();
          held[each.replica]?.push(hold);
        } else if (each.kind === "settle") {
          for (const hold of held[each.replica]?.splice(0) ?? []) hold.letGo();
          await new Promise(setImmediate);
        } else await read(each.replica);
      }
      for (const hold of held.flat()) hold.letGo();
      await Promise.all(reading);
      expect(stale).toEqual([]);
    }),
    { numRuns: 25 },
  );
});
