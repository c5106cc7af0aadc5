import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Footing, RightsReads } from "../../src/core/ports.ts";
import type { KeyRecord } from "../../src/core/records.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { audit, keyRecord, memberFields, soon, unique, workspaceFields } from "../contract/records.ts";
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

const putWorkspace = (directory: string, workspaceId: string, plan: string) =>
  stores.directory.putWorkspace(
    { directory, workspaceId },
    { sourceVersion: 0n, next: () => workspaceFields({ plan }), audit, deadline: soon() },
  );
const putMember = (directory: string, workspaceId: string, role: string) =>
  stores.directory.putMember(
    { directory, workspaceId, userId: "u" },
    { sourceVersion: 0n, next: () => memberFields({ role }), audit, deadline: soon() },
  );

/** A replica under a lease, and a key whose owner is in the workspaces "w" and "v". */
async function startWorld(options: Parameters<typeof createTestReplica>[1] = {}) {
  const hits: string[] = [];
  const replica = createTestReplica(stores, {
    onAccess: (kind) => (outcome) => void hits.push(`${kind} ${outcome}`),
    ...options,
  });
  const directory = unique("d");
  for (const workspaceId of ["w", "v"]) {
    await putWorkspace(directory, workspaceId, "pro");
    await putMember(directory, workspaceId, "owner");
  }
  await replica.rights.renew();
  const key = keyRecord({});
  const footing = async (workspaceId = "w", rights: RightsReads = replica.rights) =>
    rights.footing(key, { directory, workspaceId, userId: "u" }, soon());
  /** What it says, and how many records were read for it. */
  const ask = async (workspaceId = "w") => {
    const before = replica.reads();
    const { workspace, member } = await footing(workspaceId);
    return { plan: workspace?.plan, role: member?.role, reads: replica.reads() - before };
  };
  /** Read, and then kept. */
  const stand = async () => {
    await ask();
    await ask();
  };
  return { ...replica, directory, key, footing, ask, stand, hits };
}

