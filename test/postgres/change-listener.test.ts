import { once } from "node:events";
import { connect, createServer } from "node:net";
import postgres from "postgres";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { type ChangeListener, listenToChanges } from "../../src/postgres/change-listener.ts";
import { createDatabase, type TestDatabase } from "../support/postgres.ts";
import { startTcpProxy } from "../support/tcp-proxy.ts";

/** Other tests have the machine busy meanwhile. */
const patient = { timeout: 20_000 };

let testDatabase: TestDatabase;
let sql: postgres.Sql;

beforeEach(async () => {
  testDatabase = await createDatabase();
  sql = postgres(testDatabase.url, { max: 1, onnotice: () => {} });
});

afterEach(async () => {
  await sql.end();
  await testDatabase.drop();
});

const notify = (payload: string) => sql`select pg_notify('tollgate_changes', ${payload})`;
const connections = async () => {
  const rows = await sql<{ pid: number }[]>`select pid from pg_stat_activity
    where datname = current_database() and application_name = 'tollgate changes'`;
  return rows.map(({ pid }) => pid);
};

interface Heard {
  readonly listener: ChangeListener;
  readonly changes: bigint[];
  readonly states: string[];
}

/** With the database's port replaced by `port`, where something stands between. */
function listen({ port }: { port?: number } = {}): Heard {
  const url = new URL(testDatabase.url);
  if (port !== undefined) url.port = String(port);
  const changes: bigint[] = [];
  const states: string[] = [];
  const listener = listenToChanges(url.href, {
    onChange: (change) => changes.push(change),
    onHearing: () => states.push("hears"),
    onDeaf: () => states.push("deaf"),
    testEveryMs: 50,
    answerMs: 1000,
  });
  onTestFinished(() => listener.close());
  return { listener, changes, states };
}

test("changes are heard once it says so, and nothing that is not a number", async () => {
  const { listener, changes, states } = listen();
  await expect.poll(() => states, patient).toEqual(["hears"]);
  expect(listener.hears).toBe(true);
  for (const payload of ["1", "x", "", "-2", "99999999999999999999", "3"]) await notify(payload);
  await expect.poll(() => changes, patient).toEqual([1n, 3n]);
  expect(states).toEqual(["hears"]);
});

test("a connection that is dead without a word is found out, and replaced", async () => {
  const proxy = await startTcpProxy({ toPort: Number(new URL(testDatabase.url).port) });
  onTestFinished(() => proxy.stop());
  const { listener, changes, states } = listen({ port: proxy.port });
  await expect.poll(() => states, patient).toEqual(["hears"]);
  proxy.dropReplies();
  await notify("1");
  await expect.poll(() => states, patient).toEqual(["hears", "deaf", "hears"]);
  await notify("2");
  await expect.poll(() => changes, patient).toEqual([2n]);
  expect(listener.hears).toBe(true);
});

test("a connection that the server ends is replaced", async () => {
  const { changes, states } = listen();
  await expect.poll(() => states, patient).toEqual(["hears"]);
  const [pid = 0] = await connections();
  await sql`select pg_terminate_backend(${pid})`;
  await expect.poll(() => states, patient).toEqual(["hears", "deaf", "hears"]);
  await notify("2");
  await expect.poll(() => changes, patient).toEqual([2n]);
});

test("behind a pooler that gives each transaction another connection it says that it is deaf", async () => {
  const { port } = await startForgetfulPooler(Number(new URL(testDatabase.url).port));
  const { listener, changes, states } = listen({ port });
  await expect.poll(() => states, patient).toEqual(["deaf", "deaf"]);
  await notify("1");
  expect([listener.hears, changes]).toEqual([false, []]);
});

test("a server that is not there is told, without the password, and tried again", async () => {
  const proxy = await startTcpProxy({ toPort: Number(new URL(testDatabase.url).port) });
  await proxy.stop();
  const url = new URL(testDatabase.url);
  url.port = String(proxy.port);
  const errors: Error[] = [];
  const listener = listenToChanges(url.href, {
    onChange: () => {},
    onHearing: () => {},
    onDeaf: (error) => errors.push(error),
  });
  onTestFinished(() => listener.close());
  await expect.poll(() => errors.length, patient).toBe(2);
  expect(errors.map(({ message }) => message).join()).not.toContain(url.password);
});

test("closed, it leaves no connection, and tells nothing more", async () => {
  const { listener, states, changes } = listen();
  await expect.poll(() => states, patient).toEqual(["hears"]);
  await listener.close();
  await expect.poll(connections, patient).toEqual([]);
  await notify("1");
  expect([states, changes]).toEqual([["hears"], []]);
});

test("closed while it tries, it ends", async () => {
  const proxy = await startTcpProxy({ toPort: Number(new URL(testDatabase.url).port) });
  onTestFinished(() => proxy.stop());
  proxy.delayReplies(60_000);
  const { listener, states } = listen({ port: proxy.port });
  await listener.close();
  expect(states).toEqual([]);
});

/** As in transaction mode: what was asked for by LISTEN stays with another connection. */
async function startForgetfulPooler(toPort: number): Promise<{ port: number }> {
  const pooler = createServer((client) => {
    const server = connect({ port: toPort, host: "127.0.0.1" });
    client.on("data", (bytes: Buffer) => {
      // A word of the same length, which is answered in the same way.
      server.write(
        Buffer.from(bytes.toString("latin1").replaceAll("listen tollgate", "notify tollgate"), "latin1"),
      );
    });
    server.pipe(client);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  pooler.listen(0, "127.0.0.1");
  await once(pooler, "listening");
  onTestFinished(() => {
    pooler.close();
  });
  return { port: (pooler.address() as { port: number }).port };
}
