import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { type ChildServer, startChildServer } from "./child-server.ts";
import { childrenOf } from "./children-of.ts";
import { freePort } from "./free-port.ts";
import { reapFolder } from "./reaper.ts";
import { serverPrograms } from "./server-programs.ts";

export interface PostgresServerOptions {
  /** With fsync, as in production. Without (the default) a machine's crash loses data, a process's does not. */
  durable?: boolean;
  /** Server settings on top, for example `{ max_connections: "20" }`. */
  settings?: Readonly<Record<string, string>>;
}

/** A Postgres of one's own. Its data lives until this process ends; the port stays the same over restarts. */
export interface PostgresServer {
  /** Superuser's URL, with a password. */
  readonly url: string;
  readonly port: number;
  /** Of the postmaster now running. */
  readonly pid: number;
  /** Fast shutdown: open transactions are rolled back. */
  stop(): Promise<void>;
  /** SIGKILL to the postmaster and every backend. */
  kill(): Promise<void>;
  /** Starts again on the same data and port; stops first when it runs. */
  restart(): Promise<void>;
  /** Freezes every process: connections stay open and nothing answers. */
  pause(): void;
  resume(): void;
}

export interface TestDatabase {
  url: string;
  /** Also ends the connections that are still open to it. */
  drop(): Promise<void>;
}

/** A fresh, empty database on the test run's server. */
export async function createDatabase(): Promise<TestDatabase> {
  const serverUrl = process.env["TEST_DATABASE_URL"];
  if (serverUrl === undefined) throw new Error("TEST_DATABASE_URL is not set: run the tests with `npm test`");
  const name = `tollgate_test_${randomBytes(8).toString("hex")}`;
  await runSql(serverUrl, `CREATE DATABASE ${name} TEMPLATE template0`);
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => runSql(serverUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

async function runSql(url: string, statement: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => {} });
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  const programs = serverPrograms();
  const owner = serverOwner();
  const password = randomBytes(12).toString("hex");
  const folder = createDataFolder({ initdb: programs.initdb, owner, password });
  const port = await freePort();
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    max_connections: "200",
    shared_buffers: "64MB",
    timezone: "UTC",
    ...(options.durable === true ? {} : { fsync: "off", full_page_writes: "off" }),
    ...options.settings,
  };
  const start = (): Promise<ChildServer> =>
    startChildServer({
      name: "postgres",
      command: programs.postgres,
      args: [
        "-D",
        folder,
        ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      ],
      env: serverEnvironment(),
      cwd: folder,
      ready: /database system is ready to accept connections/,
      reapSignal: "SIGQUIT",
      ...owner,
    });
  let server = await start();
  return {
    url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
    port,
    get pid() {
      return server.pid;
    },
    stop: () => server.end("SIGINT"),
    async kill() {
      signalAll(freeze(server.pid), "SIGKILL");
      await server.end("SIGKILL");
    },
    async restart() {
      await server.end("SIGINT");
      server = await start();
    },
    pause() {
      freeze(server.pid);
    },
    resume() {
      signalAll([...childrenOf(server.pid), server.pid], "SIGCONT");
    },
  };
}

/** Stops the postmaster first, so that it starts no backend between the listing and the signals. */
function freeze(postmaster: number): number[] {
  signalAll([postmaster], "SIGSTOP");
  const all = [postmaster, ...childrenOf(postmaster)];
  signalAll(all, "SIGSTOP");
  return all;
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // A backend may end between the listing and the signal.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** Postgres refuses to run as root: then its own user runs it, or nobody. */
function serverOwner(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const user of ["postgres", "_postgres", "nobody"]) {
    const uid = spawnSync("id", ["-u", user], { encoding: "utf8" });
    const gid = spawnSync("id", ["-g", user], { encoding: "utf8" });
    if (uid.status === 0 && gid.status === 0) return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  }
  throw new Error("Postgres does not run as root, and there is no user postgres or nobody to run it as");
}

function createDataFolder(options: {
  initdb: string;
  owner: { uid: number; gid: number } | undefined;
  password: string;
}): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-postgres-"));
  reapFolder(folder);
  const data = join(folder, "data");
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, options.password);
  chmodSync(folder, 0o700);
  if (options.owner !== undefined) {
    for (const path of [folder, passwordFile]) chownSync(path, options.owner.uid, options.owner.gid);
  }
  const initdb = spawnSync(
    options.initdb,
    [
      "-D",
      data,
      "-U",
      "postgres",
      "--auth=password",
      `--pwfile=${passwordFile}`,
      "--encoding=UTF8",
      "--no-sync",
    ],
    { env: serverEnvironment(), cwd: folder, encoding: "utf8", ...options.owner },
  );
  if (initdb.error !== undefined) throw initdb.error;
  if (initdb.status !== 0) throw new Error(`initdb failed:\n${initdb.stdout}${initdb.stderr}`);
  return data;
}

/** Messages in English, whatever the machine speaks: the ready line is read from them. */
function serverEnvironment(): Record<string, string> {
  return { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };
}
