import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ChangeFeed, MaybePromise } from "../../src/core/ports.ts";
import type { KeyRecord } from "../../src/core/records.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { systemClock } from "../../src/replica/lease.ts";
import {
  audit,
  callerTokenRecord,
  digest,
  keyRecord,
  memberFields,
  soon,
  unique,
  workspaceFields,
} from "../contract/records.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { createTestReplica } from "./test-replica.ts";

/** Other tests have the machine busy meanwhile. */
const patient = { timeout: 20_000 };

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

const noClaim = () => ({ claim: undefined, audit, deadline: soon() });
const create = async (fields: Partial<KeyRecord> = {}, through = stores.keys) => {
  const key = keyRecord(fields);
  await through.create(key, noClaim());
  return key;
};
const rename = (id: string, revision: number, name: string, through = stores.keys) =>
  through.update(id, { revision, patch: { name }, ...noClaim() });
const putWorkspace = (directory: string, plan: string, through = stores.directory) =>
  through.putWorkspace(
    { directory, workspaceId: "w" },
    { sourceVersion: 0n, next: () => workspaceFields({ plan }), audit, deadline: soon() },
  );
const putMember = (directory: string, role: string, through = stores.directory) =>
  through.putMember(
    { directory, workspaceId: "w", userId: "u" },
    { sourceVersion: 0n, next: () => memberFields({ role }), audit, deadline: soon() },
  );

const settled = async <T>(value: MaybePromise<T>): Promise<T> => value;

describe("under a lease", () => {
  test("every kind of record is read once, and then at hand without a promise", async () => {
    const { rights, reads } = createTestReplica(stores);
    await rights.renew();
    const key = await create();
    const directory = unique("d");
    await putWorkspace(directory, "pro");
    await putMember(directory, "owner");
    const token = callerTokenRecord();
    await stores.callerTokens.create(token, { audit, deadline: soon() });
    const all = () => [
      rights.keyByDigest(key.digest, soon()),
      rights.keyById(key.id, soon()),
      rights.workspace(directory, "w", soon()),
      rights.member(directory, "w", "u", soon()),
      rights.callerToken(token.digest, soon()),
    ];
    const read = await Promise.all(all().map(settled));
    expect(read).toEqual([
      key,
      key,
      expect.objectContaining({ plan: "pro" }),
      expect.objectContaining({ role: "owner" }),
      token,
    ]);
    expect(reads()).toBe(5);
    expect(all()).toEqual(read);
    expect(reads()).toBe(5);
  });

  test("many who ask for one key at once cause one read", async () => {
    const { rights, reads } = createTestReplica(stores);
    await rights.renew();
    const key = await create();
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => settled(rights.keyByDigest(key.digest, soon()))),
    );
    expect(answers).toEqual(Array(100).fill(key));
    expect(reads()).toBe(1);
  });

  test("no more records are kept than the bound", async () => {
    const { rights } = createTestReplica(stores, { limits: { keys: 2 } });
    await rights.renew();
    const keys = [await create(), await create(), await create()];
    for (const key of [...keys, ...keys]) expect(await rights.keyByDigest(key.digest, soon())).toEqual(key);
    const atHand = keys.filter(({ digest: id }) => !(rights.keyByDigest(id, soon()) instanceof Promise));
    expect(atHand).toHaveLength(2);
  });

  test("no more bytes of records are kept than the bound, and none that is larger", async () => {
    // Three tenths are for keys by digest: of 100,000 bytes, two records of 10,000 and not three.
    const { rights, reads } = createTestReplica(stores, { limits: { bytes: 100_000 } });
    await rights.renew();
    const ofBytes = (bytes: number) => create({ metadata: { note: "x".repeat(bytes) } });
    const [large, other, third] = [await ofBytes(10_000), await ofBytes(10_000), await ofBytes(10_000)];
    const read = async (key: KeyRecord) => {
      const before = reads();
      expect(await rights.keyByDigest(key.digest, soon())).toEqual(key);
      return reads() - before;
    };
    expect([await read(large), await read(other), await read(large), await read(other)]).toEqual([
      1, 1, 0, 0,
    ]);
    expect([await read(third), await read(other), await read(large)]).toEqual([1, 0, 1]);
    const larger = await ofBytes(40_000);
    expect([await read(larger), await read(larger), await read(large)]).toEqual([1, 1, 0]);
  });

  test("what another replica changed is seen after the next renewal", async () => {
    const other = createTestReplica(stores);
    const { rights } = createTestReplica(stores);
    await rights.renew();
    const key = await create();
    const directory = unique("d");
    await putWorkspace(directory, "pro");
    await putMember(directory, "owner");
    const token = callerTokenRecord();
    await stores.callerTokens.create(token, { audit, deadline: soon() });
    const all = () =>
      Promise.all([
        rights.keyByDigest(key.digest, soon()),
        rights.keyById(key.id, soon()),
        rights.workspace(directory, "w", soon()),
        rights.member(directory, "w", "u", soon()),
        rights.callerToken(token.digest, soon()),
      ]);
    const before = await all();
    await rename(key.id, 1, "changed", other.stores.keys);
    await putWorkspace(directory, "free", other.stores.directory);
    await putMember(directory, "member", other.stores.directory);
    await other.stores.callerTokens.revoke(token.id, { nowMs: 7, audit, deadline: soon() });
    expect(await all()).toEqual(before);
    await rights.renew();
    expect(await all()).toMatchObject([
      { name: "changed" },
      { name: "changed" },
      { plan: "free" },
      { role: "member" },
      { revokeTimeMs: 7 },
    ]);
  });

  test("replicas that renew by themselves see each other's changes", async () => {
    const replicas = [1, 2].map(() => createTestReplica(stores, { clock: systemClock, renewEveryMs: 20 }));
    const key = await create();
    await Promise.all(replicas.map(({ rights }) => rights.start()));
    try {
      const names = () =>
        Promise.all(replicas.map(async ({ rights }) => (await rights.keyByDigest(key.digest, soon()))?.name));
      expect(await names()).toEqual(["name", "name"]);
      await rename(key.id, 1, "changed", replicas[0]?.stores.keys);
      await expect.poll(names).toEqual(["changed", "changed"]);
      await expect.poll(() => replicas.map(({ rights }) => rights.liveReplicas() >= 2)).toEqual([true, true]);
    } finally {
      await Promise.all(replicas.map(({ rights }) => rights.stop(soon())));
    }
    expect(replicas.flatMap(({ failures }) => failures)).toEqual([]);
  });
});

