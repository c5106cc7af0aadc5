import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import postgres from "postgres";
import { afterAll, describe, expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";
import { createJsonApi, createKey, putWorld } from "../support/json-api.ts";
import { createDatabase } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { startTollgate } from "../support/server-process.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-start-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What `serve` says when it does not start; it never hangs, and never tells a password. */
async function failedStart(env: Record<string, string>): Promise<string> {
  const { code, stdout, stderr } = await runTollgate(["serve"], {
    env: {
      TOLLGATE_LISTEN: "127.0.0.1:0",
      TOLLGATE_METRICS_LISTEN: "off",
      TOLLGATE_DATA_DIR: mkdtempSync(join(folder, "data-")),
      ...env,
    },
    mayFail: true,
  });
  expect(code).not.toBe(0);
  expect(stdout).not.toContain("tollgate ready");
  expect(stdout + stderr).not.toContain("hunter2");
  return stderr;
}

describe("a start that cannot succeed says why, and what would help:", () => {
  it("a policy folder that is not there, empty, or holds a bad policy", async () => {
    expect(await failedStart({ TOLLGATE_POLICIES: join(folder, "none") })).toContain(join(folder, "none"));
    const empty = join(folder, "empty");
    mkdirSync(empty);
    expect(await failedStart({ TOLLGATE_POLICIES: empty })).toMatch(/no policy in the folder/);
    writeFileSync(join(empty, "bad.yaml"), "api: bad\nroles: {}\nlimitz: []\n");
    expect(await failedStart({ TOLLGATE_POLICIES: empty })).toMatch(/bad\.yaml:3:1: .*limitz.*limits/);
  });

  it("a policy file that cannot be read", async () => {
    const unreadable = join(folder, "unreadable");
    mkdirSync(unreadable);
    mkdirSync(join(unreadable, "a.yaml"));
    writeFileSync(join(unreadable, "b.yaml"), Buffer.from([0xff, 0xfe, 0x00]));
    chmodSync(join(unreadable, "b.yaml"), 0o600);
    expect(await failedStart({ TOLLGATE_POLICIES: unreadable })).toMatch(/unreadable/);
  });

  it("a DATABASE_URL that is none, leads nowhere, or names no database", async () => {
    expect(await failedStart({ DATABASE_URL: "mysql://u:hunter2@x/y" })).toContain("DATABASE_URL");
    const port = await freePort();
    const nowhere = `postgres://u:hunter2@127.0.0.1:${port}/x`;
    expect(await failedStart({ DATABASE_URL: nowhere })).toMatch(/DATABASE_URL postgres:.*ECONNREFUSED/s);
    const url = new URL(process.env["TEST_DATABASE_URL"] ?? "");
    url.pathname = "/no_such_database";
    expect(await failedStart({ DATABASE_URL: url.href })).toContain("no_such_database");
  });

  it("a schema that is missing, older or newer", async () => {
    const database = await createDatabase();
    const env = { DATABASE_URL: database.url };
    expect(await failedStart(env)).toContain("tollgate migrate");
    await runTollgate(["migrate"], { env });
    const sql = postgres(database.url, { max: 1, onnotice: () => {} });
    try {
      const [last] =
        await sql`select id, hash, created_at from drizzle.__drizzle_migrations order by id desc limit 1`;
      await sql`delete from drizzle.__drizzle_migrations where id = ${last?.["id"]}`;
      expect(await failedStart(env)).toMatch(/older.*tollgate migrate/s);
      await sql`insert into drizzle.__drizzle_migrations ${sql(last ?? {})}`;
      await sql`insert into drizzle.__drizzle_migrations (hash, created_at) values ('later', 9999999999999)`;
      expect(await failedStart(env)).toContain("newer");
    } finally {
      await sql.end();
      await database.drop();
    }
  });

  it("a Redis that is not there, wants another password, or may evict", async () => {
    const port = await freePort();
    expect(await failedStart({ REDIS_URL: `redis://:hunter2@127.0.0.1:${port}` })).toContain("REDIS_URL");
    const guarded = await startRedis({ args: ["--requirepass", "secret-word"] });
    const evicting = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
    try {
      const open = guarded.url.replace(/\/\/.*@/, "//");
      expect(await failedStart({ REDIS_URL: open })).toMatch(/REDIS_URL.*password/s);
      expect(await failedStart({ REDIS_URL: open.replace("//", "//:hunter2@") })).toContain("REDIS_URL");
      expect(await failedStart({ REDIS_URL: evicting.url })).toMatch(/noeviction/);
    } finally {
      await guarded.stop();
      await evicting.stop();
    }
  });

  it("a port that is in use", async () => {
    const other: Server = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, "127.0.0.1", () => resolve((other.address() as { port: number }).port));
    });
    expect(await failedStart({ TOLLGATE_LISTEN: `127.0.0.1:${port}` })).toMatch(
      new RegExp(`127\\.0\\.0\\.1:${port}.*(in use|listens)`),
    );
    other.close();
  });

  it("a setting that is none", async () => {
    expect(await failedStart({ TOLLGATE_LISTEN: "nonsense" })).toContain("TOLLGATE_LISTEN");
    expect(await failedStart({ TOLLGATE_ADMIN_TOKEN: "hunter2" })).toContain("TOLLGATE_ADMIN_TOKEN");
    expect(await failedStart({ LOG_LEVEL: "loud" })).toContain("LOG_LEVEL");
  });
});

describe("the data folder", () => {
  it("of a live process is not opened again; a dead one's lock is taken over, with what it wrote", async () => {
    const data = join(folder, "locked");
    const first = await startTollgate({ env: { TOLLGATE_DATA_DIR: data } });
    const call = createJsonApi(first.url, first.adminToken);
    await putWorld(call, "w1");
    const { secret } = await createKey(call, { workspaceId: "w1" });
    expect(await failedStart({ TOLLGATE_DATA_DIR: data })).toContain(String(first.pid));
    expect((await call("Check", { api: "retool", key: secret, permission: "users.read" })).body.allowed).toBe(
      true,
    );

    await first.kill();
    const second = await startTollgate({ env: { TOLLGATE_DATA_DIR: data } });
    const again = createJsonApi(second.url, second.adminToken);
    expect(
      (await again("Check", { api: "retool", key: secret, permission: "users.read" })).body.allowed,
    ).toBe(true);
    const seeded = createJsonApi(second.url, readFileSync(join(data, "admin-token"), "utf8").trim());
    expect(
      (
        await seeded("DirectoryService/GetMember", {
          directory: "retrac",
          workspaceId: "demo",
          userId: "demo",
        })
      ).body,
    ).toMatchObject({ member: { role: "owner", allLocations: true } });
    expect(await second.stop()).toBe(0);
  });
});
