import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { adminToken, startMemoryServer } from "./memory-server.ts";
import { type RunOptions, run } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-cli-"));
let server: Awaited<ReturnType<typeof startMemoryServer>>;

beforeAll(async () => {
  server = await startMemoryServer();
  const shop = ["shop", "--directory", "retrac"];
  expect(
    (await tollgate(["workspace", "put", ...shop, "--plan", "business", "--name", "The shop"])).status,
  ).toBe(0);
  const olga = ["shop", "olga", "--directory", "retrac"];
  expect((await tollgate(["member", "put", ...olga, "--role", "owner", "--all-locations"])).status).toBe(0);
});

afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});

function tollgate(args: readonly string[], options: RunOptions = {}) {
  const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: adminToken, ...options.env };
  return run(args, { ...options, env });
}

const createAs = (user: string) =>
  `key create --api retrac --type restricted --workspace shop --user ${user}`.split(" ");
const createArgs = createAs("olga");

async function createKey(...args: string[]): Promise<{ id: string; secret: string }> {
  const { status, stdout, stderr } = await tollgate(["--json", ...createArgs, "--name", "k", ...args]);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  const answer = JSON.parse(stdout);
  return { id: answer.key.id, secret: answer.secret };
}

describe("key create", () => {
  test("prints the secret alone on stdout, the key on stderr", async () => {
    const { status, stdout, stderr } = await tollgate([
      ...createArgs,
      "--name",
      "ci",
      "--scopes",
      "items.read",
    ]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^retrac_[0-9A-Za-z]{49}\n$/);
    expect(stderr).toMatch(/^id +key_/);
    expect(stderr).not.toContain(stdout.trim());
  });

  test("--secret-only prints nothing else", async () => {
    const result = await tollgate([...createArgs, "--name", "ci", "--scopes", "items.read", "--secret-only"]);
    expect(result).toEqual({ status: 0, stdout: expect.stringMatching(/^retrac_\w+\n$/), stderr: "" });
  });

  test("passes every option on", async () => {
    const { stdout } = await tollgate([
      ...[
        "--json",
        ...createArgs,
        "--name",
        "ci",
        "--description",
        "for the build",
        "--scopes",
        "items.read,tags.read",
      ],
      ...["--scopes", "inventory.read", "--expires", "30d", "--metadata", "team=a", "--metadata", "x=y=z"],
      ...["--cidrs", "10.0.0.0/8 2001:db8::/32", "--request-id", "r-1"],
    ]);
    const { key } = JSON.parse(stdout);
    expect(key).toMatchObject({
      name: "ci",
      description: "for the build",
      scopes: ["inventory.read", "items.read", "tags.read"],
      metadata: { team: "a", x: "y=z" },
      allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"],
      workspaceId: "shop",
      createdBy: "olga",
    });
    const days = (Date.parse(key.expireTime) - Date.parse(key.createTime)) / 86_400_000;
    expect(days).toBeGreaterThan(29.9);
    expect(days).toBeLessThan(30.1);
  });

  test("a refusal is one line with the reason, and status 1", async () => {
    const args = [...createAs("stranger"), "--name", "x", "--scopes", "items.read"];
    const { status, stdout, stderr } = await tollgate(args);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toMatch(/^tollgate: .+ \(NOT_A_MEMBER\)\n$/);
  });

  test("a bad field is named; with --json as a violation", async () => {
    const args = [...createArgs, "--name", "x", "--scopes", "nonsense"];
    expect((await tollgate(args)).stderr).toMatch(/^tollgate: .*nonsense.* \(FIELD_INVALID\)\n$/);
    const { status, stdout, stderr } = await tollgate(["--json", ...args]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(JSON.parse(stderr).error).toMatchObject({
      code: "invalid_argument",
      reason: "FIELD_INVALID",
      violations: [{ field: "scopes", description: expect.stringContaining("nonsense") }],
    });
  });
});

describe("check", () => {
  test("is status 0 when allowed, 3 when denied, and says why", async () => {
    const { secret } = await createKey("--scopes", "items.read");
    const allowed = await tollgate(["check", "GET /items", "--api", "retrac"], { stdin: `${secret}\n` });
    expect(allowed.status).toBe(0);
    expect(allowed.stdout).toMatch(/^✓ allowed\n/);
    expect(allowed.stdout).toMatch(/^workspace +shop$/m);
    expect(allowed.stdout).toMatch(/^limit points +\d+ of 600 left in 60 s, this costs 1/m);
    const denied = await tollgate(["check", "items.write", "--api", "retrac"], { stdin: secret });
    expect(denied.status).toBe(3);
    expect(denied.stdout).toMatch(/^✗ denied SCOPE_INSUFFICIENT \(403\) /);
    expect(denied.stdout).toMatch(/^scopes that would do +items.write$/m);
  });

  test("takes the key from a file, from stdin by either name, and from TOLLGATE_KEY", async () => {
    const { secret } = await createKey("--scopes", "items.read");
    const file = join(folder, "key");
    writeFileSync(file, `${secret}\n`);
    const check = ["check", "items.read", "--api", "retrac"];
    const nothing = { stdin: "not-a-key" };
    for (const [args, options] of [
      [["--key-file", file], nothing],
      [["--key-file", "-"], { stdin: `${secret}\r\n` }],
      [["--secret-stdin"], { stdin: secret, env: { TOLLGATE_KEY: "another" } }],
      [[], { env: { TOLLGATE_KEY: secret }, ...nothing }],
    ] as const) {
      expect(await tollgate([...check, ...args], options), args.join(" ")).toMatchObject({ status: 0 });
    }
  });

  test("asks which key is meant rather than waiting at a terminal", async () => {
    const { status, stderr } = await tollgate(["check", "items.read", "--api", "retrac"], {
      onTerminal: true,
    });
    expect(status).toBe(2);
    expect(stderr).toMatch(/whose key\?/);
  });

  test("--without-key asks as a client that sends none", async () => {
    const { status, stdout } = await tollgate(["check", "GET /items", "--api", "retrac", "--without-key"]);
    expect(status).toBe(3);
    expect(stdout).toMatch(/^✗ denied KEY_MISSING \(401\)/);
  });

  test("a whole URL gives scheme and host", async () => {
    const { secret } = await createKey("--scopes", "items.read");
    const plain = await tollgate(["check", "get http://api.retrac.co/items"], { stdin: secret });
    expect(plain.stdout).toMatch(/INSECURE_TRANSPORT/);
    const https = await tollgate(["check", "get https://api.retrac.co/items"], { stdin: secret });
    expect(https.status).toBe(0);
  });

  test("--explain prints the steps up to the one that refused", async () => {
    const { secret } = await createKey("--scopes", "items.read");
    const { stdout } = await tollgate(["check", "GET /tags", "--api", "retrac", "--explain"], {
      stdin: secret,
    });
    const steps = stdout.split("\n").filter((line) => /^[✓✗] \w+ {2,}/.test(line));
    expect(steps.at(0)).toMatch(/^✓ transport/);
    expect(steps.at(-1)).toMatch(/^✗ scope /);
  });

  test("--mode peek charges nothing, --points overrides the cost", async () => {
    const { secret } = await createKey("--scopes", "items.read");
    const check = (...args: string[]) =>
      tollgate(["--json", "check", "items.read", "--api", "retrac", ...args], { stdin: secret });
    const before = JSON.parse((await check("--mode", "peek")).stdout).points.remaining;
    const after = JSON.parse((await check("--points", "7")).stdout).points;
    expect(after).toMatchObject({ cost: 7, remaining: before - 7 });
  });

  test("--json prints the whole answer, with false and 0", async () => {
    const { stdout } = await tollgate(["--json", "check", "GET /items", "--api", "retrac", "--without-key"]);
    expect(JSON.parse(stdout)).toMatchObject({
      allowed: false,
      reason: "DENY_REASON_KEY_MISSING",
      httpStatus: 401,
      retryAfterMs: 0,
      steps: [],
    });
  });
});

describe("a key's life", () => {
  test("get shows it without its secret; update changes what is given, and nothing else", async () => {
    const { id, secret } = await createKey("--scopes", "items.read", "--expires", "30d", "--metadata", "a=b");
    const shown = await tollgate(["key", "get", id]);
    expect(shown.stdout).toMatch(/^status +active$/m);
    expect(shown.stdout).not.toContain(secret);
    await tollgate(["key", "update", id, "--name", "renamed", "--expires", "never", "--status", "disabled"]);
    const { stdout } = await tollgate(["--json", "key", "get", id]);
    expect(JSON.parse(stdout)).toMatchObject({
      name: "renamed",
      status: "KEY_STATUS_DISABLED",
      scopes: ["items.read"],
      metadata: { a: "b" },
    });
    expect(JSON.parse(stdout)).not.toHaveProperty("expireTime");
    await tollgate(["key", "update", id, "--clear-metadata"]);
    expect(JSON.parse((await tollgate(["--json", "key", "get", id])).stdout).metadata).toEqual({});
  });

  test("rotate prints the new secret; the old one works in the overlap only", async () => {
    const { id, secret } = await createKey("--scopes", "items.read");
    const check = ["check", "items.read", "--api", "retrac"];
    const rotated = await tollgate(["key", "rotate", id, "--overlap", "1h", "--secret-only"]);
    expect(rotated.stdout).not.toContain(secret);
    expect((await tollgate(check, { stdin: rotated.stdout })).status).toBe(0);
    expect((await tollgate(check, { stdin: secret })).status).toBe(0);
    for (const command of [
      ["get", id],
      ["list", "--workspace", "shop", "--limit", "0"],
    ]) {
      expect((await tollgate(["key", ...command])).stdout).toContain("not since the rotation");
    }
    await tollgate(["key", "rotate", id, "--overlap", "0s"]);
    expect((await tollgate(["key", "get", id])).stdout).not.toContain("old secret");
    expect((await tollgate(check, { stdin: rotated.stdout })).status).toBe(3);
  });

  test("revoke by the secret on stdin ends it, with its reason", async () => {
    const { id, secret } = await createKey("--scopes", "items.read");
    const args = ["key", "revoke", "--secret-stdin", "--reason", "leaked"];
    const revoked = await tollgate(args, { stdin: `${secret}\n` });
    expect(revoked.status).toBe(0);
    expect(revoked.stdout).toMatch(new RegExp(`^id +${id}$`, "m"));
    expect(revoked.stdout).toMatch(/^status +revoked: leaked$/m);
    const { status, stdout } = await tollgate(["check", "items.read", "--api", "retrac"], { stdin: secret });
    expect(status).toBe(3);
    expect(stdout).toMatch(/KEY_REVOKED/);
  });

  test("revoke-all ends the keys of a user in a workspace, prints their ids, and leaves the others", async () => {
    const put = ["member", "put", "shop", "leaver", "--directory", "retrac"];
    await tollgate([...put, "--role", "owner", "--all-locations"]);
    const mine = await createKey("--scopes", "items.read");
    const his = await createKey("--scopes", "items.read", "--user", "leaver");
    const theirs = await createKey("--scopes", "items.read", "--user", "leaver");
    const args = ["key", "revoke-all", "--api", "retrac", "--user", "leaver", "--workspace", "shop"];
    const revoked = await tollgate([...args, "--reason", "he left"]);
    expect(revoked.status).toBe(0);
    expect(revoked.stdout.trim().split("\n").sort()).toEqual([his.id, theirs.id].sort());
    expect(revoked.stderr).toBe("revoked 2 keys\n");
    expect((await tollgate(["key", "get", his.id])).stdout).toMatch(/^status +revoked: he left$/m);
    expect((await tollgate(["key", "get", mine.id])).stdout).toMatch(/^status +active$/m);
    expect(await tollgate(args)).toMatchObject({ status: 0, stdout: "", stderr: "revoked 0 keys\n" });
    expect(JSON.parse((await tollgate(["--json", ...args])).stdout)).toEqual({ keyIds: [], more: false });
  });

  test("revoke-all goes on while there are more, and has printed the ids of calls before one that fails", async () => {
    const answers = [
      { keyIds: ["key_a", "key_b"], more: true },
      { keyIds: ["key_c"], more: true },
    ];
    const asked: string[] = [];
    const revokeKeys = ({ workspaceId }: { workspaceId: string }) => {
      const answer = answers[asked.push(workspaceId) - 1];
      if (answer === undefined) throw new ConnectError("not now", Code.Unavailable);
      return answer;
    };
    const routes = (router: ConnectRouter) => router.service(AuthorizationService, { revokeKeys });
    const many = createServer(connectNodeAdapter({ routes }));
    await new Promise<void>((resolve) => void many.listen(0, "127.0.0.1", resolve));
    const env = { TOLLGATE_URL: `http://127.0.0.1:${(many.address() as AddressInfo).port}` };
    const { status, stdout, stderr } = await tollgate(["key", "revoke-all", "--workspace", "w"], { env });
    many.close();
    many.closeAllConnections();
    expect(asked).toEqual(["w", "w", "w"]);
    expect(stdout).toBe("key_a\nkey_b\nkey_c\n");
    expect(status).not.toBe(0);
    expect(stderr).toContain("not now");
  });

  test("a key that is not there is status 1", async () => {
    const { status, stderr } = await tollgate(["key", "get", "key_none"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/\(KEY_UNKNOWN\)/);
  });
});

describe("lists", () => {
  test("are a table; with --json an object a line; --limit says that there is more", async () => {
    await createKey("--scopes", "items.read");
    await createKey("--scopes", "items.read");
    const args = ["key", "list", "--workspace", "shop", "--limit", "2"];
    const table = await tollgate(args);
    expect(table.stdout).toMatch(
      /^ID +NAME +API +TYPE +WORKSPACE +MADE BY +STATUS +LAST USED +OLD SECRET LAST USED\nkey_/,
    );
    expect(table.stdout.trimEnd().split("\n")).toHaveLength(3);
    expect(table.stderr).toMatch(/--limit 0 lists all/);
    const lines = (await tollgate(["--json", ...args])).stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).workspaceId)).toEqual(["shop", "shop"]);
    const all = await tollgate(["--json", "key", "list", "--limit", "0"]);
    expect(all.stdout.trimEnd().split("\n").length).toBeGreaterThan(2);
    expect(all.stderr).toBe("");
  });

  test("that are empty say so on stderr only", async () => {
    const result = await tollgate(["key", "list", "--workspace", "nobody"]);
    expect(result).toEqual({ status: 0, stdout: "", stderr: "none\n" });
  });

  test("names cannot send escape codes to the terminal", async () => {
    await createKey("--scopes", "items.read", "--name", "\u001b[31mred");
    const { stdout } = await tollgate(["key", "list", "--workspace", "shop", "--limit", "1"]);
    expect(stdout).toContain("\ufffd[31mred");
    expect(stdout).not.toContain("\u001b");
  });
});

