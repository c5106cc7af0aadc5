import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChildServer, startChildServer } from "./child-server.ts";
import { freePort } from "./free-port.ts";
import { reapFolder } from "./reaper.ts";
import { serverPrograms } from "./server-programs.ts";

export interface RedisServerOptions {
  /** Default: a free one. */
  port?: number;
  /** On top of ours, for example `["--requirepass", "x"]`. */
  args?: readonly string[];
}

/** A Redis of one's own, without persistence: a restart is empty, unless `args` say otherwise. */
export interface RedisServer {
  readonly url: string;
  readonly port: number;
  /** Of the process now running. */
  readonly pid: number;
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts again on the same port; stops first when it runs. */
  restart(): Promise<void>;
  /** Freezes it: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
}

/**
 * The test run's Redis, with a logical database that no other test file uses at the same time (with the
 * servers that the run starts itself: that no other file of the run uses at all).
 */
export function redisUrl(): string {
  const serverUrl = process.env["TEST_REDIS_URL"];
  if (serverUrl === undefined) throw new Error("TEST_REDIS_URL is not set: run the tests with `npm test`");
  const databases = Number(process.env["TEST_REDIS_DATABASES"] ?? 16);
  // One worker a test file: vitest numbers them from 1.
  const worker = Number(process.env["VITEST_WORKER_ID"] ?? 1);
  const url = new URL(serverUrl);
  url.pathname = `/${worker % databases}`;
  return url.href;
}

export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const program = serverPrograms().redis;
  const folder = mkdtempSync(join(tmpdir(), "tollgate-redis-"));
  reapFolder(folder);
  const port = options.port ?? (await freePort());
  const start = (): Promise<ChildServer> =>
    startChildServer({
      name: "redis",
      command: program,
      args: [...ownArguments(port, folder), ...(options.args ?? [])],
      env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" },
      cwd: folder,
      ready: /ready to accept connections/i,
    });
  let server = await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    get pid() {
      return server.pid;
    },
    stop: () => server.end("SIGTERM"),
    kill: () => server.end("SIGKILL"),
    async restart() {
      await server.end("SIGTERM");
      server = await start();
    },
    pause() {
      server.process.kill("SIGSTOP");
    },
    resume() {
      server.process.kill("SIGCONT");
    },
  };
}

function ownArguments(port: number, folder: string): string[] {
  const place = ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--daemonize", "no"];
  return [...place, "--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"];
}
