import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { inRepository } from "../support/repository.ts";

/**
 * A tree of its own with our configuration and one file a rule, linted once. Each row: the file, what
 * stands in it, and the rule that refuses it; undefined where nothing may be found.
 */
const cases: readonly (readonly [path: string, source: string, rule: string | undefined])[] = [
  ["src/core/imports-core.ts", 'import { fine } from "./fine.ts";\nfine();', undefined],
  ["src/core/fine.ts", "export function fine(): void {}", undefined],
  ["src/core/imports-crypto.ts", 'import { hash } from "node:crypto";\nhash("sha1", "");', undefined],
  ["src/core/imports-fs.ts", 'import { rmSync } from "node:fs";\nrmSync("x");', "tollgate(layers)"],
  [
    "src/core/imports-policy.ts",
    'import type { a } from "../policy/a.ts";\nexport type B = typeof a;',
    "tollgate(layers)",
  ],
  ["src/core/imports-gen.ts", 'export const load = () => import("../gen/a.ts");', "tollgate(layers)"],
  ["src/core/imports-package.ts", 'import { z } from "zod";\nz.string();', "tollgate(layers)"],
  ["src/core/nested/imports-app.ts", 'import { fine } from "../../app.ts";\nfine();', "tollgate(layers)"],
  ["src/core/nested/imports-core.ts", 'import { fine } from "../fine.ts";\nfine();', undefined],
  ["src/policy/a.ts", 'import { fine } from "../core/fine.ts";\nexport const a = fine;', undefined],
  ["src/policy/imports-points.ts", 'import { fine } from "../points/fine.ts";\nfine();', "tollgate(layers)"],
  ["src/points/fine.ts", "export function fine(): void {}", undefined],
  ["src/points/imports-redis.ts", 'import { fine } from "../redis/fine.ts";\nfine();', "tollgate(layers)"],
  ["src/redis/fine.ts", 'import { fine } from "../points/fine.ts";\nexport { fine };', undefined],
  [
    "src/redis/imports-postgres.ts",
    'import { fine } from "../postgres/fine.ts";\nfine();',
    "tollgate(layers)",
  ],
  ["src/postgres/fine.ts", "export function fine(): void {}", undefined],
  [
    "src/postgres/imports-ioredis.ts",
    'import { Redis } from "ioredis";\nnew Redis().disconnect();',
    "tollgate(layers)",
  ],
  [
    "src/embedded/imports-postgres.ts",
    'import { fine } from "../postgres/fine.ts";\nfine();',
    "tollgate(layers)",
  ],
  [
    "src/replica/imports-postgres.ts",
    'import { fine } from "../postgres/fine.ts";\nfine();',
    "tollgate(layers)",
  ],
  ["src/http2/imports-core.ts", 'import { fine } from "../core/fine.ts";\nfine();', "tollgate(layers)"],
  [
    "src/http2/imports-connect.ts",
    'import { Code } from "@connectrpc/connect";\nString(Code);',
    "tollgate(layers)",
  ],
  ["src/http2/imports-node.ts", 'import { connect } from "node:http2";\nconnect("http://x");', undefined],
  [
    "src/rpc/imports-connect.ts",
    'import { Code } from "@connectrpc/connect";\nexport const code = Code.NotFound;',
    undefined,
  ],
  ["src/rpc/imports-postgres.ts", 'import { fine } from "../postgres/fine.ts";\nfine();', "tollgate(layers)"],
  ["src/proxy/imports-rpc.ts", 'import { fine } from "../rpc/fine.ts";\nfine();', "tollgate(layers)"],
  ["src/cli/imports-app.ts", 'import { fine } from "../app.ts";\nfine();', "tollgate(layers)"],
  ["src/cli/imports-redis.ts", 'import { fine } from "../redis/fine.ts";\nfine();', "tollgate(layers)"],
  ["src/app.ts", 'import { fine } from "./redis/fine.ts";\nexport { fine };\nfine();', undefined],
  ["src/main.ts", 'import { fine } from "./redis/fine.ts";\nfine();', "tollgate(layers)"],
  ["src/config.ts", 'export const home = process.env["HOME"];', undefined],
  ["src/core/reads-environment.ts", 'export const home = process.env["HOME"];', "tollgate(no-environment)"],
  ["src/core/destructures-environment.ts", "export const { env } = process;", "tollgate(no-environment)"],
  [
    "src/redis/imports-environment.ts",
    'import { env } from "node:process";\nString(env);',
    "tollgate(no-environment)",
  ],
  ["src/newcomer/imports-core.ts", 'import { fine } from "../core/fine.ts";\nfine();', "tollgate(layers)"],
  ["src/core/star-barrel.ts", 'export * from "./fine.ts";\nexport const own = 1;', "tollgate(no-barrel)"],
  ["src/core/named-barrel.ts", 'export { fine } from "./fine.ts";', "tollgate(no-barrel)"],
  ["src/core/index.ts", "export const own = 1;", "tollgate(file-name)"],
  ["src/core/string-utils.ts", "export const own = 1;", "tollgate(file-name)"],
  ["src/core/camelCase.ts", "export const own = 1;", "tollgate(file-name)"],
  ["src/core/default-export.ts", "export default function own(): void {}", "import(no-default-export)"],
  ["src/core/cycle-a.ts", 'import { b } from "./cycle-b.ts";\nexport const a = () => b;', "import(no-cycle)"],
  ["src/core/cycle-b.ts", 'import { a } from "./cycle-a.ts";\nexport const b = () => a;', "import(no-cycle)"],
  ["src/core/without-extension.ts", 'import { fine } from "./fine";\nfine();', "import(extensions)"],
  [
    "src/core/floats.ts",
    "async function later(): Promise<void> {}\nlater();",
    "typescript(no-floating-promises)",
  ],
  [
    "src/core/misuses.ts",
    "async function later(): Promise<boolean> {\n  return true;\n}\nif (later()) throw new Error();",
    "typescript(no-misused-promises)",
  ],
  ["src/core/awaits-a-number.ts", "export const one = await 1;", "typescript(await-thenable)"],
  ["src/core/any.ts", "export const any = (value: any) => String(value);", "typescript(no-explicit-any)"],
  ["src/core/prints.ts", 'console.log("x");', "eslint(no-console)"],
  [
    "test/skips.test.ts",
    'import { expect, test } from "vitest";\ntest.skip("x", () => expect(1).toBe(1));',
    "vitest(no-disabled-tests)",
  ],
  [
    "test/focuses.test.ts",
    'import { expect, test } from "vitest";\ntest.only("x", () => expect(1).toBe(1));',
    "vitest(no-focused-tests)",
  ],
];

