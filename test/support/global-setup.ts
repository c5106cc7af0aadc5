import { spawnSync } from "node:child_process";
import { Redis } from "ioredis";
import { startPostgres } from "./postgres.ts";
import { startRedis } from "./redis.ts";
import { repositoryFolder } from "./repository.ts";

/** More than there are test files: each has a logical database that nothing has written to. */
const ownDatabases = 1024;

/**
 * Once a test run: builds, and starts the Postgres and the Redis that the tests share, unless
 * TEST_DATABASE_URL and TEST_REDIS_URL name running ones. The workers inherit both variables.
 */
export async function setup(): Promise<() => Promise<void>> {
  build();
  const ends = await Promise.all([providePostgres(), provideRedis()]);
  return async () => {
    await Promise.all(ends.map((end) => end()));
  };
}

/** A build that fails is told by the tests that need a built server; the others run. */
function build(): void {
  const program = `
    const { buildIfStale } = await import("./scripts/build.js");
    await buildIfStale().catch((error) => {
      console.error(error.message);
      process.exit(1);
    });
  `;
  const result = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd: repositoryFolder,
    encoding: "utf8",
  });
  if (result.error !== undefined) throw result.error;
  if (result.status === 0) return;
  process.env["TEST_BUILD_ERROR"] = `${result.stdout}${result.stderr}`;
  process.stderr.write(`the build failed; tests that start the server will fail:\n${result.stderr}\n`);
}

async function providePostgres(): Promise<() => Promise<void>> {
  if (process.env["TEST_DATABASE_URL"] !== undefined) return async () => {};
  const server = await startPostgres();
  process.env["TEST_DATABASE_URL"] = server.url;
  return server.stop;
}

async function provideRedis(): Promise<() => Promise<void>> {
  const given = process.env["TEST_REDIS_URL"];
  if (given !== undefined) return borrowRedis(given);
  const server = await startRedis({ args: ["--databases", String(ownDatabases)] });
  process.env["TEST_REDIS_URL"] = server.url;
  process.env["TEST_REDIS_DATABASES"] = String(ownDatabases);
  return server.stop;
}

/** Somebody's server is used only when it is empty, and is left empty. */
async function borrowRedis(url: string): Promise<() => Promise<void>> {
  const redis = new Redis(url, { maxRetriesPerRequest: 0, retryStrategy: () => null, lazyConnect: true });
  await redis.connect();
  const keyspace = await redis.info("keyspace");
  const databases = await redis.config("GET", "databases");
  process.env["TEST_REDIS_DATABASES"] = databases[1] ?? "16";
  if (keyspace.includes("db")) {
    redis.disconnect();
    throw new Error(
      "the Redis of TEST_REDIS_URL holds keys: the tests take an empty one, and empty it at the end",
    );
  }
  return async () => {
    await redis.flushall();
    await redis.quit();
  };
}