describe("a key's footing", () => {
  test("is at hand, the same object and without a read, as long as nothing changes", async () => {
    const { rights, key, directory, footing, ask, hits } = await startWorld();
    expect(await ask()).toEqual({ plan: "pro", role: "owner", reads: 2 });
    const first = await footing();
    hits.splice(0);
    const second = rights.footing(key, { directory, workspaceId: "w", userId: "u" }, soon());
    expect(second).toBe(first);
    expect(hits).toEqual(["workspace hit", "member hit"]);
  });

  test("that lacks a member counts one use of its workspace for each time that it is asked for", async () => {
    const { rights, key, directory, hits } = await startWorld();
    const stranger = { directory, workspaceId: "w", userId: "nobody" };
    for (let round = 0; round < 3; round++) await rights.footing(key, stranger, soon());
    expect(hits).toEqual([
      "workspace miss",
      "member miss",
      ...["workspace hit", "member hit"],
      ...["workspace hit", "member hit"],
    ]);
  });

  test("is of the place that is asked for", async () => {
    const { rights, key, directory, footing, ask } = await startWorld();
    await putWorkspace(directory, "v", "free");
    await rights.renew();
    expect(await ask()).toMatchObject({ plan: "pro" });
    expect(await ask("v")).toMatchObject({ plan: "free", role: "owner" });
    expect(await ask()).toEqual({ plan: "pro", role: "owner", reads: 0 });
    expect(await footing("nowhere")).toEqual({ workspace: undefined, member: undefined });
    const without = { directory, workspaceId: "w", userId: "" };
    expect(rights.footing(key, without, soon())).toMatchObject({
      workspace: { plan: "pro" },
      member: undefined,
    });
    const none = { directory, workspaceId: "", userId: "" };
    expect(rights.footing(key, none, soon())).toMatchObject({ workspace: undefined, member: undefined });
  });

  test.each([
    [
      "workspace",
      (directory: string) => putWorkspace(directory, "w", "free"),
      { plan: "free", role: "owner" },
    ],
    ["member", (directory: string) => putMember(directory, "w", "reader"), { plan: "pro", role: "reader" }],
  ])("is another once its %s has changed", async (_, change, expected) => {
    const { rights, directory, ask, stand } = await startWorld();
    await stand();
    await change(directory);
    await rights.renew();
    expect(await ask()).toEqual({ ...expected, reads: 1 });
    expect(await ask()).toEqual({ ...expected, reads: 0 });
  });

  test("ends with its member and with its workspace", async () => {
    const { rights, directory, ask, stand } = await startWorld();
    await stand();
    await stores.directory.removeMember(
      { directory, workspaceId: "w", userId: "u" },
      { sourceVersion: 0n, audit, deadline: soon() },
    );
    await rights.renew();
    expect(await ask()).toMatchObject({ plan: "pro", role: undefined });
    rights.forgetWorkspace(directory, "w");
    expect(await ask()).toMatchObject({ plan: "pro", reads: 1 });
  });

  test("of records that a full cache has dropped is looked up: no change would reach it", async () => {
    const { rights, directory, ask, stand } = await startWorld({ limits: { workspaces: 1 } });
    await stand();
    await rights.workspace(directory, "v", soon());
    await putWorkspace(directory, "w", "free");
    await rights.renew();
    expect(await ask()).toEqual({ plan: "free", role: "owner", reads: 1 });
  });

  test("keeps its records among those in use", async () => {
    const { rights, clock, directory, ask, stand } = await startWorld({ limits: { workspaces: 2 } });
    await stand();
    await rights.workspace(directory, "v", soon());
    for (let second = 0; second < 20; second++) {
      clock.pass(500);
      await rights.renew();
      await ask();
    }
    await rights.workspace(directory, "nowhere", soon());
    await putWorkspace(directory, "u", "pro");
    await rights.renew();
    await rights.workspace(directory, "u", soon());
    expect(await ask()).toEqual({ plan: "pro", role: "owner", reads: 0 });
  });

  test("is read each time without a lease", async () => {
    const { clock, ask, stand } = await startWorld();
    await stand();
    clock.pass(1000);
    expect(await ask()).toEqual({ plan: "pro", role: "owner", reads: 2 });
    expect(await ask()).toEqual({ plan: "pro", role: "owner", reads: 2 });
  });

  test("within a grace is the one from before, marked as such", async () => {
    const { rights, clock, footing, reads } = await startWorld({ graceMs: () => 30_000 });
    await footing();
    const before: Footing = await footing();
    clock.pass(1000);
    const grace = { ms: 30_000, isUsed: false };
    const readsBefore = reads();
    expect(await footing("w", rights.within(grace))).toBe(before);
    expect([reads() - readsBefore, grace.isUsed]).toEqual([0, true]);
  });

  test("of records that are larger than a key's own is not kept with the key, and is at hand all the same", async () => {
    const { rights, key, directory, footing, ask } = await startWorld();
    const locationIds = Array.from({ length: 1000 }, (_, index) => `location-${index}`);
    await stores.directory.putMember(
      { directory, workspaceId: "w", userId: "u" },
      {
        sourceVersion: 0n,
        next: () => memberFields({ role: "owner", allLocations: false, locationIds }),
        audit,
        deadline: soon(),
      },
    );
    await rights.renew();
    await ask();
    const first = await footing();
    const second = rights.footing(key, { directory, workspaceId: "w", userId: "u" }, soon());
    expect(second).toMatchObject({ workspace: { plan: "pro" }, member: { locationIds } });
    expect(second).not.toBe(first);
  });

  test("of one key is not another's", async () => {
    const { rights, directory, footing } = await startWorld();
    await footing();
    const first = await footing();
    const other: KeyRecord = keyRecord({});
    const second = await rights.footing(other, { directory, workspaceId: "w", userId: "u" }, soon());
    expect(second.member).toBe(first.member);
    expect(second).not.toBe(first);
  });
});