describe("workspaces and members", () => {
  const at = ["--directory", "retrac"];

  test("put replaces the whole, put --update what is given", async () => {
    await tollgate(["workspace", "put", "w1", ...at, "--name", "One", "--plan", "pro", "--features", "a,b"]);
    await tollgate(["workspace", "put", "w1", ...at, "--update", "--plan", "business", "--features", ""]);
    const updated = JSON.parse((await tollgate(["--json", "workspace", "get", "w1", ...at])).stdout);
    expect(updated).toMatchObject({ name: "One", plan: "business", features: [] });
    await tollgate(["workspace", "put", "w1", ...at, "--suspended", "true"]);
    const { stdout } = await tollgate(["workspace", "get", "w1", ...at]);
    expect(stdout).toMatch(/^state +suspended$/m);
    expect(stdout).not.toMatch(/One/);
  });

  test("a member's role and locations are put, listed and removed", async () => {
    await tollgate(["workspace", "put", "w2", ...at]);
    await tollgate(["member", "put", "w2", "max", ...at, "--role", "member", "--locations", "a,b"]);
    await tollgate(["member", "put", "w2", "max", ...at, "--update", "--role", "owner"]);
    const { stdout } = await tollgate(["member", "list", "w2", ...at]);
    expect(stdout).toMatch(/^USER +ROLE +LOCATIONS\nmax +owner +a b\n$/);
    await tollgate(["member", "put", "w2", "max", ...at, "--update", "--all-locations"]);
    expect((await tollgate(["member", "get", "w2", "max", ...at])).stdout).toMatch(/^locations +all$/m);
    expect((await tollgate(["member", "remove", "w2", "max", ...at])).status).toBe(0);
    expect((await tollgate(["member", "get", "w2", "max", ...at])).stderr).toMatch(/MEMBER_UNKNOWN/);
  });

  test("an older source version is refused", async () => {
    await tollgate(["workspace", "put", "w3", ...at, "--source-version", "5"]);
    const { status, stderr } = await tollgate(["workspace", "put", "w3", ...at, "--source-version", "4"]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/SOURCE_VERSION_STALE/);
  });

  test("delete takes it away", async () => {
    await tollgate(["workspace", "put", "w4", ...at]);
    expect((await tollgate(["workspace", "delete", "w4", ...at])).status).toBe(0);
    expect((await tollgate(["workspace", "get", "w4", ...at])).status).toBe(1);
  });
});

