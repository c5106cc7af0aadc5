import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { describe, expect, test } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { inRepository } from "../support/repository.ts";
import { run } from "./run.ts";

/** Every command, by the words that call it. */
function commandPaths(command: Command, words: readonly string[] = []): string[][] {
  return command.commands.flatMap((child) => {
    const path = [...words, child.name()];
    return child.commands.length === 0 ? [path] : [path, ...commandPaths(child, path)];
  });
}

const unused = () => Promise.reject(new Error("not expected"));
const program = createProgram({
  terminal: {
    env: {},
    stdinIsTerminal: false,
    readStdin: unused,
    print() {},
    note() {},
    style: (_format, text) => text,
    noteStyle: (_format, text) => text,
  },
  actions: { serve: unused, init: unused, migrate: unused },
  finish() {},
});
const paths = commandPaths(program);

test("there is a command for everything that the documentation promises", () => {
  const wanted = `serve; init; migrate; demo; check
    policy; policy validate; policy test; policy schema; policy explain; policy diff
    token; token create; token list; token revoke
    workspace; workspace put; workspace get; workspace list; workspace delete
    member; member put; member get; member list; member remove
    key; key create; key get; key list; key revoke; key revoke-all; key rotate; key update
    points; points show; points reset; points grant
    replicas`;
  const names = paths.map((path) => path.join(" ")).filter((name) => !name.endsWith("help"));
  expect(names.sort()).toEqual(
    wanted
      .split(/;|\n/)
      .map((name) => name.trim())
      .sort(),
  );
  const page = readFileSync(inRepository("docs", "cli.md"), "utf8");
  for (const name of names) expect(page, name).toContain(`tollgate ${name}`);
});

test.each(paths.map((path) => [path.join(" ")]))(
  "tollgate %s --help explains itself on stdout",
  async (name) => {
    const result = await run([...name.split(" "), "--help"]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(result.stdout).toMatch(/^Usage: tollgate /);
  },
);

test("every command and option has a description", () => {
  const find = (words: readonly string[]) =>
    words.reduce<Command | undefined>((at, word) => at?.commands.find((it) => it.name() === word), program);
  for (const path of paths) {
    const command = find(path);
    expect(command?.description(), path.join(" ")).not.toBe("");
    for (const option of command?.options ?? []) expect(option.description, option.flags).not.toBe("");
  }
});

test("--version prints the package's version", async () => {
  const { version } = JSON.parse(readFileSync(inRepository("package.json"), "utf8"));
  expect(await run(["--version"])).toEqual({ status: 0, stdout: `${version}\n`, stderr: "" });
});

describe("wrong usage ends with status 2, and nothing on stdout", () => {
  test.each<[args: string[], message: RegExp]>([
    [[], /Usage: tollgate/],
    [["kee"], /unknown command 'kee'[^]*Did you mean key/],
    [["key", "gett", "x"], /Did you mean get/],
    [["key", "get"], /missing required argument 'id'/],
    [["key", "get", "a", "b"], /too many arguments/],
    [["key", "create", "--workspace", "w", "--user", "u"], /--name/],
    [["key", "list", "--status", "dead"], /active, disabled, expired, revoked/],
    [["key", "list", "--limit", "-1"], /whole number/],
    [["key", "rotate", "key_1", "--overlap", "soon"], /duration/],
    [["key", "update", "key_1"], /nothing to change/],
    [["key", "update", "key_1", "--expires", "tomorrow"], /a time \(2027-/],
    [["key", "update", "key_1", "--metadata", "alone"], /name=value/],
    [["key", "revoke"], /which key\?/],
    [["key", "revoke-all"], /which keys\?/],
    [["key", "revoke", "key_1", "--secret-stdin"], /keep one/],
    [["token", "create", "--name", "x", "--grants", "everything"], /check, consume, keys, directory, admin/],
    [["member", "put", "w", "u", "--all-locations", "--locations", "a"], /keep one/],
    [["workspace", "put", "w", "--suspended", "perhaps"], /true or false/],
    [["workspace", "put", "w", "--source-version", "1.5"], /whole number/],
    [["check", "items.read", "--without-key", "--host", "x"], /--host and --scheme belong to a request/],
    [["check", "GET items", "--without-key"], /no request/],
    [["check", "items.read", "--mode", "try"], /enforce, peek or record/],
    [["check", "items.read", "--points", "4294967296", "--without-key"], /0 to 4294967295/],
    [["key", "get", "x", "--url", "ftp://host"], /--url is "ftp:\/\/host": it must be http:\/\/host:port/],
    [["key", "get", "x", "--url", "http://u:p@host"], /--url holds a password/],
    [["key", "get", "x", "--token-file", "/nonexistent/token"], /--token-file: cannot read/],
    [["serve", "--listen", "8080"], /--listen is "8080"/],
    [["serve", "extra"], /too many arguments/],
  ])("%j", async (args, message) => {
    const { status, stdout, stderr } = await run(args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });
});

describe("a secret on the command line", () => {
  const secret = `retrac_${"a1B2c3D4e5".repeat(5).slice(1)}`;

  test("is refused as a key's id, and not repeated", async () => {
    const { status, stdout, stderr } = await run(["key", "revoke", secret]);
    expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
    expect(stderr).toMatch(/use --secret-stdin/);
    expect(stderr).not.toContain(secret);
  });

  test("is refused as a caller token's id", async () => {
    const { status, stderr } = await run(["token", "revoke", secret]);
    expect(status).toBe(2);
    expect(stderr).not.toContain(secret);
  });
});

test("with --json an error is one object on stderr", async () => {
  const { status, stdout, stderr } = await run(["--json", "key", "revoke"]);
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" });
  expect(JSON.parse(stderr)).toEqual({
    error: { code: "usage", reason: "", message: expect.any(String), metadata: {}, violations: [] },
  });
});

test("a server that is not there is status 4, and named", async () => {
  const { status, stderr } = await run(["key", "get", "key_1", "--url", "http://127.0.0.1:1"]);
  expect(status).toBe(4);
  expect(stderr).toBe(
    "tollgate: no answer from http://127.0.0.1:1: the connection is refused; is `tollgate serve` running there?\n",
  );
});

test("a programming error tells its stack, and ends with status 1", async () => {
  const actions = { migrate: () => Promise.reject(new TypeError("x is not a function")) };
  const { status, stderr } = await run(["migrate"], { actions });
  expect(status).toBe(1);
  expect(stderr).toMatch(/^tollgate: x is not a function\nTypeError: .*\n\s+at /);
});
