import { execFile, execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { inRepository } from "../support/repository.ts";

interface Ended {
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

let checkout: string;

/** A small checkout: the real bin, build script and compiler, and a program of a few lines. */
beforeEach(() => {
  checkout = mkdtempSync(join(tmpdir(), "tollgate-build-"));
  for (const path of ["bin", "scripts/build.js", "tsconfig.json", "tsconfig.build.json", "package.json"]) {
    cpSync(inRepository(path), join(checkout, path), { recursive: true });
  }
  symlinkSync(inRepository("node_modules"), join(checkout, "node_modules"));
  mkdirSync(join(checkout, "src"));
  writeMain("first");
  writeFileSync(
    join(checkout, "src", "part.ts"),
    "export const part: string = process.argv.slice(2).join();\n",
  );
});

afterEach(() => {
  rmSync(checkout, { recursive: true });
});

function writeMain(word: string): void {
  const source = `import { part } from "./part.ts";\nprocess.stdout.write(\`${word} \${part}\\n\`);\n`;
  writeFileSync(join(checkout, "src", "main.ts"), source);
}

function start(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const command = [join(checkout, "bin", "tollgate.js"), ...args];
    execFile(process.execPath, command, { cwd: tmpdir() }, (error, stdout, stderr) => {
      resolve({ status: error?.code ?? 0, stdout, stderr });
    });
  });
}

const done = (stdout: string): Ended => ({ status: 0, stdout, stderr: "" });

test("a checkout without dist builds it, and prints only what the program prints", async () => {
  expect(await start("a", "b")).toEqual(done("first a,b\n"));
  expect(readdirSync(join(checkout, "dist"))).toContain("main.js");
});

test("a changed, a removed and an added source are built; an unchanged one is not built again", async () => {
  await start();
  writeMain("second");
  expect(await start()).toEqual(done("second \n"));
  rmSync(join(checkout, "src", "part.ts"));
  writeFileSync(join(checkout, "src", "main.ts"), 'process.stdout.write("third");\n');
  expect(await start()).toEqual(done("third"));
  expect(existsSync(join(checkout, "dist", "part.js"))).toBe(false);
  writeFileSync(join(checkout, "dist", "main.js"), 'process.stdout.write("as it was left");\n');
  expect(await start()).toEqual(done("as it was left"));
});

test("many starts at once all run, and leave nothing of their builds behind", async () => {
  const all = await Promise.all(Array.from({ length: 6 }, () => start("x")));
  expect(all).toEqual(Array.from({ length: 6 }, () => done("first x\n")));
  expect(readdirSync(join(checkout, ".cache"))).toEqual([]);
});

test("a lock that a dead process left does not stop the build", async () => {
  mkdirSync(join(checkout, ".cache"));
  const gone = execFileSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" });
  writeFileSync(join(checkout, ".cache", "build.lock"), gone.trim());
  expect(await start()).toEqual(done("first \n"));
});

test("an error in the sources is told on stderr, with status 1, and dist stays as it was", async () => {
  await start();
  writeFileSync(join(checkout, "src", "part.ts"), "export const part: string = 1;\n");
  const { status, stdout, stderr } = await start();
  expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
  expect(stderr).toMatch(/^tollgate: the build failed:\n.*src\/part\.ts.*TS2322/);
  expect(readdirSync(join(checkout, "dist"))).toContain("main.js");
});

describe("an installed package, which has neither sources nor a compiler", () => {
  test("runs its dist as it is", async () => {
    await start();
    for (const path of ["src", "scripts", "node_modules", "tsconfig.json", "tsconfig.build.json"]) {
      rmSync(join(checkout, path), { recursive: true });
    }
    chmodSync(join(checkout, "dist"), 0o555);
    expect(await start("x")).toEqual(done("first x\n"));
    chmodSync(join(checkout, "dist"), 0o755);
  });
});

test("a Node that is too old is told so in one line", () => {
  // The check stands before anything that such a Node could not read, so the version is all it needs.
  const old = 'Object.defineProperty(process, "versions", { value: { node: "18.20.0" } });';
  writeFileSync(join(checkout, "old.mjs"), `${old}\nawait import("./bin/tollgate.js");\n`);
  const run = () =>
    execFileSync(process.execPath, [join(checkout, "old.mjs")], { stdio: "pipe", encoding: "utf8" });
  expect(run).toThrow(/tollgate needs Node\.js 20\.12 or later/);
});