describe("caller tokens", () => {
  test("a token does what its grants say, until it is revoked", async () => {
    const created = await tollgate(["token", "create", "--name", "sidecar", "--grants", "check,consume"]);
    expect(created.stdout).toMatch(/^tgc_[0-9A-Za-z]{49}\n$/);
    expect(created.stderr).toMatch(/^grants +check consume$/m);
    const id = /^id +(ct_\w+)$/m.exec(created.stderr)?.[1] ?? "";
    const asSidecar = { env: { TOLLGATE_TOKEN: created.stdout.trim() } };
    const check = ["check", "items.read", "--api", "retrac", "--without-key"];
    expect((await tollgate(check, asSidecar)).status).toBe(3);
    const list = await tollgate(["token", "list"], asSidecar);
    expect(list.status).toBe(1);
    expect(list.stderr).toMatch(/GRANT_REQUIRED/);
    expect((await tollgate(["token", "list"])).stdout).toMatch(
      new RegExp(`^${id} +sidecar +check consume`, "m"),
    );
    expect((await tollgate(["token", "revoke", id])).stdout).toMatch(/^state +revoked /m);
    expect((await tollgate(check, asSidecar)).stderr).toMatch(/CALLER_TOKEN_INVALID/);
  });

  test("without a token the error says how to give one", async () => {
    const { status, stderr } = await tollgate(["key", "list"], { env: { TOLLGATE_TOKEN: "" } });
    expect(status).toBe(1);
    expect(stderr).toMatch(/--token-file or TOLLGATE_TOKEN\. \(CALLER_TOKEN_MISSING\)\n$/);
  });

  test("the embedded store's token is found by itself", async () => {
    const dataDir = join(folder, "data");
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "admin-token"), `${adminToken}\n`);
    const env = { TOLLGATE_TOKEN: "", TOLLGATE_DATA_DIR: dataDir };
    expect((await tollgate(["token", "list"], { env })).status).toBe(0);
  });

  test("--token-file wins over TOLLGATE_TOKEN", async () => {
    const file = join(folder, "caller-token");
    writeFileSync(file, adminToken);
    const env = { TOLLGATE_TOKEN: "another" };
    expect((await tollgate(["token", "list", "--token-file", file], { env })).status).toBe(0);
  });
});

test("a Unix socket serves as well", async () => {
  const path = join(folder, "t.sock");
  await server.socket(path);
  expect(
    (await tollgate(["workspace", "get", "shop", "--directory", "retrac", "--url", `unix:${path}`])).status,
  ).toBe(0);
});

test("a terminal gets colours, NO_COLOR takes them away", async () => {
  const check = ["check", "GET /items", "--api", "retrac", "--without-key"];
  expect((await tollgate(check, { onTerminal: true })).stdout).toContain("\u001b[31m");
  const env = { NO_COLOR: "1" };
  expect((await tollgate(check, { onTerminal: true, env })).stdout).not.toContain("\u001b");
});
