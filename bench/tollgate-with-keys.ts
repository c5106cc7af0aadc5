import { execFileSync } from "node:child_process";
import { freePort } from "../test/support/free-port.ts";
import { startPostgres } from "../test/support/postgres.ts";
import { type RedisServer, startRedis } from "../test/support/redis.ts";
import { inRepository } from "../test/support/repository.ts";
import { startTollgate, type TollgateProcess } from "../test/support/server-process.ts";
import { addUnusedKeys, type BenchKey, insertKeys, newKeys } from "./keys.ts";

/** Keys that the calls are spread over. */
export const keyCount = 10_000;

export interface TollgateWithKeysOptions {
  /** Default: `keyCount`. */
  readonly keys?: number;
  /** Further rows, of keys that nobody asks for; default: none. */
  readonly unusedKeys?: number;
  /** A folder of policies; default: the shipped ones. */
  readonly policies?: string;
  /** All of its owner; default: 1. */
  readonly keysPerWorkspace?: number;
  /** After `serve`. */
  readonly args?: readonly string[];
}

/** `tollgate serve` with stores that serve nobody else. */
export interface TollgateWithKeys {
  readonly server: TollgateProcess;
  readonly metricsUrl: string;
  readonly redis: RedisServer;
  /** With pg_stat_statements. */
  readonly postgresUrl: string;
  /** Of owners of workspaces in Retrac. */
  readonly keys: readonly BenchKey[];
  stop(): Promise<void>;
}

export async function startTollgateWithKeys(
  options: TollgateWithKeysOptions = {},
): Promise<TollgateWithKeys> {
  const [redis, postgres] = await Promise.all([
    startRedis(),
    startPostgres({ durable: true, settings: { shared_preload_libraries: "pg_stat_statements" } }),
  ]);
  const metrics = `127.0.0.1:${await freePort()}`;
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    TOLLGATE_POLICIES: options.policies ?? inRepository("policies"),
    TOLLGATE_METRICS_LISTEN: metrics,
    NODE_ENV: "production",
  };
  execFileSync(process.execPath, [inRepository("bin", "tollgate.js"), "migrate"], {
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const keys = newKeys(options.keys ?? keyCount);
  const { keysPerWorkspace = 1, unusedKeys = 0 } = options;
  await insertKeys(postgres.url, keys, { keysPerWorkspace });
  if (unusedKeys > 0) await addUnusedKeys(postgres.url, { count: unusedKeys, keysPerWorkspace });
  const server = await startTollgate({ env, args: options.args ?? [] });
  return {
    server,
    metricsUrl: `http://${metrics}/metrics`,
    redis,
    postgresUrl: postgres.url,
    keys,
    async stop() {
      await server.stop();
      await Promise.all([redis.stop(), postgres.stop()]);
    },
  };
}
