import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { Redis } from "ioredis";
import { type ChildServer, startChildServer } from "./child-server.ts";
import { freePort } from "./free-port.ts";
import { reapFolder } from "./reaper.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { type Certificate, clientTls, tlsArguments } from "./redis-certificates.ts";
import { serverPrograms } from "./server-programs.ts";
import { until } from "./until.ts";

/** What the Sentinels call the master. */
export const MASTER_NAME = "points";

/** A master, a replica, and three Sentinels that watch them; on 127.0.0.1. */
export interface RedisSentinels {
  /** `redis+sentinel://`, or `rediss+sentinel://`; without a user. */
  readonly url: string;
  /** The master at first, and its replica. */
  readonly servers: readonly [RedisServer, RedisServer];
  readonly sentinelPorts: readonly [number, number, number];
  /** Has the replica made the master while both run. Waits until every Sentinel names it. */
  failOver(): Promise<void>;
  /** Until every Sentinel names this server the master. */
  untilMaster(server: RedisServer): Promise<void>;
  stop(): Promise<void>;
}

/** A master that is gone for so long is replaced. */
const DOWN_AFTER_MS = 500;

/** With `tls` all of them speak nothing else, and ask each other and their clients for a certificate. */
export async function startRedisSentinels({
  tls,
}: {
  tls?: { ca: Certificate; own: Certificate };
} = {}): Promise<RedisSentinels> {
  const clientOptions = {
    host: "127.0.0.1",
    protocol: 2 as const,
    ...(tls === undefined ? {} : { tls: { ...clientTls(tls.ca, tls.own) } as ConnectionOptions }),
  };
  const tlsArgs = tls === undefined ? [] : [...tlsArguments(tls, "yes"), "--tls-replication", "yes"];
  const startServer = async (...args: readonly string[]): Promise<RedisServer> => {
    const port = await freePort();
    const place = tls === undefined ? [] : ["--port", "0", "--tls-port", String(port), ...tlsArgs];
    return startRedis({ port, args: [...REPLICATION, ...place, ...args] });
  };
  const first = await startServer();
  const second = await startServer("--replicaof", `127.0.0.1 ${first.port}`);
  await untilInSync(new Redis({ ...clientOptions, port: second.port }));
  const ports = [await freePort(), await freePort(), await freePort()] as const;
  const sentinels = await Promise.all(
    ports.map((port) => startSentinel(port, { masterPort: first.port, tlsArgs })),
  );
  const admins = ports.map((port) => new Redis({ ...clientOptions, port, enableReadyCheck: false }));
  for (const admin of admins) admin.on("error", () => {});
  await Promise.all(admins.map(untilItKnowsAll));

  const named = async (admin: Redis): Promise<number> => {
    const address = (await admin.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME)) as string[];
    return Number(address[1]);
  };
  const untilMaster = async ({ port }: RedisServer): Promise<void> => {
    await until(async () => (await Promise.all(admins.map(named))).every((each) => each === port));
  };
  return {
    url: `${tls === undefined ? "redis" : "rediss"}+sentinel://${ports.map((port) => `127.0.0.1:${port}`).join(",")}/${MASTER_NAME}`,
    servers: [first, second],
    sentinelPorts: ports,
    untilMaster,
    async failOver() {
      const [asked] = admins as [Redis];
      const other = (await named(asked)) === first.port ? second : first;
      // Refused while the Sentinels do not know the replica well enough, or have just made one the master.
      await until(() => asked.call("SENTINEL", "FAILOVER", MASTER_NAME).then(isDone, () => false));
      await untilMaster(other);
    },
    async stop() {
      for (const admin of admins) admin.disconnect();
      await Promise.all(sentinels.map((sentinel) => sentinel.end("SIGKILL")));
      await Promise.all([first.kill(), second.kill()]);
    },
  };
}

const REPLICATION = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"];

const isDone = (): boolean => true;

async function untilInSync(admin: Redis): Promise<void> {
  await until(async () => (await admin.info("replication")).includes("master_link_status:up"));
  admin.disconnect();
}

/** The replica, and the other two Sentinels. */
async function untilItKnowsAll(admin: Redis): Promise<void> {
  await until(async () => {
    const facts = (await admin.call("SENTINEL", "MASTER", MASTER_NAME)) as string[];
    const fact = (name: string): string | undefined => facts[facts.indexOf(name) + 1];
    return fact("num-slaves") === "1" && fact("num-other-sentinels") === "2" && fact("flags") === "master";
  });
}

async function startSentinel(
  port: number,
  { masterPort, tlsArgs }: { masterPort: number; tlsArgs: readonly string[] },
): Promise<ChildServer> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-sentinel-"));
  reapFolder(folder);
  const file = join(folder, "sentinel.conf");
  writeFileSync(
    file,
    [
      ...(tlsArgs.length === 0 ? [`port ${port}`] : ["port 0", `tls-port ${port}`]),
      "bind 127.0.0.1",
      `dir ${folder}`,
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} 2`,
      `sentinel down-after-milliseconds ${MASTER_NAME} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${MASTER_NAME} 2000`,
      "",
    ].join("\n"),
  );
  return startChildServer({
    name: "sentinel",
    command: serverPrograms().redis,
    args: [file, "--sentinel", ...tlsArgs],
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" },
    cwd: folder,
    ready: /\+monitor master/,
  });
}