describe("the lease", () => {
  test("before the first renewal every read goes to the store and nothing is kept", async () => {
    const { rights, reads } = createTestReplica(stores);
    const key = await create();
    for (let round = 0; round < 3; round++) expect(await rights.keyByDigest(key.digest, soon())).toEqual(key);
    expect(reads()).toBe(3);
    expect(rights.isLive()).toBe(false);
  });

  test("reads that were sent before the first renewal are not kept", async () => {
    const { rights, holdReads, reads } = createTestReplica(stores);
    const key = await create();
    const hold = holdReads();
    const early = [1, 2].map(() => settled(rights.keyByDigest(key.digest, soon())));
    await expect.poll(reads, patient).toBe(2);
    await rename(key.id, 1, "changed");
    await rights.renew();
    hold.letGo();
    await Promise.all(early);
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
    expect(reads()).toBe(3);
  });

  test("lasts a second from before its renewal was sent, and then every read goes to the store", async () => {
    const { rights, reads, clock } = createTestReplica(stores);
    await rights.renew();
    const key = await create();
    await rights.keyByDigest(key.digest, soon());
    await rename(key.id, 1, "changed");
    clock.pass(999);
    expect(rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "name" });
    clock.pass(1);
    for (let round = 0; round < 3; round++) {
      expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
    }
    expect(reads()).toBe(4);
  });

  test("a renewal that took long is worth what is left of it", async () => {
    const slow: ChangeFeed = {
      ...stores.feed,
      async renew(state, deadline) {
        const renewed = await stores.feed.renew(state, deadline);
        clock.pass(900);
        return renewed;
      },
    };
    const { rights, clock } = createTestReplica(stores, { feed: slow });
    await rights.renew();
    clock.pass(99);
    expect(rights.isLive()).toBe(true);
    clock.pass(1);
    expect(rights.isLive()).toBe(false);
  });

  test("is void after the machine slept", async () => {
    const { rights, clock } = createTestReplica(stores);
    await rights.renew();
    clock.suspend(500);
    expect(rights.isLive()).toBe(false);
    await rights.renew();
    expect(rights.isLive()).toBe(true);
  });

  test("runs out when renewals fail, and the store's own errors are told then", async () => {
    const down = new Error("no database");
    let isDown = false;
    const fail = async () => {
      throw down;
    };
    const feed: ChangeFeed = {
      ...stores.feed,
      renew: (...args) => (isDown ? fail() : stores.feed.renew(...args)),
    };
    const keys = {
      ...stores.keys,
      findByDigest: (...args: Parameters<Stores["keys"]["findByDigest"]>) =>
        isDown ? fail() : stores.keys.findByDigest(...args),
    };
    const { rights, clock } = createTestReplica({ ...stores, keys }, { feed });
    await rights.renew();
    const key = await create();
    await rights.keyByDigest(key.digest, soon());
    isDown = true;
    await expect(rights.renew()).rejects.toBe(down);
    expect(rights.keyByDigest(key.digest, soon())).toEqual(key);
    clock.pass(1000);
    await expect(rights.keyByDigest(key.digest, soon())).rejects.toBe(down);
    await expect(rights.renew()).rejects.toBe(down);
    isDown = false;
    await rights.renew();
    expect(await rights.keyByDigest(key.digest, soon())).toEqual(key);
  });

  test("is not extended by a renewal whose changes could not be read", async () => {
    const failure = new Error("cut off");
    const feed: ChangeFeed = {
      ...stores.feed,
      read: async () => {
        throw failure;
      },
    };
    const { rights, clock } = createTestReplica(stores, { feed });
    await rights.renew();
    const key = await create();
    clock.pass(600);
    await expect(rights.renew()).rejects.toBe(failure);
    clock.pass(400);
    expect(rights.isLive()).toBe(false);
    await rename(key.id, 1, "changed");
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
  });

  test("once it has lapsed, the next one begins with an empty cache", async () => {
    const key = await create();
    const { rights, reads, clock } = createTestReplica(stores);
    await rights.renew();
    await rights.keyByDigest(key.digest, soon());
    clock.pass(999);
    await rights.renew();
    await rights.keyByDigest(key.digest, soon());
    expect(reads()).toBe(1);
    clock.pass(1000);
    await rights.renew();
    await rights.keyByDigest(key.digest, soon());
    expect(reads()).toBe(2);
  });

  test.each([
    ["a gap in the feed", { read: async () => "gap" as const }],
    [
      "a number lower than before, as after a restore,",
      {
        renew: async (...args: Parameters<ChangeFeed["renew"]>) => {
          const renewal = await stores.feed.renew(...args);
          return { ...renewal, highest: 0n };
        },
      },
    ],
    [
      "another timeline, of a server that took over,",
      {
        renew: async (...args: Parameters<ChangeFeed["renew"]>) => {
          const renewal = await stores.feed.renew(...args);
          return { ...renewal, timeline: "00000002" };
        },
      },
    ],
    [
      "a row that was gone",
      {
        renew: async (...args: Parameters<ChangeFeed["renew"]>) => {
          await stores.feed.leave(args[0].id, soon());
          return stores.feed.renew(...args);
        },
      },
    ],
  ])("%s empties the cache", async (_, broken) => {
    let isBroken = false;
    const feed: ChangeFeed = {
      ...stores.feed,
      renew: (...args) =>
        isBroken && "renew" in broken ? broken.renew(...args) : stores.feed.renew(...args),
      read: (...args) => (isBroken && "read" in broken ? broken.read() : stores.feed.read(...args)),
    };
    const [key, untouched] = [await create(), await create()];
    const { rights, reads } = createTestReplica(stores, { feed });
    await rights.renew();
    const readBoth = async () => [
      await rights.keyByDigest(key.digest, soon()),
      await rights.keyByDigest(untouched.digest, soon()),
    ];
    await readBoth();
    await rename(key.id, 1, "changed");
    isBroken = true;
    await rights.renew();
    // Of both: what the feed tells is not what the other database has seen.
    expect(await readBoth()).toEqual([expect.objectContaining({ name: "changed" }), untouched]);
    expect(reads()).toBe(4);
  });

  test.each([
    ["lasts", 500],
    ["has lapsed", 1000],
  ])("while the one before %s: counts only once what was changed is dropped", async (_, passedMs) => {
    let letGo = (): void => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    let renewals = 0;
    const feed: ChangeFeed = {
      ...stores.feed,
      async renew(...args) {
        const renewed = await stores.feed.renew(...args);
        renewals++;
        return renewed;
      },
      async read(...args) {
        const changes = await stores.feed.read(...args);
        await held;
        return changes;
      },
    };
    const key = await create();
    const { rights, clock } = createTestReplica(stores, { feed });
    await rights.renew();
    await rights.keyByDigest(key.digest, soon());
    await rename(key.id, 1, "changed");
    clock.pass(passedMs);
    const renewing = rights.renew();
    await expect.poll(() => renewals, patient).toBe(2);
    clock.pass(1000 - passedMs);
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
    expect(rights.isLive()).toBe(false);
    letGo();
    await renewing;
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
  });

  test("ends when the replica stops, and its row goes", async () => {
    const observer = createTestReplica(stores);
    const { rights } = createTestReplica(stores);
    await rights.renew();
    await observer.rights.renew();
    const before = observer.rights.liveReplicas();
    await rights.stop(soon());
    expect(rights.isLive()).toBe(false);
    await observer.rights.renew();
    expect(observer.rights.liveReplicas()).toBe(before - 1);
  });

  test("a renewal asked for while one runs is sent after it", async () => {
    const sent: string[] = [];
    const feed: ChangeFeed = {
      ...stores.feed,
      async renew(...args) {
        sent.push("begins");
        const renewed = await stores.feed.renew(...args);
        sent.push("ends");
        return renewed;
      },
    };
    const { rights } = createTestReplica(stores, { feed });
    await Promise.all([rights.renew(), rights.renew()]);
    const running = rights.renew();
    await expect.poll(() => sent.at(-1)).toBe("begins");
    await Promise.all([running, rights.renew(), rights.renew()]);
    expect(sent).toEqual(["begins", "ends", "begins", "ends", "begins", "ends"]);
  });
});

