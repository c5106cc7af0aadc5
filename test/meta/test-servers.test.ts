import { spawn } from "node:child_process";
import { once } from "node:events";
import { Redis } from "ioredis";
import postgres from "postgres";
import { expect, test } from "vitest";
import { createDatabase, startPostgres } from "../support/postgres.ts";
import { redisUrl, startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";

test("a created database is empty, is its own, and is gone after the drop even with a connection open", async () => {
  const [one, two] = await Promise.all([createDatabase(), createDatabase()]);
  expect(one.url).not.toBe(two.url);
  const sql = postgres(one.url, { max: 1, onclose: () => {} });
  expect(await sql`SELECT count(*)::int AS tables FROM pg_tables WHERE schemaname = 'public'`).toEqual([
    { tables: 0 },
  ]);
  await one.drop();
  await expect(sql`SELECT 1`.then(() => "answered")).rejects.toThrow(/does not exist|terminating|CONNECTION/);
  await sql.end();
  const other = postgres(two.url, { max: 1 });
  expect(await other`SELECT 1 AS one`).toEqual([{ one: 1 }]);
  await other.end();
  await two.drop();
});

test("a durable Postgres keeps what it acknowledged over kill -9 and restart, on the same URL", async () => {
  const server = await startPostgres({ durable: true });
  const first = postgres(server.url, { max: 1, onclose: () => {} });
  expect(await first`SHOW fsync`).toEqual([{ fsync: "on" }]);
  await first`CREATE TABLE kept (value int)`;
  await first`INSERT INTO kept VALUES (7)`;
  await server.kill();
  await first.end();
  await server.restart();
  const second = postgres(server.url, { max: 1 });
  expect(await second`SELECT value FROM kept`).toEqual([{ value: 7 }]);
  await second.end();
  await server.stop();
});

test("a paused Postgres answers nothing on an open connection until it is resumed", async () => {
  const server = await startPostgres();
  const sql = postgres(server.url, { max: 1 });
  await sql`SELECT 1`;
  server.pause();
  let answered = false;
  const query = sql`SELECT 2 AS two`.then((rows) => {
    answered = true;
    return rows;
  });
  // The kernel takes the bytes either way: that the query is on its way needs no waiting for.
  await new Promise((resolve) => setImmediate(resolve));
  expect(answered).toBe(false);
  server.resume();
  expect(await query).toEqual([{ two: 2 }]);
  await sql.end();
  await server.stop();
});

test("a Redis of one's own restarts empty on the same port, and never evicts", async () => {
  const server = await startRedis();
  const redis = new Redis(server.url, { retryStrategy: () => null });
  redis.on("error", () => {});
  await redis.set("key", "value");
  expect(await redis.config("GET", "maxmemory-policy")).toEqual(["maxmemory-policy", "noeviction"]);
  const closed = once(redis, "end");
  await server.kill();
  await closed;
  await server.restart();
  const again = new Redis(server.url);
  expect(await again.dbsize()).toBe(0);
  await again.quit();
  await server.stop();
});

test("the run's Redis gives this file a logical database of its own", async () => {
  expect(new URL(redisUrl()).pathname).toMatch(/^\/\d+$/);
  const redis = new Redis(redisUrl());
  expect(await redis.ping()).toBe("PONG");
  await redis.quit();
});

test("servers and folders of a test process that is killed go with it", async () => {
  const program = `
    const { startPostgres } = await import("./test/support/postgres.ts");
    const { startRedis } = await import("./test/support/redis.ts");
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    redis.pause();
    console.log(JSON.stringify([postgres.pid, redis.pid]));
  `;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program], {
    cwd: inRepository(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  const pids = JSON.parse(line) as number[];
  expect(pids.map(isRunning)).toEqual([true, true]);
  child.kill("SIGKILL");
  await expect.poll(() => pids.map(isRunning), { timeout: 10_000 }).toEqual([false, false]);
});

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
