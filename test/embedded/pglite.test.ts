import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type EmbeddedDatabase, openEmbedded } from "../../src/embedded/pglite.ts";
import { rowsOf } from "../../src/postgres/database.ts";
import { migrate, schemaState } from "../../src/postgres/migrate.ts";
import { createStores } from "../../src/postgres/stores.ts";
import { audit, keyRecord, soon } from "../contract/records.ts";
import { startProcess } from "./start-process.ts";

let parent: string;
let folder: string;

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "tollgate-embedded-"));
  folder = join(parent, "nested", "data");
});

afterEach(() => rmSync(parent, { recursive: true }));

const inMs = (ms: number) => performance.now() + ms;
const open = (maxWaiting?: number) =>
  openEmbedded(folder, {
    prepare: async (database) => {
      await migrate(database, soon());
    },
    ...(maxWaiting === undefined ? {} : { maxWaiting }),
  });

test("what was acknowledged before kill -9 is there afterwards, and the next start takes the lock over", async () => {
  const writer = startProcess("write-keys.process.ts", folder);
  const acknowledged: string[] = [];
  while (acknowledged.length < 200) {
    const id = await writer.readLine();
    if (id === undefined) throw new Error("the writer ended");
    acknowledged.push(id);
  }
  await writer.kill();
  for (let id = await writer.readLine(); id !== undefined; id = await writer.readLine())
    acknowledged.push(id);
  const database = await open();
  try {
    const { keys, feed } = createStores(database);
    const found = await Promise.all(acknowledged.map((id) => keys.get(id, soon())));
    expect(found.filter((key) => key === undefined)).toEqual([]);
    const { highest } = await feed.renew(
      { id: "r", applied: 0n, leaseMs: 1000, policies: {}, version: "" },
      soon(),
    );
    expect(await feed.read(0n, highest, soon())).toHaveLength(Number(highest));
    await keys.create(keyRecord(), { claim: undefined, audit, deadline: soon() });
  } finally {
    await database.close();
  }
});

test("a first start that did not get to its end is begun anew; one that did is not", async () => {
  const seen: boolean[] = [];
  const openWith = (prepare: (database: EmbeddedDatabase) => Promise<unknown>) =>
    openEmbedded(folder, {
      prepare: async (database, { isNew }) => {
        seen.push(isNew);
        await prepare(database);
      },
    });
  // As a start leaves it that was killed while it copied the new database's files.
  mkdirSync(join(folder, "postgres"), { recursive: true });
  writeFileSync(join(folder, "postgres", "PG_VERSION"), "18\n");
  writeFileSync(join(folder, "postgres.incomplete"), "");
  await expect(
    openWith(async (database) => {
      await migrate(database, soon());
      throw new Error("seeding failed");
    }),
  ).rejects.toThrow("seeding failed");
  expect(existsSync(join(folder, "postgres.incomplete"))).toBe(true);
  const second = await openWith((database) => migrate(database, soon()));
  expect(await schemaState(second, soon())).toBe("current");
  await expect(open()).rejects.toMatchObject({
    code: "failed_precondition",
    reason: "DATA_FOLDER_LOCKED",
    message: expect.stringContaining(folder),
  });
  await second.close();
  const third = await openWith(async () => {});
  expect(await schemaState(third, soon())).toBe("current");
  await third.close();
  expect(seen).toEqual([true, true, false]);
});

test("a folder that holds something else is refused by its name, left as it is, and not kept locked", async () => {
  mkdirSync(join(folder, "postgres"), { recursive: true });
  writeFileSync(join(folder, "postgres", "PG_VERSION"), "9.1\n");
  for (let attempt = 0; attempt < 2; attempt++) {
    await expect(open()).rejects.toMatchObject({
      reason: "DATA_FOLDER_UNREADABLE",
      message: expect.stringContaining(folder),
    });
  }
  expect(existsSync(join(folder, "postgres", "PG_VERSION"))).toBe(true);
});

test("calls are served one at a time, in order, each by its own deadline, and no more than the bound wait", async () => {
  const database = await open(3);
  try {
    const order: string[] = [];
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const slow = database.transaction(soon(), async (transaction) => {
      order.push("slow begins");
      await finished;
      await transaction.execute(sql`select 1`);
      order.push("slow ends");
    });
    const impatient = database.run(inMs(50), async () => order.push("impatient"));
    const patient = database.run(soon(), async (connection) => {
      order.push("patient");
      return rowsOf(connection, sql`select 1 as one`);
    });
    await expect(database.run(soon(), async () => {})).rejects.toMatchObject({ code: "resource_exhausted" });
    await expect(impatient).rejects.toMatchObject({ code: "unavailable" });
    finish();
    await slow;
    expect(await patient).toEqual([{ one: 1 }]);
    expect(order).toEqual(["slow begins", "slow ends", "patient"]);
  } finally {
    await database.close();
  }
});

test("the folder is its owner's alone; a transaction that fails leaves nothing; once closed it is unavailable", async () => {
  const database = await open();
  try {
    for (const made of [folder, join(folder, "postgres")]) expect(statSync(made).mode & 0o777).toBe(0o700);
    await expect(
      database.transaction(soon(), async (transaction) => {
        await transaction.execute(sql`insert into replicas values ('x', 0, '{}', now())`);
        throw new Error("undone");
      }),
    ).rejects.toThrow("undone");
    const rows = await database.run(soon(), (connection) => rowsOf(connection, sql`select id from replicas`));
    expect(rows).toEqual([]);
  } finally {
    await database.close();
  }
  await expect(database.run(soon(), async () => {})).rejects.toMatchObject({ code: "unavailable" });
});
