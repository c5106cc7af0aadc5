import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { inspect } from "node:util";
import { sql } from "drizzle-orm";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Connection, type Database, preparedOnce, rowsOf } from "../../src/postgres/database.ts";
import { withNeutralErrors } from "../../src/postgres/errors.ts";
import { createPostgresDatabase, type PostgresOptions } from "../../src/postgres/pool.ts";
import { soon } from "../contract/records.ts";
import { type PostgresServer, startPostgres } from "../support/postgres.ts";

const unavailable = { name: "TollgateError", code: "unavailable", reason: "STORE_UNAVAILABLE" };

let server: PostgresServer;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  server = await startPostgres();
  const database = open();
  await database.run(soon(), (connection) => connection.execute(sql`create table counters (id int, n int)`));
});

afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

afterAll(() => server.stop());

function open(options: PostgresOptions = {}, url = server.url): Database {
  const database = createPostgresDatabase(url, options);
  closing.push(() => database.close());
  return withNeutralErrors(database);
}

const inMs = (ms: number) => performance.now() + ms;
const select1 = async (connection: Connection) => (await rowsOf(connection, sql`select 1 as one`))[0];
const sleep = (connection: Connection) => connection.execute(sql`select pg_sleep(20)`);
const backendPid = async (connection: Connection) =>
  Number((await rowsOf(connection, sql`select pg_backend_pid() as pid`))[0]?.["pid"]);

/** As another client sees it. */
async function count(statement: ReturnType<typeof sql>): Promise<number> {
  const observer = createPostgresDatabase(server.url, { connections: 1, applicationName: "observer" });
  try {
    const [row] = await observer.run(soon(), (connection) => rowsOf(connection, statement));
    return Number(row?.["count"]);
  } finally {
    await observer.close();
  }
}

const connectionsOf = (name: string) =>
  count(sql`select count(*) from pg_stat_activity where application_name = ${name}`);

describe("deadlines", () => {
  test("a query that misses its deadline fails, and the pool has a working connection in its place", async () => {
    const database = open({ connections: 1 });
    const first = await database.run(soon(), backendPid);
    await expect(database.run(inMs(150), sleep)).rejects.toMatchObject(unavailable);
    expect(await database.run(soon(), backendPid)).not.toBe(first);
  });

  test("it closes its own connection and no other", async () => {
    const database = open({ connections: 2 });
    const other = database.run(soon(), async (connection) => {
      const before = await backendPid(connection);
      await connection.execute(sql`select pg_sleep(0.4)`);
      return before === (await backendPid(connection));
    });
    await expect(database.run(inMs(100), sleep)).rejects.toMatchObject(unavailable);
    expect(await other).toBe(true);
  });

  test("a transaction that misses its deadline is rolled back, and what follows in it is not run", async () => {
    const database = open({ connections: 1 });
    let late: Promise<unknown> = Promise.resolve();
    const work = async (transaction: Connection) => {
      await transaction.execute(sql`insert into counters values (1, 1)`);
      await transaction.execute(sql`select pg_sleep(0.5)`).catch(() => {});
      late = transaction.execute(sql`insert into counters values (2, 2)`);
      await late;
    };
    await expect(database.transaction(inMs(150), work)).rejects.toMatchObject(unavailable);
    await expect
      .poll(() =>
        late.then(
          () => "ran",
          () => "refused",
        ),
      )
      .toBe("refused");
    await expect
      .poll(() => count(sql`select count(*) from pg_locks where relation = 'counters'::regclass`))
      .toBe(0);
    expect(await count(sql`select count(*) from counters where id in (1, 2)`)).toBe(0);
  });

  test("a server that accepts and says nothing is unavailable at the deadline", async () => {
    const url = await fakeServer(() => {});
    await expect(open({}, url).run(inMs(150), select1)).rejects.toMatchObject(unavailable);
  });

  test("a server that accepts and closes is unavailable at once, and is not tried for ever", async () => {
    let connections = 0;
    const url = await fakeServer((socket) => {
      connections++;
      socket.destroy();
    });
    await expect(open({}, url).run(inMs(10_000), select1)).rejects.toMatchObject(unavailable);
    expect(connections).toBe(1);
  });

  test("a frozen server hangs nobody, and no connections pile up", async () => {
    const database = open({ connections: 3, applicationName: "frozen" });
    await Promise.all([1, 2, 3].map(() => database.run(soon(), select1)));
    server.pause();
    try {
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, () => database.run(inMs(300), select1)),
      );
      for (const result of results) expect(result).toMatchObject({ status: "rejected", reason: unavailable });
    } finally {
      server.resume();
    }
    expect(await database.run(soon(), select1)).toEqual({ one: 1 });
    await expect.poll(() => connectionsOf("frozen")).toBeLessThanOrEqual(3);
  });
});

