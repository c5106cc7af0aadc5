import { execFileSync } from "node:child_process";
import { freePort } from "../test/support/free-port.ts";
import { startPostgres } from "../test/support/postgres.ts";
import { type RedisServer, startRedis } from "../test/support/redis.ts";
import { inRepository } from "../test/support/repository.ts";
import { startTollgate, type TollgateProcess } from "../test/support/server-process.ts";
import { type BenchKey, insertKeys, newKeys } from "./keys.ts";

/** Keys that the calls are spread over. */
export const keyCount = 10_000;

/** `tollgate serve` with the shipped policies, and with stores that serve nobody else. */
export interface TollgateWithKeys {
  readonly server: TollgateProcess;
  readonly metricsUrl: string;
  readonly redis: RedisServer;
  /** With pg_stat_statements. */
  readonly postgresUrl: string;
  /** Each of an owner in a workspace of its own, in Retrac. */
  readonly keys: readonly BenchKey[];
  stop(): Promise<void>;
}

export async function startTollgateWithKeys(): Promise<TollgateWithKeys> {
  const [redis, postgres] = await Promise.all([
    startRedis(),
    startPostgres({ durable: true, settings: { shared_preload_libraries: "pg_stat_statements" } }),
  ]);
  const metrics = `127.0.0.1:${await freePort()}`;
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    TOLLGATE_POLICIES: inRepository("policies"),
    TOLLGATE_METRICS_LISTEN: metrics,
    NODE_ENV: "production",
  };
  execFileSync(process.execPath, [inRepository("bin", "tollgate.js"), "migrate"], {
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  const keys = newKeys(keyCount);
  await insertKeys(postgres.url, keys);
  const server = await startTollgate({ env });
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
