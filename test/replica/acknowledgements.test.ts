import { sql } from "drizzle-orm";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createCallerTokens } from "../../src/core/caller-tokens.ts";
import { createDirectory, type Directory } from "../../src/core/directory.ts";
import { TollgateError } from "../../src/core/errors.ts";
import { createKeys } from "../../src/core/keys.ts";
import { createPolicySet } from "../../src/core/policy-set.ts";
import type { ChangeFeed, ReplicaReport } from "../../src/core/ports.ts";
import type { KeyRecord } from "../../src/core/records.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { rowsOf } from "../../src/postgres/database.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import { createPostgresDatabase, type PostgresDatabase } from "../../src/postgres/pool.ts";
import { createStores, type Stores } from "../../src/postgres/stores.ts";
import { withAcknowledgements } from "../../src/replica/acknowledged-writes.ts";
import {
  type Acknowledgements,
  type AcknowledgementWait,
  createAcknowledgements,
} from "../../src/replica/acknowledgements.ts";
import { systemClock } from "../../src/replica/lease.ts";
import { audit, keyRecord, memberFields, soon, unique, workspaceFields } from "../contract/records.ts";
import { admin } from "../core/world.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";
import { type AllStores, createTestReplica, type TestReplica } from "./test-replica.ts";

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

beforeEach(async () => {
  await database.run(soon(), (connection) => connection.execute(sql`delete from replicas`));
});

/** Longer than any test: what is waited for is said by somebody, or never. */
const FOR_EVER_MS = 600_000;
const MARGIN = 1.03;

interface Waiting {
  readonly acknowledgements: Acknowledgements;
  readonly waits: readonly AcknowledgementWait[];
  /** Reports of the rows that were answered. */
  readonly reports: () => number;
}

function waitingOf(
  replica: TestReplica,
  feed: Pick<ChangeFeed, "replicas" | "retire"> = stores.feed,
): Waiting {
  const waits: AcknowledgementWait[] = [];
  let reports = 0;
  const acknowledgements = createAcknowledgements({
    feed: {
      retire: feed.retire,
      async replicas(deadline) {
        const report = await feed.replicas(deadline);
        reports++;
        return report;
      },
    },
    own: { id: replica.id, applied: replica.rights.applied, catchUp: replica.rights.catchUp },
    onWaited: (wait) => waits.push(wait),
  });
  return { acknowledgements, waits, reports: () => reports };
}

/** A replica that renews only when it is told to, and until then uses what it has. */
async function startReader(options: { feed?: ChangeFeed } = {}): Promise<TestReplica> {
  const reader = createTestReplica(stores, { leaseMs: FOR_EVER_MS, ...options });
  await reader.rights.renew();
  return reader;
}

async function startWriter(all: AllStores = stores): Promise<TestReplica> {
  const writer = createTestReplica(all);
  await writer.rights.renew();
  return writer;
}

async function createCached(...replicas: readonly TestReplica[]): Promise<KeyRecord> {
  const key = keyRecord();
  await stores.keys.create(key, { claim: undefined, audit, deadline: soon() });
  for (const { rights } of replicas) await rights.renew();
  for (const { rights } of replicas) expect(await rights.keyByDigest(key.digest, soon())).toEqual(key);
  return key;
}

const rename = (key: KeyRecord, through: Pick<Stores, "keys"> = stores) =>
  through.keys.update(key.id, {
    revision: 1,
    patch: { name: "changed" },
    claim: undefined,
    audit,
    deadline: soon(),
  });

const nameIn = async ({ rights }: TestReplica, key: KeyRecord) =>
  (await rights.keyByDigest(key.digest, soon()))?.name;

/** A process that is gone, with a row that says that it has applied nothing. */
async function leaveDead(leaseMs: number) {
  const dead = { id: unique("replica"), applied: 0n, leaseMs, policies: {}, version: "" };
  await stores.feed.renew(dead, soon());
  return dead;
}

const rowIds = async () => (await stores.feed.replicas(soon())).replicas.map(({ id }) => id);

/** What became of it up to now. */
function watch(call: Promise<unknown>): () => string {
  let state = "waits";
  const settle = async () => {
    try {
      await call;
      state = "answered";
    } catch (error) {
      state = error instanceof TollgateError ? error.reason : "failed";
    }
  };
  void settle();
  return () => state;
}