describe("waiting", () => {
  test("calls wait their turn for the connections that there are", async () => {
    const database = open({ connections: 2, applicationName: "two" });
    const pids = await Promise.all(Array.from({ length: 30 }, () => database.run(soon(), backendPid)));
    expect(new Set(pids).size).toBe(2);
    expect(await connectionsOf("two")).toBe(2);
  });

  test("who waits gives up at his own deadline", async () => {
    const database = open({ connections: 1 });
    const holding = database.run(soon(), (connection) => connection.execute(sql`select pg_sleep(0.6)`));
    await expect(database.run(inMs(100), select1)).rejects.toMatchObject(unavailable);
    await holding;
    expect(await database.run(soon(), select1)).toEqual({ one: 1 });
  });

  test("beyond the bound a call is refused at once", async () => {
    const database = open({ connections: 1, maxWaiting: 2 });
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => database.run(soon(), select1)));
    expect(results.map(({ status }) => status)).toEqual([
      "fulfilled",
      "fulfilled",
      "fulfilled",
      "rejected",
      "rejected",
    ]);
    expect(results[4]).toMatchObject({ reason: { code: "resource_exhausted", reason: "DATABASE_BUSY" } });
  });
});

describe("broken connections", () => {
  test("one that the server ends in a transaction fails it, runs no rest of it elsewhere, and is replaced", async () => {
    const database = open({ connections: 1 });
    const work = async (transaction: Connection) => {
      await transaction.execute(sql`insert into counters values (10, 1)`);
      await count(sql`select pg_terminate_backend(${await backendPid(transaction)})::int as count`);
      await transaction.execute(sql`select 1`).catch(() => {});
      await transaction.execute(sql`insert into counters values (11, 1)`);
    };
    await expect(database.transaction(soon(), work)).rejects.toMatchObject(unavailable);
    expect(await database.run(soon(), select1)).toEqual({ one: 1 });
    expect(await count(sql`select count(*) from counters where id in (10, 11)`)).toBe(0);
  });

  test("after a restart of the server the pool works again", async () => {
    const database = open({ connections: 3 });
    await Promise.all([1, 2, 3].map(() => database.run(soon(), select1)));
    await server.restart();
    const results = await Promise.all(Array.from({ length: 9 }, () => database.run(soon(), select1)));
    expect(results).toEqual(Array(9).fill({ one: 1 }));
  });

  test("while the server is down calls fail at once, and work again when it is back", async () => {
    const database = open();
    await database.run(soon(), select1);
    await server.kill();
    await expect(database.run(soon(), select1)).rejects.toMatchObject(unavailable);
    await expect(database.transaction(soon(), select1)).rejects.toMatchObject(unavailable);
    await server.restart();
    expect(await database.run(soon(), select1)).toEqual({ one: 1 });
  });

  test("closing the pool closes every connection", async () => {
    const database = createPostgresDatabase(server.url, { applicationName: "closed" });
    await Promise.all(Array.from({ length: 5 }, () => database.run(soon(), select1)));
    await database.close();
    await expect.poll(() => connectionsOf("closed")).toBe(0);
    await expect(withNeutralErrors(database).run(soon(), select1)).rejects.toMatchObject(unavailable);
  });
});

describe("several hosts", () => {
  const hosts = (first: string) =>
    server.url.replace(/@[^/]*/, `@${first},127.0.0.1:${server.port}`) + "?target_session_attrs=read-write";

  test("one that is down is passed over, whichever comes first", async () => {
    const database = open({ connections: 4 }, hosts("127.0.0.1:1"));
    const results = await Promise.all(
      Array.from({ length: 4 }, () =>
        database.run(soon(), async (connection) => {
          await connection.execute(sql`select pg_sleep(0.1)`);
          return select1(connection);
        }),
      ),
    );
    expect(results).toEqual(Array(4).fill({ one: 1 }));
  });

  test("without prepared statements, as a pooler wants it, everything works", async () => {
    const database = open({ connections: 1 }, `${server.url}?prepare=false`);
    const name = preparedOnce((connection) =>
      connection
        .select({ name: sql<string>`${sql.placeholder("name")}::text` })
        .from(sql`(select 1) as one`)
        .prepare("named"),
    );
    const read = () => database.run(soon(), (connection) => name(connection).execute({ name: "x" }));
    expect([await read(), await read()]).toEqual([[{ name: "x" }], [{ name: "x" }]]);
    expect(
      await database.run(soon(), (connection) =>
        rowsOf(connection, sql`select count(*)::int as count from pg_prepared_statements`),
      ),
    ).toEqual([{ count: 0 }]);
  });
});

