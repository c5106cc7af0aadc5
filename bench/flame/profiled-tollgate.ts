import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChildServer } from "../../test/support/child-server.ts";
import { reapFolder } from "../../test/support/reaper.ts";
import { inRepository, repositoryFolder } from "../../test/support/repository.ts";
import { checkMessages, checkPath } from "../check-messages.ts";
import type { Subject } from "../subject.ts";
import { startTollgateWithKeys } from "../tollgate-with-keys.ts";
import type { CpuProfile } from "./cpu-profile.ts";

/** Half of V8's default: finer pictures of short runs, and a stack is read in a few microseconds. */
const SAMPLE_EVERY_US = 500;

/** Tollgate as the benchmark starts it, under V8's profiler. */
export interface ProfiledTollgate extends Subject {
  /** The profile of the server's whole life, which it writes when it ends: this ends it. */
  endProfile(): Promise<CpuProfile>;
}

export async function startProfiledTollgate(): Promise<ProfiledTollgate> {
  const world = await startTollgateWithKeys();
  const folder = mkdtempSync(join(tmpdir(), "tollgate-profile-"));
  reapFolder(folder);
  const adminToken = randomBytes(24).toString("hex");
  const server = await startProfiled().catch(async (error: unknown) => {
    await world.stop();
    throw error;
  });
  return {
    name: "Tollgate Check",
    pid: server.pid,
    redis: world.redis,
    postgresUrl: world.postgresUrl,
    job: {
      url: urlIn(server.readyLine),
      path: checkPath,
      headers: { authorization: `Bearer ${adminToken}` },
      messages: checkMessages(world.keys, () => ({ case: "permission", value: "items.read" })),
      // CheckResponse.allowed is true.
      expectedPrefix: "0801",
    },
    async endProfile() {
      await server.end("SIGTERM");
      return JSON.parse(readFileSync(join(folder, "check.cpuprofile"), "utf8")) as CpuProfile;
    },
    async stop() {
      await server.end("SIGTERM");
      await world.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };

  /** In the place of the benchmark's server, with its stores. */
  async function startProfiled() {
    await world.server.stop();
    return startChildServer({
      name: "tollgate serve, under the profiler",
      command: process.execPath,
      args: [
        "--cpu-prof",
        `--cpu-prof-dir=${folder}`,
        "--cpu-prof-name=check.cpuprofile",
        `--cpu-prof-interval=${SAMPLE_EVERY_US}`,
        "--max-semi-space-size=32",
        inRepository("bin", "tollgate.js"),
        "serve",
      ],
      env: {
        PATH: process.env["PATH"] ?? "/usr/bin:/bin",
        NODE_ENV: "production",
        DATABASE_URL: world.postgresUrl,
        REDIS_URL: world.redis.url,
        TOLLGATE_POLICIES: inRepository("policies"),
        TOLLGATE_LISTEN: "127.0.0.1:0",
        TOLLGATE_METRICS_LISTEN: "127.0.0.1:0",
        TOLLGATE_DATA_DIR: join(folder, "tollgate"),
        TOLLGATE_ADMIN_TOKEN: adminToken,
      },
      cwd: repositoryFolder,
      ready: /^tollgate ready/,
    });
  }
}

function urlIn(readyLine: string): string {
  const [url] = /\bhttp:[^\s,;)"]+/.exec(readyLine) ?? [];
  if (url === undefined) throw new Error(`no address in the ready line: ${readyLine}`);
  return url;
}