describe("a change", () => {
  test("is acknowledged by renewals alone, though nothing was heard of it", async () => {
    const [writer, reader] = [await startWriter(), await startReader()];
    const key = await createCached(reader);
    const { acknowledgements, waits, reports } = waitingOf(writer);
    await rename(key, writer.stores);
    const call = acknowledgements.everywhere(soon());
    const state = watch(call);
    await expect.poll(reports, patient).toBeGreaterThan(4);
    expect([state(), await nameIn(reader, key)]).toEqual(["waits", "name"]);
    await reader.rights.renew();
    expect(await nameIn(reader, key)).toBe("changed");
    await call;
    expect(waits.map(({ outcome }) => outcome)).toEqual(["acknowledged"]);
  });

  test("is acknowledged by a renewal, where an acknowledgement by itself was lost", async () => {
    const reader = await startReader({ feed: { ...stores.feed, acknowledge: async () => {} } });
    const writer = await startWriter();
    const key = await createCached(reader);
    const { acknowledgements, waits, reports } = waitingOf(writer);
    await rename(key, writer.stores);
    await reader.rights.renew();
    const call = acknowledgements.everywhere(soon());
    const state = watch(call);
    await expect.poll(reports, patient).toBeGreaterThan(4);
    expect(state()).toBe("waits");
    await reader.rights.renew();
    await call;
    expect(waits.map(({ outcome }) => outcome)).toEqual(["acknowledged"]);
  });

  test("that another process made and did not live to answer holds here too, once a repeat of it answers", async () => {
    const writer = await startWriter();
    const key = await createCached(writer);
    await rename(key);
    expect(await nameIn(writer, key)).toBe("name");
    await waitingOf(writer).acknowledgements.everywhere(soon());
    expect(await nameIn(writer, key)).toBe("changed");
  });

  test("is not taken for acknowledged by rows that were read before it was committed", async () => {
    const [writer, reader] = [await startWriter(), await startReader()];
    const key = await createCached(reader, writer);
    let letGo = (): void => {};
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const read: ReplicaReport[] = [];
    const { acknowledgements, reports } = waitingOf(writer, {
      ...stores.feed,
      async replicas(deadline) {
        const report = await stores.feed.replicas(deadline);
        if (read.push(report) === 1) await held;
        return report;
      },
    });
    const before = acknowledgements.everywhere(soon());
    await expect.poll(() => read.length, patient).toBe(1);
    await rename(key, writer.stores);
    const after = acknowledgements.everywhere(soon());
    const state = watch(after);
    letGo();
    await before;
    await expect.poll(reports, patient).toBeGreaterThan(4);
    expect(state()).toBe("waits");
    await reader.rights.renew();
    await after;
  });
});