describe("writes of this replica", () => {
  test("are seen by every read that begins after they answered", async () => {
    const { rights, stores: own } = createTestReplica(stores);
    await rights.renew();
    const unknown = digest();
    expect(await rights.keyByDigest(unknown, soon())).toBeUndefined();
    const key = await create({ digest: unknown }, own.keys);
    expect(await rights.keyByDigest(unknown, soon())).toEqual(key);
    await rights.keyById(key.id, soon());
    await rename(key.id, 1, "changed", own.keys);
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
    expect(await rights.keyById(key.id, soon())).toMatchObject({ name: "changed" });
    const directory = unique("d");
    expect(await rights.workspace(directory, "w", soon())).toBeUndefined();
    await putWorkspace(directory, "pro", own.directory);
    expect(await rights.workspace(directory, "w", soon())).toMatchObject({ plan: "pro" });
    expect(await rights.member(directory, "w", "u", soon())).toBeUndefined();
    await putMember(directory, "owner", own.directory);
    expect(await rights.member(directory, "w", "u", soon())).toMatchObject({ role: "owner" });
    await own.directory.removeMember(
      { directory, workspaceId: "w", userId: "u" },
      { sourceVersion: 0n, audit, deadline: soon() },
    );
    expect(await rights.member(directory, "w", "u", soon())).toBeUndefined();
  });

  test("after a rotation the new secret, the old one and the one before are as the store has them", async () => {
    const { rights, stores: own } = createTestReplica(stores);
    await rights.renew();
    const key = await create({ previousDigest: digest() });
    const next = digest();
    const all = () =>
      Promise.all(
        [next, key.digest, key.previousDigest].map(
          async (each) => (await rights.keyByDigest(each, soon()))?.digest,
        ),
      );
    expect(await all()).toEqual([undefined, key.digest, key.digest]);
    await own.keys.update(key.id, {
      revision: 1,
      patch: { digest: next, previousDigest: key.digest },
      ...noClaim(),
    });
    expect(await all()).toEqual([next, next, undefined]);
  });

  test("a deleted workspace takes its members and bound keys out of the cache", async () => {
    const { rights, stores: own } = createTestReplica(stores);
    await rights.renew();
    const directory = unique("d");
    await putWorkspace(directory, "pro");
    await putMember(directory, "owner");
    const key = await create({ workspaceId: "w", api: "its-api" });
    await rights.keyByDigest(key.digest, soon());
    await rights.keyById(key.id, soon());
    await rights.workspace(directory, "w", soon());
    await rights.member(directory, "w", "u", soon());
    await own.directory.deleteWorkspace(
      { directory, workspaceId: "w" },
      { apis: ["its-api"], revokeReason: "gone", nowMs: 5, audit, deadline: soon() },
    );
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ revokeTimeMs: 5 });
    expect(await rights.keyById(key.id, soon())).toMatchObject({ revokeTimeMs: 5 });
    expect(await rights.workspace(directory, "w", soon())).toBeUndefined();
    expect(await rights.member(directory, "w", "u", soon())).toBeUndefined();
  });

  test("a revoked caller token is dead at once", async () => {
    const { rights, stores: own } = createTestReplica(stores);
    await rights.renew();
    const token = callerTokenRecord();
    expect(await rights.callerToken(token.digest, soon())).toBeUndefined();
    await own.callerTokens.create(token, { audit, deadline: soon() });
    expect(await rights.callerToken(token.digest, soon())).toEqual(token);
    await own.callerTokens.revoke(token.id, { nowMs: 5, audit, deadline: soon() });
    expect(await rights.callerToken(token.digest, soon())).toMatchObject({ revokeTimeMs: 5 });
  });

  test("a write whose answer was lost is seen as well: it may have happened", async () => {
    const lost = new Error("the answer was lost");
    const keys = {
      ...stores.keys,
      async update(...args: Parameters<Stores["keys"]["update"]>) {
        await stores.keys.update(...args);
        throw lost;
      },
    };
    const { rights, stores: own } = createTestReplica({ ...stores, keys });
    await rights.renew();
    const key = await create();
    await rights.keyByDigest(key.digest, soon());
    await expect(rename(key.id, 1, "changed", own.keys)).rejects.toBe(lost);
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
  });
});

