import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { policyJsonSchema } from "../../src/policy/schema.ts";
import { inRepository } from "../support/repository.ts";
import { adminToken, startMemoryServer } from "./memory-server.ts";
import { run } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-policies-"));
afterAll(() => rmSync(folder, { recursive: true }));

const shipped = inRepository("policies");
const retrac = join(shipped, "retrac.yaml");

/** A changed copy of a shipped policy. */
function changed(name: string, from: string, replace: (text: string) => string): string {
  const text = readFileSync(from, "utf8");
  const next = replace(text);
  expect(next, "the change must change something").not.toBe(text);
  const path = join(folder, name);
  writeFileSync(path, next);
  return path;
}

describe("policy validate", () => {
  test("accepts the shipped policies", async () => {
    const { status, stdout } = await run(["policy", "validate", shipped]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^✓ .*retool\.yaml: api retool, .*\n✓ .*retrac\.yaml: api retrac, /);
  });

  test("names the line and column of all that is wrong, with status 1", async () => {
    const file = changed("bad.yaml", retrac, (text) => text.replace("api: retrac", "api: retrac\nhots: [x]"));
    const line = readFileSync(file, "utf8").split("\n").indexOf("hots: [x]") + 1;
    const { status, stdout } = await run(["policy", "validate", file]);
    expect(status).toBe(1);
    expect(stdout).toContain(`✗ ${file}\n  ${file}:${line}:1: `);
    const json = JSON.parse((await run(["--json", "policy", "validate", file])).stdout);
    expect(json).toMatchObject({ file, valid: false, problems: [{ file, line, column: 1 }] });
  });

  test("finds what only shows in the folder: two policies of one api", async () => {
    const pair = join(folder, "pair");
    mkdirSync(pair);
    for (const name of ["a.yaml", "b.yaml"]) cpSync(retrac, join(pair, name));
    const { status, stdout } = await run(["policy", "validate", pair]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/✓ .*a\.yaml.*\n✗ .*b\.yaml\n.*b\.yaml:\d+:\d+: .*"retrac"/);
  });

  test("a path that is not there, and a folder without policies, are wrong usage", async () => {
    const empty = join(folder, "empty");
    mkdirSync(empty);
    expect((await run(["policy", "validate", empty])).status).toBe(2);
    expect((await run(["policy", "validate", join(folder, "nowhere")])).status).toBe(2);
  });
});

describe("policy test", () => {
  test("passes for the shipped policies, and lists every rule with its cases", async () => {
    const { status, stdout } = await run(["policy", "test", shipped]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/\d+ cases, 0 failed\n$/);
    const rules = [
      ...Array.from({ length: 11 }, (_, index) => `A${index + 1}`),
      ...Array.from({ length: 14 }, (_, index) => `B${index + 1}`),
    ];
    const listed = new Set([...stdout.matchAll(/^ {4}([AB]\d+) +\S/gm)].map((match) => match[1]));
    expect(listed).toEqual(new Set(rules));
  });

  test("a policy that says something else fails, with the place in the test file and status 1", async () => {
    const file = changed("retool.yaml", join(shipped, "retool.yaml"), (text) =>
      text.replace(/points: 300/, "points: 200"),
    );
    const cases = join(folder, "retool.test.yaml");
    cpSync(join(shipped, "retool.test.yaml"), cases);
    const { status, stdout } = await run(["policy", "test", file]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^ {2}✗ .+\n {6}.*retool\.test\.yaml:\d+:\d+: /m);
    expect(stdout).toMatch(/, [1-9]\d* failed\n$/);
    const json = JSON.parse((await run(["--json", "policy", "test", cases])).stdout);
    expect(json).toMatchObject({ file, api: "retool", rules: { A9: expect.any(Array) } });
    expect(json.cases.some((one: { passed: boolean }) => !one.passed)).toBe(true);
  });

  test("nothing to test is a failure, not a success", async () => {
    const file = changed("untested.yaml", retrac, (text) => `${text}\n# untested\n`);
    const { status, stderr } = await run(["policy", "test", file]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/no test file\ntollgate: there are no cases/);
  });
});

test("policy schema prints the JSON Schema", async () => {
  const { status, stdout } = await run(["policy", "schema"]);
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toEqual(JSON.parse(JSON.stringify(policyJsonSchema())));
});

