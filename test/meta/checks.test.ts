import { execFile, execFileSync } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { inRepository } from "../support/repository.ts";

/** A checkout of its own, with everything that the checks read, and no git yet. */
let checkout = "";

beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), "tollgate-checks-"));
  const copied = [
    "buf.yaml",
    "buf.gen.yaml",
    "migrations",
    "package.json",
    "policies",
    "proto",
    "scripts",
    "src",
    "tsconfig.json",
  ];
  for (const path of copied) cpSync(inRepository(path), join(checkout, path), { recursive: true });
  symlinkSync(inRepository("node_modules"), join(checkout, "node_modules"));
});

afterEach(() => rmSync(checkout, { recursive: true, force: true }));

test("generated code, migrations and the policy schema are in step with their sources", async () => {
  expect(await runScript("check-generated.ts")).toEqual({ code: 0, output: "" });
});

test("a proto field that was not generated is told", async () => {
  replaceInProto("bool allowed = 1;", "bool allowed = 1;\n  bool unheard_of = 99;");
  const { code, output } = await runScript("check-generated.ts");
  expect({ code, told: output.includes("src/gen/tollgate/v1/") }).toEqual({ code: 1, told: true });
});

test("a column that no migration makes is told", async () => {
  appendFileSync(
    join(checkout, "src/postgres/schema.ts"),
    'export const unheardOf = pgTable("unheard_of", { id: text().primaryKey() });\n',
  );
  const { code, output } = await runScript("check-generated.ts");
  expect(code).toBe(1);
  expect(output).toContain('CREATE TABLE "unheard_of"');
});

test("a hand-edited policy schema is told", async () => {
  appendFileSync(join(checkout, "policies/policy.schema.json"), "\n");
  const { code, output } = await runScript("check-generated.ts");
  expect(code).toBe(1);
  expect(output).toContain("policies/policy.schema.json is not what");
});

test("before the first commit there is no contract to break", async () => {
  git("init", "--initial-branch", "main");
  expect(await runScript("check-breaking.ts")).toEqual({
    code: 0,
    output: "no commit to compare the contract with yet\n",
  });
});

test.each([
  ["main, from a branch", ["main", "topic"]],
  ["the last commit, where there is no main", ["topic"]],
])("a field taken out of the contract is told, against %s", async (_against, branches) => {
  const [first, ...others] = branches as [string, ...string[]];
  git("init", "--initial-branch", first);
  git("add", "proto", "buf.yaml");
  git("-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "contract");
  for (const branch of others) git("switch", "--quiet", "--create", branch);
  expect(await runScript("check-breaking.ts")).toEqual({ code: 0, output: "" });
  replaceInProto("bool allowed = 1;", "");
  const { code, output } = await runScript("check-breaking.ts");
  expect(code).toBe(1);
  expect(output).toContain('Previously present field "1" with name "allowed"');
});

function replaceInProto(text: string, replacement: string): void {
  const path = join(checkout, "proto/tollgate/v1/authorization_service.proto");
  const source = readFileSync(path, "utf8");
  if (!source.includes(text)) throw new Error(`${path} does not hold: ${text}`);
  writeFileSync(path, source.replace(text, replacement));
}

function git(...args: string[]): void {
  // Neither this machine's settings nor the repository that the tests run in play a part.
  const env = { PATH: process.env["PATH"], HOME: checkout, GIT_CONFIG_NOSYSTEM: "1" };
  execFileSync("git", args, { cwd: checkout, env, stdio: ["ignore", "ignore", "pipe"] });
}

function runScript(name: string): Promise<{ code: number; output: string }> {
  return new Promise((resolve, reject) => {
    const args = ["--import", "tsx", join("scripts", name)];
    execFile(process.execPath, args, { cwd: checkout }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== "number") reject(error);
      else resolve({ code: Number(error?.code ?? 0), output: stdout + stderr });
    });
  });
}