let tree = "";
let found = new Map<string, string[]>();

beforeAll(async () => {
  tree = mkdtempSync(join(tmpdir(), "tollgate-lint-"));
  for (const copied of [".oxlintrc.json", "tsconfig.json", "scripts/lint"]) {
    cpSync(inRepository(copied), join(tree, copied), { recursive: true });
  }
  symlinkSync(inRepository("node_modules"), join(tree, "node_modules"));
  for (const [path, source] of cases) {
    mkdirSync(join(tree, dirname(path)), { recursive: true });
    writeFileSync(join(tree, path), `${source}\n`);
  }
  found = await lint(tree);
});

afterAll(() => rmSync(tree, { recursive: true, force: true }));

const refused = cases.flatMap(([path, , rule]) => (rule === undefined ? [] : [{ path, rule }]));
const accepted = cases.filter(([, , rule]) => rule === undefined).map(([path]) => ({ path }));

test.each(refused)("$path is refused by $rule", ({ path, rule }) => {
  expect(found.get(path)).toContain(rule);
});

test.each(accepted)("$path is accepted", ({ path }) => {
  expect(found.get(path)).toBeUndefined();
});

/** The rules that each file breaks. */
async function lint(folder: string): Promise<Map<string, string[]>> {
  const report = await new Promise<string>((resolve, reject) => {
    const program = inRepository("node_modules", "oxlint", "bin", "oxlint");
    execFile(
      process.execPath,
      [program, "--format", "json", "src", "test"],
      { cwd: folder, maxBuffer: 64 * 1024 * 1024 },
      (error, stdout, stderr) => {
        if (error !== null && error.code !== 1) reject(new Error(`oxlint failed: ${stderr}${stdout}`));
        else resolve(stdout);
      },
    );
  });
  const { diagnostics } = JSON.parse(report) as { diagnostics: { code: string; filename: string }[] };
  const rules = new Map<string, string[]>();
  for (const { code, filename } of diagnostics) rules.set(filename, [...(rules.get(filename) ?? []), code]);
  return rules;
}