describe("policy explain", () => {
  test("shows who may do what", async () => {
    const { status, stdout } = await run(["policy", "explain", retrac]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^PERMISSION +COST +OWNER +MEMBER +GRANTED BY$/m);
    expect(stdout).toMatch(/^transfers\.revert +2 +yes +- +transfers\.write$/m);
    expect(stdout).toMatch(/^requires +at least the plan business$/m);
  });

  test("says what one request needs", async () => {
    const { stdout } = await run(["policy", "explain", retrac, "PUT /locations/berlin/stock"]);
    expect(stdout).toMatch(/^permission +inventory\.write$/m);
    expect(stdout).toMatch(/^locations +berlin$/m);
    expect(stdout).toMatch(/^limit points +600 points .*; 300 such requests at most$/m);
  });

  test("a request that no route matches is status 1", async () => {
    const { status, stdout } = await run(["policy", "explain", retrac, "PUT /items"]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^✗ No route matches PUT \/items/);
  });
});

describe("policy diff", () => {
  let server: Awaited<ReturnType<typeof startMemoryServer>>;
  beforeAll(async () => {
    server = await startMemoryServer();
  });
  afterAll(() => server.close());

  test("says what a change takes and gives", async () => {
    const file = changed("dearer.yaml", retrac, (text) => text.replace("plan: business", "plan: enterprise"));
    const { status, stdout, stderr } = await run(["policy", "diff", retrac, file]);
    expect(stdout).toMatch(/^- takes .*"business", and is "enterprise"\n$/);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect((await run(["policy", "diff", file, retrac])).stdout).toMatch(/^\+ gives /);
    expect((await run(["policy", "diff", file, file])).stdout).toBe("both mean the same\n");
  });

  test("counts, on a server, the keys, members and workspaces that name what disappears", async () => {
    const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: adminToken };
    const at = ["--directory", "retrac"];
    for (const [id, plan] of [
      ["w1", "business"],
      ["w2", "enterprise"],
      ["w3", "enterprise"],
    ] as const) {
      await run(["workspace", "put", id, "--plan", plan, ...at], { env });
      await run(["member", "put", id, "olga", "--role", "owner", "--all-locations", ...at], { env });
      await run(["member", "put", id, "max", "--role", "member", "--all-locations", ...at], { env });
      const create = `key create --api retrac --type restricted --workspace ${id} --user olga --name k --scopes tags.read`;
      const { stdout } = await run(["--json", ...create.split(" ")], { env });
      if (id === "w3") await run(["key", "revoke", JSON.parse(stdout).key.id], { env });
    }
    const file = join(folder, "smaller.yaml");
    writeFileSync(file, smallerPolicy);
    const { status, stdout } = await run(["--json", "policy", "diff", retrac, file, "--url", server.url], {
      env,
    });
    expect(status).toBe(0);
    const { uses } = JSON.parse(stdout);
    expect(uses).toEqual(
      expect.arrayContaining([
        { what: "scope", name: "tags.read", by: "keys", count: 2 },
        { what: "scope", name: "tags.write", by: "keys", count: 0 },
        { what: "key type", name: "restricted", by: "keys", count: 2 },
        { what: "role", name: "member", by: "members", count: 3 },
        { what: "plan", name: "enterprise", by: "workspaces", count: 2 },
      ]),
    );
    const told = await run(["policy", "diff", retrac, file, "--url", server.url], { env });
    expect(told.stdout).toMatch(/^the scope tags\.read disappears, and is named by 2 keys$/m);
  });

  test("calls no server unless it is asked to", async () => {
    const file = join(folder, "smaller.yaml");
    const env = { TOLLGATE_URL: "http://127.0.0.1:1" };
    const { status, stderr } = await run(["policy", "diff", retrac, file], { env });
    expect(status).toBe(0);
    expect(stderr).toMatch(/Add --url/);
  });

  test("a policy that is not valid is status 1, with its lines", async () => {
    const file = join(folder, "invalid.yaml");
    writeFileSync(file, "api: [\n");
    const { status, stderr } = await run(["policy", "diff", retrac, file]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/invalid\.yaml is not valid:\n.*invalid\.yaml:\d+:\d+: /);
  });
});

/** Of retrac there is left: one plan, one role, one key type and one scope. */
const smallerPolicy = `
api: retrac
plans: [business]
permissions: {items.read: 1}
roles:
  owner: {permissions: [items.read], creates_keys: true, manages_keys: workspace}
key_types:
  full_access: {prefix: "", workspace: {query: workspaceId}, scopes: all, acts_as: creator, environment: live}
scopes: {items.read: {}}
routes:
  - {match: "GET /items", permission: items.read}
limits:
  - {name: points, per: workspace, points: 600, window: 60s}
`;
