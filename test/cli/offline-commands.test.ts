import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { exitStatus } from "../../src/cli/exit.ts";
import type { Config } from "../../src/config.ts";
import { storeUnavailable } from "../../src/core/errors.ts";
import { run } from "./run.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const made = { tokenId: "ct_1", secret: "tgc_secret" };
const init = () => Promise.resolve(made);

describe("serve", () => {
  test("is given the configuration of flags and environment", async () => {
    const configs: Config[] = [];
    const serve = async (config: Config) => {
      configs.push(config);
      return exitStatus.ok;
    };
    const { status } = await run(["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "off"], {
      env: { LOG_LEVEL: "debug" },
      actions: { serve },
    });
    expect(status).toBe(0);
    expect(configs).toMatchObject([
      { listen: { port: 0 }, metricsListen: undefined, logLevel: "debug", dataDir: "/nonexistent" },
    ]);
  });

  test("warns of a misspelt variable and of a listener for others, on stderr", async () => {
    const { stdout, stderr } = await run(["serve", "--listen", "0.0.0.0:0"], {
      env: { TOLLGATE_LISTN: "x" },
      actions: {
        async serve(_config, terminal) {
          terminal.print("tollgate ready");
          return exitStatus.ok;
        },
      },
    });
    expect(stdout).toBe("tollgate ready\n");
    expect(stderr).toMatch(
      /^warning: TOLLGATE_LISTN .*\nwarning: listening on 0\.0\.0\.0:0 without TLS.*\n$/,
    );
  });
});

describe("init", () => {
  test("prints the token alone on stdout", async () => {
    const { status, stdout, stderr } = await run(["init"], { actions: { init } });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "tgc_secret\n" });
    expect(stderr).toContain("ct_1");
    expect(stderr).not.toContain("tgc_secret");
  });

  test("--out writes a file that only its owner can read", async () => {
    const file = join(folder, "token");
    const { status, stdout, stderr } = await run(["init", "--out", file], { actions: { init } });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" });
    expect(stderr).not.toContain("tgc_secret");
    expect(readFileSync(file, "utf8")).toBe("tgc_secret\n");
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  test("--out overwrites nothing, and then makes no token", async () => {
    const file = join(folder, "kept");
    writeFileSync(file, "kept");
    let calls = 0;
    const counted = () => {
      calls++;
      return init();
    };
    const { status, stderr } = await run(["init", "--out", file], { actions: { init: counted } });
    expect({ status, calls }).toEqual({ status: 2, calls: 0 });
    expect(stderr).toMatch(/is there already/);
    expect(readFileSync(file, "utf8")).toBe("kept");
  });

  test("leaves no file when the store fails, and says so with status 4", async () => {
    const file = join(folder, "unused");
    const fail = () => Promise.reject(storeUnavailable("postgres", new Error("down")));
    const { status, stderr } = await run(["init", "--out", file], { actions: { init: fail } });
    expect(status).toBe(4);
    expect(stderr).toBe(
      "tollgate: The postgres store did not answer in time; try again. It said: down (STORE_UNAVAILABLE)\n",
    );
    expect(existsSync(file)).toBe(false);
  });

  test("--json answers one object", async () => {
    const { stdout } = await run(["init", "--json"], { actions: { init } });
    expect(JSON.parse(stdout)).toEqual(made);
  });
});

describe("migrate", () => {
  test.each([
    [{ from: "0001", to: "0003", applied: 2 }, "applied 2 migrations: 0001 → 0003\n"],
    [{ from: "0002", to: "0003", applied: 1 }, "applied 1 migration: 0002 → 0003\n"],
    [{ from: "0003", to: "0003", applied: 0 }, "the schema is up to date: 0003\n"],
  ])("says what it did: %j", async (result, line) => {
    const actions = { migrate: () => Promise.resolve(result) };
    expect(await run(["migrate"], { actions })).toEqual({ status: 0, stdout: line, stderr: "" });
    const { stdout } = await run(["migrate", "--json"], { actions });
    expect(JSON.parse(stdout)).toEqual(result);
  });
});
