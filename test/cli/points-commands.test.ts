import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { adminToken, startMemoryServer } from "./memory-server.ts";
import { type RunOptions, run } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-points-"));
let server: Awaited<ReturnType<typeof startMemoryServer>>;
let workspace = "";
let workspaces = 0;
let id = "";
let secret = "";

function tollgate(args: readonly string[], options: RunOptions = {}) {
  const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: adminToken, ...options.env };
  return run(args, { ...options, env });
}

async function json(args: readonly string[], options: RunOptions = {}) {
  const { status, stdout, stderr } = await tollgate(["--json", ...args], options);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout);
}

beforeAll(async () => {
  server = await startMemoryServer();
});
beforeEach(async () => {
  workspace = `shop-${workspaces++}`;
  const inDirectory = [workspace, "--directory", "retrac"];
  await json(["workspace", "put", ...inDirectory, "--plan", "business", "--name", "The shop"]);
  await json([
    "member",
    "put",
    workspace,
    "olga",
    "--directory",
    "retrac",
    "--role",
    "owner",
    "--all-locations",
  ]);
  const made = ["--workspace", workspace, "--user", "olga", "--name", "k", "--scopes", "items.read"];
  const answer = await json(["key", "create", "--api", "retrac", "--type", "restricted", ...made]);
  id = answer.key.id;
  secret = answer.secret;
  await json(["check", "items.read", "--api", "retrac", "--points", "100"], {
    env: { TOLLGATE_KEY: secret },
  });
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

test("show tells what is left, and charges nothing", async () => {
  for (let call = 0; call < 2; call++) {
    const { status, stdout } = await tollgate(["points", "show", id]);
    expect(status).toBe(0);
    expect(stdout).toMatch(new RegExp(`^api +retrac\nkey +${id}\nworkspace +${workspace}\n\n`));
    expect(stdout).toMatch(/^LIMIT +LEFT +OF +WINDOW +ALL BACK IN\npoints +500 +600 +60 s +\d+ s\n$/m);
  }
});

test("with --json it is the service's own answer", async () => {
  expect(await json(["points", "show", id, "--limit", "points"])).toEqual({
    api: "retrac",
    keyId: id,
    workspaceId: workspace,
    limits: [
      {
        limitName: "points",
        limit: 600,
        cost: 0,
        remaining: 500,
        windowSeconds: 60,
        resetMs: expect.any(Number),
        blockedMs: 0,
        shadow: false,
        shadowReason: "DENY_REASON_UNSPECIFIED",
      },
    ],
  });
});

test("reset gives all points back", async () => {
  const { status, stdout } = await tollgate(["points", "reset", id, "--reason", "case 1", "--actor", "sam"]);
  expect({ status, stdout }).toEqual({
    status: 0,
    stdout: expect.stringMatching(/^points +600 +600 +60 s +-$/m),
  });
});

test("grant gives some back, once for a request id, and tells how many", async () => {
  const args = ["points", "grant", id, "--points", "70", "--request-id", "case-2"];
  expect((await tollgate(args)).stdout).toMatch(/^LIMIT +GIVEN BACK +LEFT.*\npoints +70 +570 +600 /m);
  expect(await json(args)).toMatchObject({
    given: [{ limitName: "points", points: 70 }],
    limits: [{ remaining: 570 }],
  });
});

test("the key itself names its points, from stdin, a file or the environment", async () => {
  const file = join(folder, "key.txt");
  writeFileSync(file, `${secret}\n`);
  expect((await json(["points", "show", "--key-file", file])).keyId).toBe(id);
  expect((await json(["points", "show", "--secret-stdin"], { stdin: secret })).keyId).toBe(id);
  expect((await json(["points", "show"], { env: { TOLLGATE_KEY: secret } })).keyId).toBe(id);
});

test("a secret as an argument, two keys, none, and no number of points are wrong usage", async () => {
  for (const args of [
    ["show", secret],
    ["show", id, "--secret-stdin"],
    ["reset"],
    ["grant", id],
    ["grant", id, "--points", "many"],
  ]) {
    expect((await tollgate(["points", ...args])).status).toBe(2);
  }
});

test("what the server refuses is status 1, with its reason", async () => {
  const unknown = await tollgate(["points", "reset", "key_none"]);
  expect(unknown).toMatchObject({ status: 1, stderr: expect.stringContaining("KEY_UNKNOWN") });
  const none = await tollgate(["points", "grant", id, "--points", "0"]);
  expect(none).toMatchObject({ status: 1, stderr: expect.stringContaining("FIELD_INVALID") });
  const limit = await tollgate(["points", "show", id, "--limit", "nothing"]);
  expect(limit).toMatchObject({ status: 1, stderr: expect.stringContaining("limit_name") });
});