describe("a read under way while its record changes", () => {
  test.each(["this replica", "another replica"])(
    "by %s answers who waited before, and is neither kept nor joined",
    async (who) => {
      const { rights, stores: own, holdReads, reads } = createTestReplica(stores);
      await rights.renew();
      const key = await create();
      await rights.renew();
      const hold = holdReads();
      const before = rights.keyByDigest(key.digest, soon());
      await expect.poll(reads, patient).toBe(1);
      if (who === "this replica") await rename(key.id, 1, "changed", own.keys);
      else {
        await rename(key.id, 1, "changed");
        await rights.renew();
      }
      const after = rights.keyByDigest(key.digest, soon());
      expect(reads()).toBe(2);
      hold.letGo();
      expect((await before)?.id).toBe(key.id);
      expect(await after).toMatchObject({ name: "changed" });
      expect(rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
    },
  );

  test("is not kept when it ends after a later one either", async () => {
    const { rights, stores: own, holdReads, reads } = createTestReplica(stores);
    await rights.renew();
    const directory = unique("d");
    await putWorkspace(directory, "pro");
    const hold = holdReads();
    const before = rights.workspace(directory, "w", soon());
    await expect.poll(reads, patient).toBe(1);
    hold.noMore();
    await putWorkspace(directory, "free", own.directory);
    expect(await rights.workspace(directory, "w", soon())).toMatchObject({ plan: "free" });
    hold.letGo();
    await before;
    expect(rights.workspace(directory, "w", soon())).toMatchObject({ plan: "free" });
  });

  test("is not kept when the whole cache was emptied meanwhile", async () => {
    const key = await create();
    const { rights, holdReads, clock, reads } = createTestReplica(stores);
    await rights.renew();
    const hold = holdReads();
    const before = rights.keyByDigest(key.digest, soon());
    clock.pass(1000);
    await rights.renew();
    hold.letGo();
    await before;
    await rights.keyByDigest(key.digest, soon());
    expect(reads()).toBe(2);
  });
});

describe("what is not there", () => {
  test("is remembered, until another replica makes it", async () => {
    const { rights, reads } = createTestReplica(stores);
    await rights.renew();
    const key = keyRecord();
    expect(await rights.keyByDigest(key.digest, soon())).toBeUndefined();
    expect(rights.keyByDigest(key.digest, soon())).toBeUndefined();
    expect(reads()).toBe(1);
    await stores.keys.create(key, noClaim());
    await rights.renew();
    expect(await rights.keyByDigest(key.digest, soon())).toEqual(key);
  });

  test("is remembered of few, and pushes no record out", async () => {
    const { rights, reads } = createTestReplica(stores, { limits: { missing: 10, keys: 10 } });
    await rights.renew();
    const key = await create();
    await rights.keyByDigest(key.digest, soon());
    const junk = Array.from({ length: 50 }, digest);
    for (const each of junk) await rights.keyByDigest(each, soon());
    expect(rights.keyByDigest(key.digest, soon())).toEqual(key);
    expect(rights.keyByDigest(junk[49] ?? "", soon())).toBeUndefined();
    const before = reads();
    await rights.keyByDigest(junk[0] ?? "", soon());
    expect(reads()).toBe(before + 1);
  });
});

describe("a flood", () => {
  test("of made-up keys is refused beyond the bound, and keys found before are still read", async () => {
    const { rights, clock, holdReads, reads } = createTestReplica(stores, { limits: { lookups: 8 } });
    await rights.renew();
    const key = await create();
    const directory = unique("d");
    await putWorkspace(directory, "pro");
    await rights.keyByDigest(key.digest, soon());
    // With an empty cache the known key has to be read again.
    clock.pass(1000);
    await rights.renew();
    const hold = holdReads();
    const flood = Promise.allSettled(
      Array.from({ length: 100 }, async () => rights.keyByDigest(digest(), soon())),
    );
    const known = rights.keyByDigest(key.digest, soon());
    const other = rights.workspace(directory, "w", soon());
    expect(reads()).toBe(1 + 6 + 1 + 1);
    hold.letGo();
    const results = await flood;
    expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(6);
    const refused = results.filter(({ status }) => status === "rejected");
    expect(refused).toEqual(
      Array(94).fill({
        status: "rejected",
        reason: expect.objectContaining({ code: "resource_exhausted", reason: "LOOKUPS_EXHAUSTED" }),
      }),
    );
    expect(await known).toEqual(key);
    expect(await other).toMatchObject({ plan: "pro" });
  });
});

describe("deadlines", () => {
  test("each waits by his own: the impatient one fails, the patient one has the answer of the same read", async () => {
    const { rights, holdReads, reads } = createTestReplica(stores);
    await rights.renew();
    const key = await create();
    const hold = holdReads();
    const impatient = rights.keyByDigest(key.digest, performance.now() + 30);
    const patient = rights.keyByDigest(key.digest, soon());
    await expect(impatient).rejects.toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
    hold.letGo();
    expect(await patient).toEqual(key);
    expect(reads()).toBe(1);
  });
});

describe("what is announced", () => {
  test("is applied and acknowledged without a renewal", async () => {
    const { id, rights } = createTestReplica(stores);
    await rights.renew();
    const key = await create();
    await rights.keyByDigest(key.digest, soon());
    await rename(key.id, 1, "changed");
    const { highest } = await stores.feed.replicas(soon());
    rights.catchUp(highest);
    await expect
      .poll(
        async () => (await stores.feed.replicas(soon())).replicas.find((row) => row.id === id)?.applied,
        patient,
      )
      .toBe(highest);
    expect(await rights.keyByDigest(key.digest, soon())).toMatchObject({ name: "changed" });
  });

  test.each([1n, 10n ** 9n])(
    "but is not there, %d above the last change, is not taken for applied",
    async (above) => {
      const key = await create();
      const { id, rights, reads } = createTestReplica(stores);
      await rights.renew();
      await rights.keyByDigest(key.digest, soon());
      const { highest } = await stores.feed.replicas(soon());
      rights.catchUp(highest + above);
      await rights.renew();
      await expect
        .poll(
          async () => (await stores.feed.replicas(soon())).replicas.find((row) => row.id === id)?.applied,
          patient,
        )
        .toBe(highest);
      expect(rights.applied()).toBe(highest);
      await rights.keyByDigest(key.digest, soon());
      expect(reads()).toBe(1);
      await rename(key.id, 1, "changed");
      rights.catchUp(highest + 1n);
      await expect
        .poll(async () => (await rights.keyByDigest(key.digest, soon()))?.name, patient)
        .toBe("changed");
    },
  );
});

describe("within a grace", () => {
  const GRACE_MS = 30_000;

  /** A replica that has read a key, and whose renewals reach the database until `cut`. */
  async function startGraced() {
    let isCut = false;
    let graceMs = GRACE_MS;
    const renew: ChangeFeed["renew"] = async (...args) => {
      if (!isCut) return stores.feed.renew(...args);
      throw new Error("the database is gone");
    };
    const replica = createTestReplica(stores, { feed: { ...stores.feed, renew }, graceMs: () => graceMs });
    await replica.rights.renew();
    const key = await create();
    await replica.rights.renew();
    await replica.rights.keyByDigest(key.digest, soon());
    const ask = async (ms = GRACE_MS) => {
      const grace = { ms, isUsed: false };
      const readsBefore = replica.reads();
      const found = await replica.rights.within(grace).keyByDigest(key.digest, soon());
      return { name: found?.name, isUsed: grace.isUsed, reads: replica.reads() - readsBefore };
    };
    return {
      ...replica,
      key,
      ask,
      cut: () => {
        isCut = true;
      },
      mend: () => {
        isCut = false;
      },
      setGrace(ms: number) {
        graceMs = ms;
      },
    };
  }

  test("what was known is used after the lease, marked, by those whose policy says so, and until it ends", async () => {
    const { ask, clock, rights, key, reads } = await startGraced();
    expect(await ask()).toEqual({ name: "name", isUsed: false, reads: 0 });
    clock.pass(1000);
    expect(rights.isLive()).toBe(false);
    expect(await ask()).toEqual({ name: "name", isUsed: true, reads: 0 });
    const before = reads();
    await rights.keyByDigest(key.digest, soon());
    expect(reads() - before).toBe(1);
    clock.pass(4999);
    expect(await ask(5000)).toEqual({ name: "name", isUsed: true, reads: 0 });
    clock.pass(1);
    expect(await ask(5000)).toEqual({ name: "name", isUsed: false, reads: 1 });
    clock.pass(GRACE_MS - 5001);
    expect(await ask()).toEqual({ name: "name", isUsed: true, reads: 0 });
    clock.pass(1);
    expect(await ask()).toEqual({ name: "name", isUsed: false, reads: 1 });
    expect(await ask(Number.POSITIVE_INFINITY)).toEqual({ name: "name", isUsed: false, reads: 1 });
  });

  test("what is known to be nobody's, and what is not known, is read", async () => {
    const { rights, clock, reads } = await startGraced();
    const unknown = digest();
    await rights.keyByDigest(unknown, soon());
    clock.pass(1000);
    const grace = { ms: GRACE_MS, isUsed: false };
    const before = reads();
    await rights.within(grace).keyByDigest(unknown, soon());
    await rights.within(grace).keyByDigest(digest(), soon());
    expect([reads() - before, grace.isUsed]).toEqual([2, false]);
  });

  test("a suspended machine ends it", async () => {
    const { ask, clock } = await startGraced();
    clock.pass(1000);
    clock.suspend(10_000);
    expect(await ask()).toEqual({ name: "name", isUsed: false, reads: 1 });
  });

  test("what was changed meanwhile is dropped before the lease counts again, and the rest is still there", async () => {
    const { ask, clock, rights, key, cut, mend, reads } = await startGraced();
    const other = await create();
    await rights.renew();
    await rights.keyByDigest(other.digest, soon());
    cut();
    clock.pass(20_000);
    await rename(key.id, 1, "changed");
    await expect(rights.renew()).rejects.toThrow("gone");
    expect(await ask()).toEqual({ name: "name", isUsed: true, reads: 0 });
    mend();
    await rights.renew();
    const before = reads();
    expect(await settled(rights.keyByDigest(other.digest, soon()))).toEqual(other);
    expect(reads() - before).toBe(0);
    expect(await ask()).toEqual({ name: "changed", isUsed: false, reads: 1 });
  });

  test("a policy that takes it back ends it before others are told, though no answer comes", async () => {
    const { ask, clock, rights, cut, setGrace } = await startGraced();
    setGrace(2000);
    cut();
    await expect(rights.renew()).rejects.toThrow("gone");
    clock.pass(2999);
    expect(await ask()).toEqual({ name: "name", isUsed: true, reads: 0 });
    clock.pass(1);
    expect(await ask()).toEqual({ name: "name", isUsed: false, reads: 1 });
  });
});