describe("a call that died while it waited", () => {
  const directory = "work";
  const target = { directory, workspaceId: "w", userId: "u" };
  const remove = (through: Directory) =>
    through.removeMember({ ...target, sourceVersion: 0n }, admin, soon());

  function directoryOf(replica: TestReplica): { directory: Directory; waiting: Waiting } {
    const parsed = parsePolicy(policy, "work.yaml");
    if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
    const set = createPolicySet([parsed.policy]);
    const waiting = waitingOf(replica);
    const { rights, stores: own } = replica;
    const common = { policies: () => set, nowMs: () => 0 };
    const writes = withAcknowledgements(
      {
        keys: createKeys({ ...common, ...own, forget: () => {} }),
        directory: createDirectory({ ...common, store: own.directory }),
        callerTokens: createCallerTokens({
          ...common,
          store: own.callerTokens,
          rights,
          adminToken: undefined,
        }),
      },
      waiting.acknowledgements,
    );
    return { directory: writes.directory, waiting };
  }

  beforeEach(async () => {
    const { putWorkspace, putMember } = stores.directory;
    const options = { sourceVersion: 0n, audit, deadline: soon() };
    await putWorkspace({ directory, workspaceId: "w" }, { ...options, next: () => workspaceFields() });
    await putMember(target, { ...options, next: () => memberFields() });
  });

  test("is repeated through another replica, finds nothing to change, and waits for what the first one did", async () => {
    const [second, reader] = [await startWriter(), await startReader()];
    expect(await reader.rights.member(directory, "w", "u", soon())).toBeDefined();
    await stores.directory.removeMember(target, { sourceVersion: 0n, audit, deadline: soon() });
    const { highest } = await stores.feed.replicas(soon());
    const { directory: writes, waiting } = directoryOf(second);
    const repeat = remove(writes);
    const state = watch(repeat);
    await expect.poll(waiting.reports, patient).toBeGreaterThan(4);
    expect((await stores.feed.replicas(soon())).highest).toBe(highest);
    expect([state(), await reader.rights.member(directory, "w", "u", soon())]).toEqual([
      "waits",
      expect.objectContaining({ userId: "u" }),
    ]);
    await reader.rights.renew();
    await repeat;
    expect(await reader.rights.member(directory, "w", "u", soon())).toBeUndefined();
  });

  test("because its connection was cut at the commit fails, though it was done; a repeat waits", async () => {
    const proxy = await startTcpProxy({ toPort: Number(new URL(testDatabase.url).port) });
    onTestFinished(() => proxy.stop());
    const url = new URL(testDatabase.url);
    url.port = String(proxy.port);
    const proxied = createPostgresDatabase(url.href, { connections: 1 });
    onTestFinished(() => proxied.close());
    const [first, reader] = [await startWriter(createStores(proxied)), await startReader()];
    await reader.rights.member(directory, "w", "u", soon());
    const { directory: writes, waiting } = directoryOf(first);
    // The last statement of the change waits for the counter; what is sent after it is the commit.
    const cut = database.transaction(soon(), async (transaction) => {
      await transaction.execute(sql`select number from change_counter for update`);
      const call = remove(writes);
      const state = watch(call);
      await expect.poll(waitingForLocks, patient).toBe(1);
      proxy.cutNextReply();
      return { state };
    });
    const { state } = await cut;
    await expect.poll(state, patient).toBe("STORE_UNAVAILABLE");
    await expect.poll(() => stores.directory.getMember(directory, "w", "u", soon()), patient).toBeUndefined();
    expect(waiting.reports()).toBe(0);
    expect(await reader.rights.member(directory, "w", "u", soon())).toBeDefined();
    const repeat = remove(writes);
    const repeated = watch(repeat);
    await expect.poll(waiting.reports, patient).toBeGreaterThan(4);
    expect(repeated()).toBe("waits");
    await reader.rights.renew();
    await repeat;
    expect(await reader.rights.member(directory, "w", "u", soon())).toBeUndefined();
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
});

describe("a replica that is gone", () => {
  test("costs one change its lease and the margin, and the next one nothing", async () => {
    const writer = await startWriter();
    await createCached(writer);
    await leaveDead(400);
    const { acknowledgements, waits } = waitingOf(writer);
    await acknowledgements.everywhere(soon());
    expect(waits.map(({ outcome }) => outcome)).toEqual(["lapsed"]);
    // Not sooner: until then it may be alive, and use what it has.
    expect(waits[0]?.durationMs).toBeGreaterThanOrEqual(400 * MARGIN);
    await expect.poll(rowIds, patient).toEqual([writer.id]);
    await acknowledgements.everywhere(soon());
    expect(waits.map(({ outcome }) => outcome)).toEqual(["lapsed", "acknowledged"]);
  });

  test("by the longest lease, where there are several", async () => {
    const writer = await startWriter();
    await createCached(writer);
    for (const leaseMs of [1, 400, 2]) await leaveDead(leaseMs);
    const { acknowledgements, waits } = waitingOf(writer);
    await acknowledgements.everywhere(soon());
    expect(waits[0]?.durationMs).toBeGreaterThanOrEqual(400 * MARGIN);
    await expect.poll(rowIds, patient).toEqual([writer.id]);
  });

  test("keeps its row when it turns out to have renewed meanwhile", async () => {
    const writer = await startWriter();
    await createCached(writer);
    const late = await leaveDead(50);
    let retired = 0;
    const { acknowledgements } = waitingOf(writer, {
      ...stores.feed,
      async retire(...args) {
        await stores.feed.renew(late, soon());
        await stores.feed.retire(...args);
        retired++;
      },
    });
    await acknowledgements.everywhere(soon());
    await expect.poll(() => retired, patient).toBe(1);
    expect(await rowIds()).toContain(late.id);
  });

  test("loses its row only a lease and the margin after the row was read, however long that took", async () => {
    const writer = await startWriter();
    await createCached(writer);
    await leaveDead(300);
    let readMs: number | undefined;
    let retiredMs: number | undefined;
    const { acknowledgements } = waitingOf(writer, {
      async replicas(deadline) {
        // The database stood still: the row is read late, and may have been renewed until then.
        if (readMs === undefined) await new Promise((resolve) => setTimeout(resolve, 250));
        const report = await stores.feed.replicas(deadline);
        readMs ??= performance.now();
        return report;
      },
      async retire() {
        retiredMs = performance.now();
      },
    });
    await acknowledgements.everywhere(soon());
    await expect.poll(() => retiredMs, patient).toBeDefined();
    expect((retiredMs ?? 0) - (readMs ?? 0)).toBeGreaterThanOrEqual(300 * MARGIN);
  });
});

describe("the waiting", () => {
  test("is as long as a grace that the replica's row states", async () => {
    let isCut = false;
    const feed: ChangeFeed = {
      ...stores.feed,
      acknowledge: async () => {},
      renew: (...args) =>
        isCut ? Promise.reject(new Error("the database is gone")) : stores.feed.renew(...args),
    };
    const reader = createTestReplica(stores, { feed, clock: systemClock, leaseMs: 300, graceMs: () => 700 });
    const key = keyRecord();
    await stores.keys.create(key, { claim: undefined, audit, deadline: soon() });
    const writer = await startWriter();
    await reader.rights.renew();
    isCut = true;
    const { acknowledgements, waits } = waitingOf(writer);
    await rename(key, writer.stores);
    await acknowledgements.everywhere(soon());
    // Up to here it may use what it knew; from here on not.
    expect(reader.rights.isLive(Number.POSITIVE_INFINITY)).toBe(false);
    expect(waits.map(({ outcome }) => outcome)).toEqual(["lapsed"]);
  });

  test("is for each replica's own lease: one that is dead does not hold it up for another's grace", async () => {
    const writer = await startWriter();
    const patientReader = createTestReplica(stores, { leaseMs: FOR_EVER_MS });
    await patientReader.rights.renew();
    await leaveDead(100);
    const key = await createCached(writer);
    const { acknowledgements, waits, reports } = waitingOf(writer);
    await rename(key, writer.stores);
    const call = acknowledgements.everywhere(soon());
    await expect.poll(reports, patient).toBeGreaterThan(1);
    await patientReader.rights.renew();
    await patientReader.rights.renew();
    await call;
    expect(waits.map(({ outcome }) => outcome)).toEqual(["lapsed"]);
  });

  test("that met its deadline takes the row away later, so that a repeat does not wait for it", async () => {
    const writer = await startWriter();
    await createCached(writer);
    const slow = await leaveDead(300);
    const { acknowledgements } = waitingOf(writer);
    await expect(acknowledgements.everywhere(performance.now() + 50)).rejects.toMatchObject({
      reason: "NOT_ACKNOWLEDGED",
    });
    await expect.poll(rowIds, patient).not.toContain(slow.id);
  });

  test("ends at the deadline, unavailable, and takes nobody's row away", async () => {
    const writer = await startWriter();
    await createCached(writer);
    const slow = await leaveDead(FOR_EVER_MS);
    // Answered at once, always: no report is what misses the deadline.
    const report = await stores.feed.replicas(soon());
    const { acknowledgements, waits } = waitingOf(writer, { ...stores.feed, replicas: async () => report });
    await expect(acknowledgements.everywhere(performance.now() + 100)).rejects.toMatchObject({
      code: "unavailable",
      reason: "NOT_ACKNOWLEDGED",
    });
    expect(waits.map(({ outcome }) => outcome)).toEqual(["failed"]);
    expect(await rowIds()).toContain(slow.id);
  });

  test("ends at the deadline, too, when the rows cannot be read, as with a server that stands still", async () => {
    const { acknowledgements } = waitingOf(await startWriter(), {
      ...stores.feed,
      replicas: () => new Promise(() => {}),
    });
    await expect(acknowledgements.everywhere(performance.now() + 50)).rejects.toMatchObject({
      code: "unavailable",
      reason: "NOT_ACKNOWLEDGED",
    });
  });

  test("fails when the rows cannot be read: who they are is not known", async () => {
    const { acknowledgements, waits } = waitingOf(await startWriter(), {
      ...stores.feed,
      replicas: async () => {
        throw Object.assign(new Error("connection reset"), { code: "ECONNRESET" });
      },
    });
    await expect(acknowledgements.everywhere(soon())).rejects.toMatchObject({
      code: "unavailable",
      reason: "NOT_ACKNOWLEDGED",
    });
    expect(waits.map(({ outcome }) => outcome)).toEqual(["failed"]);
  });
});

const policy = `api: work
https: any
permissions: {items.read: 1}
roles:
  member: {permissions: ["*"], creates_keys: true}
scopes: {items.read: {}}
key_types:
  restricted: {prefix: work_, workspace: bound, scopes: selected, acts_as: creator}
`;
