import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChildServer } from "./child-server.ts";
import { reapFolder } from "./reaper.ts";
import { inRepository, repositoryFolder } from "./repository.ts";

/**
 * A TOLLGATE_POINTS_BUDGET for tests that are about what is decided, not about when: other tests have the
 * machine busy meanwhile.
 */
export const PATIENT = "2s";

export interface TollgateOptions {
  /** On top of a minimal environment; nothing else is inherited. */
  env?: Readonly<Record<string, string>>;
  /** After `serve`. */
  args?: readonly string[];
  /** Default: the checkout. */
  cwd?: string;
  readyTimeoutMs?: number;
}

export interface TollgateProcess {
  /** For example `http://127.0.0.1:41234`; for a Unix socket its `unix:` address. */
  readonly url: string;
  /** Taken as an admin caller token. Random, unless `env` sets TOLLGATE_ADMIN_TOKEN. */
  readonly adminToken: string;
  readonly pid: number;
  readonly process: ChildProcess;
  /** The whole line that said ready. */
  readonly readyLine: string;
  stdout(): string;
  /** Both streams. */
  output(): string;
  /** SIGTERM, then its end; answers its exit code (null when a signal ended it). */
  stop(): Promise<number | null>;
  /** SIGKILL, then its end. */
  kill(): Promise<void>;
}

/**
 * `tollgate serve` as its own process, on a free port, with a data folder and an admin token of its own.
 * Throws, with its output, when it ends instead of getting ready.
 */
export async function startTollgate(options: TollgateOptions = {}): Promise<TollgateProcess> {
  const buildError = process.env["TEST_BUILD_ERROR"];
  if (buildError !== undefined)
    throw new Error(`the build failed, so there is no server to start:\n${buildError}`);
  const adminToken = options.env?.["TOLLGATE_ADMIN_TOKEN"] ?? randomBytes(24).toString("hex");
  const server = await startChildServer({
    name: "tollgate serve",
    command: process.execPath,
    // As `npm start` does it.
    args: ["--max-semi-space-size=32", inRepository("bin", "tollgate.js"), "serve", ...(options.args ?? [])],
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      HOME: process.env["HOME"] ?? tmpdir(),
      TOLLGATE_LISTEN: "127.0.0.1:0",
      TOLLGATE_METRICS_LISTEN: "127.0.0.1:0",
      TOLLGATE_ADMIN_TOKEN: adminToken,
      ...(options.env?.["TOLLGATE_DATA_DIR"] === undefined ? { TOLLGATE_DATA_DIR: temporaryFolder() } : {}),
      ...options.env,
    },
    cwd: options.cwd ?? repositoryFolder,
    ready: /^tollgate ready/,
    ...(options.readyTimeoutMs === undefined ? {} : { readyTimeoutMs: options.readyTimeoutMs }),
  });
  return {
    url: addressIn(server.readyLine),
    adminToken,
    pid: server.pid,
    process: server.process,
    readyLine: server.readyLine,
    stdout: server.stdout,
    output: server.output,
    async stop() {
      await server.end("SIGTERM");
      return (await server.exited).code;
    },
    kill: () => server.end("SIGKILL"),
  };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-data-"));
  reapFolder(folder);
  return join(folder, "tollgate");
}

/** The first address in the line: a URL, a `unix:` path, or host:port. */
function addressIn(readyLine: string): string {
  const url = /\bhttps?:\/\/[^\s,;)"]+|\bunix:[^\s,;)"]+/.exec(readyLine)?.[0];
  if (url !== undefined) return url.replace(/\/$/, "");
  const hostAndPort = /(?:\[[0-9a-fA-F:]+\]|[\w.-]+):\d+/.exec(readyLine)?.[0];
  if (hostAndPort === undefined) throw new Error(`no address in the ready line: ${readyLine}`);
  return `http://${hostAndPort}`;
}