describe("transactions", () => {
  test("two that deadlock both succeed: the one that Postgres rolled back is run again", async () => {
    const database = open();
    await database.run(soon(), (connection) =>
      connection.execute(sql`insert into counters values (20, 0), (21, 0)`),
    );
    const meeting = meet(2);
    const raise = (first: number, second: number) =>
      database.transaction(soon(), async (transaction) => {
        await transaction.execute(sql`update counters set n = n + 1 where id = ${first}`);
        await meeting();
        await transaction.execute(sql`update counters set n = n + 1 where id = ${second}`);
      });
    await Promise.all([raise(20, 21), raise(21, 20)]);
    expect(await count(sql`select sum(n) as count from counters where id in (20, 21)`)).toBe(4);
  });

  test("a failed statement that was swallowed does not pass for a commit", async () => {
    const database = open();
    const work = async (transaction: Connection) => {
      await transaction.execute(sql`insert into counters values (30, 1)`);
      await transaction.execute(sql`select no_such_column`).catch(() => {});
    };
    await expect(database.transaction(soon(), work)).rejects.toThrow("commit answered ROLLBACK");
    expect(await count(sql`select count(*) from counters where id = 30`)).toBe(0);
  });

  test("one whose process stands still gives up its locks", async () => {
    const database = open({ connections: 2 });
    const settings = await database.transaction(soon(), (transaction) =>
      rowsOf(
        transaction,
        sql`select current_setting('idle_in_transaction_session_timeout') as idle, current_setting('transaction_isolation') as isolation`,
      ),
    );
    expect(settings).toEqual([{ idle: "5s", isolation: "read committed" }]);
  });
});

describe("errors", () => {
  test.each([
    "nonsense",
    "mysql://user:hunter2@localhost/db",
    "postgres://user:hunter2@host:port/db",
    "postgres://user:hunter2%@host/db",
  ])("a URL that cannot be read (%s) is told without its password", (url) => {
    const thrown = errorOf(() => createPostgresDatabase(url));
    expect(thrown).toMatchObject({ code: "invalid_argument", reason: "DATABASE_URL_INVALID" });
    expect(inspect(thrown, { depth: 9, showHidden: true })).not.toContain("hunter2");
  });

  test("a refused log-in, an unknown database and a closed port are unavailable, and tell no password", async () => {
    const urls = [
      server.url.replace(/:[^:@]*@/, ":hunter2@"),
      server.url.replace(/postgres$/, "nowhere"),
      "postgres://user:hunter2@127.0.0.1:1/db",
    ];
    for (const url of urls) {
      const error = await open({}, url)
        .run(soon(), select1)
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
      expect(error).toMatchObject(unavailable);
      const text = inspect(error, { depth: 9, showHidden: true });
      expect(text).not.toContain("hunter2");
      expect(text).not.toContain(new URL(server.url).password);
    }
  });

  test("an error of the server's carries neither the statement nor its parameters", async () => {
    const error = await open()
      .run(soon(), (connection) => connection.execute(sql`select ${"sensitive"}::text, no_such_column`))
      .then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
    expect(error).toMatchObject({ name: "TollgateError", code: "internal", reason: "STORE_FAILED" });
    const text = inspect(error, { depth: 9, showHidden: true });
    expect(text).toContain("42703");
    expect(text).not.toContain("sensitive");
  });
});

function errorOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Answers each of the first `size` callers once all are there; later ones at once. */
function meet(size: number): () => Promise<void> {
  let arrived = 0;
  let tellAll = (): void => {};
  const all = new Promise<void>((resolve) => {
    tellAll = resolve;
  });
  return () => {
    if (++arrived >= size) tellAll();
    return all;
  };
}

async function fakeServer(onConnection: Parameters<typeof createServer>[1]): Promise<string> {
  const sockets = new Set<import("node:net").Socket>();
  const fake: Server = createServer(onConnection as never);
  fake.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  fake.listen(0, "127.0.0.1");
  await once(fake, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    fake.close();
  });
  return `postgres://user@127.0.0.1:${(fake.address() as AddressInfo).port}/db`;
}
