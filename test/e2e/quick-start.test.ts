import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, it } from "vitest";
import { runTollgate } from "../support/run-tollgate.ts";
import { startTollgate } from "../support/server-process.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-quick-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shell = async (command: string): Promise<string> =>
  (await promisify(execFile)("sh", ["-c", command])).stdout;

it("the three commands that a new embedded folder prints work as printed, and no secret is an argument", async () => {
  const data = join(folder, "data");
  const server = await startTollgate({ env: { TOLLGATE_DATA_DIR: data } });
  const commands = server
    .stdout()
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line.includes("curl -sS"));
  expect(commands).toHaveLength(3);
  const [create, check, revoke] = commands as [string, string, string];
  await shell(create);
  expect(JSON.parse(await shell(check))).toMatchObject({
    allowed: true,
    points: { cost: 2, remaining: 298 },
  });
  expect(JSON.parse(await shell(revoke))).toMatchObject({ key: { status: "KEY_STATUS_REVOKED" } });
  expect(JSON.parse(await shell(check))).toMatchObject({ allowed: false, reason: "DENY_REASON_KEY_REVOKED" });

  const token = await shell(`cat ${join(data, "admin-token")}`);
  expect(server.output()).not.toContain(token.trim());
  for (const file of ["admin-token", "admin-header"])
    expect(statSync(join(data, file)).mode & 0o777).toBe(0o600);
  expect(statSync(data).mode & 0o777).toBe(0o700);
  await server.stop();
});

it("a Unix socket serves the same, to the command line too", async () => {
  const data = join(folder, "socket-data");
  const server = await startTollgate({
    env: { TOLLGATE_DATA_DIR: data, TOLLGATE_LISTEN: `unix:${join(folder, "tollgate.sock")}` },
  });
  const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: server.adminToken };
  const key = await runTollgate(
    [
      "key",
      "create",
      "--api",
      "retool",
      "--workspace",
      "demo",
      "--user",
      "demo",
      "--name",
      "n",
      "--scopes",
      "users.read",
      "--secret-only",
    ],
    { env },
  );
  const checked = await runTollgate(
    ["check", "users.read", "--api", "retool", "--explain", "--secret-stdin"],
    {
      env,
      stdin: key.stdout,
    },
  );
  expect(checked.stdout).toMatch(/allowed/i);
  expect(checked.stdout).not.toContain(key.stdout.trim());
  const denied = await runTollgate(["check", "groups.read", "--api", "retool", "--secret-stdin"], {
    env,
    stdin: key.stdout,
    mayFail: true,
  });
  expect(denied.code).toBe(3);
  await server.stop();
});

it("tells with init how to begin on a database or folder of its own", async () => {
  const data = join(folder, "init-data");
  const made = await runTollgate(["init", "--data-dir", data]);
  const server = await startTollgate({ env: { TOLLGATE_DATA_DIR: data } });
  const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: made.stdout.trim() };
  expect((await runTollgate(["token", "list", "--json"], { env })).stdout).toContain("admin");
  await server.stop();
});
