import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { until } from "../support/until.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-reload-"));
const policy = join(folder, "retool.yaml");
let server: TollgateProcess;
let call: JsonApi;
let secret: string;

beforeAll(async () => {
  copyFileSync(inRepository("policies", "retool.yaml"), policy);
  copyFileSync(inRepository("policies", "retrac.yaml"), join(folder, "retrac.yaml"));
  server = await startTollgate({ env: { TOLLGATE_POLICIES: folder } });
  call = createJsonApi(server.url, server.adminToken);
  await putWorld(call, "w1");
  ({ secret } = await createKey(call, { workspaceId: "w1" }));
});

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const costOf = async (): Promise<number> =>
  (await succeed(call("Check", { api: "retool", key: secret, permission: "users.read", mode: "MODE_PEEK" })))
    .body.points.cost;

it("a changed policy file is taken, a bad one is told and leaves the old policy in force", async () => {
  const text = readFileSync(policy, "utf8");
  const dearer = text.replace(/users\.read: 2/, "users.read: 3");
  expect(dearer).not.toBe(text);
  expect(await costOf()).toBe(2);

  writeFileSync(policy, dearer);
  await until(async () => (await costOf()) === 3);

  writeFileSync(policy, `${text}\nnonsense: true\n`);
  await until(() => server.output().includes("bad policies"));
  expect(server.output()).toMatch(/retool\.yaml:\d+:1: .*nonsense/);
  expect(await costOf()).toBe(3);

  writeFileSync(policy, text);
  await until(async () => (await costOf()) === 2);
});

it("SIGHUP loads the policies again", async () => {
  const before = server.output().split("policies loaded").length;
  server.process.kill("SIGHUP");
  await until(() => server.output().split("policies loaded").length > before);
  expect(await costOf()).toBe(2);
});

it("SIGTERM lets calls in flight end, writes the last uses, and exits with 0", async () => {
  const data = join(folder, "data");
  const first = await startTollgate({ env: { TOLLGATE_DATA_DIR: data, TOLLGATE_POLICIES: folder } });
  const firstCall = createJsonApi(first.url, first.adminToken);
  await putWorld(firstCall, "w2");
  const key = await createKey(firstCall, { workspaceId: "w2" });
  await succeed(firstCall("Check", { api: "retool", key: key.secret, permission: "users.read" }));
  const inFlight = Array.from({ length: 20 }, () =>
    createKey(firstCall, { workspaceId: "w2" }).then(
      () => "answered",
      (error: Error) => (error.cause === undefined ? "refused" : "cut off"),
    ),
  );
  await Promise.race(inFlight);
  expect(await first.stop()).toBe(0);
  expect((await Promise.all(inFlight)).filter((outcome) => outcome === "answered").length).toBeGreaterThan(0);

  const second = await startTollgate({ env: { TOLLGATE_DATA_DIR: data, TOLLGATE_POLICIES: folder } });
  const { body } = await createJsonApi(second.url, second.adminToken)("GetKey", { keyId: key.id });
  expect(body.key.lastUseTime).toBeDefined();
  expect(await second.stop()).toBe(0);
});

describe("told to stop, it exits with 0", () => {
  it("though Postgres and Redis stand still", async () => {
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
    const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, TOLLGATE_GRACE: "1s" };
    await runTollgate(["migrate"], { env });
    const frozen = await startTollgate({ env });
    const ask = createJsonApi(frozen.url, frozen.adminToken);
    await putWorld(ask, "w3");
    const key = await createKey(ask, { workspaceId: "w3" });
    await succeed(ask("Check", { api: "retool", key: key.secret, permission: "users.read" }));
    await Promise.all(Array.from({ length: 40 }, () => ask("ListKeys", {})));
    postgres.pause();
    redis.pause();
    expect(await frozen.stop()).toBe(0);
    postgres.resume();
    redis.resume();
    await Promise.all([postgres.stop(), redis.stop()]);
  }, 60_000);

  it("also where it is told twice, and in the middle of its start", async () => {
    const twice = await startTollgate({ env: { TOLLGATE_POLICIES: folder, TOLLGATE_GRACE: "1s" } });
    // Half a request holds the drain open for its grace.
    const client = connect(Number(new URL(twice.url).port), "127.0.0.1");
    await once(client, "connect");
    // The end of the grace may come as a reset, which is no fault here.
    client.on("error", () => client.destroy());
    client.write(
      "POST /tollgate.v1.AuthorizationService/Check HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n",
    );
    twice.process.kill("SIGTERM");
    twice.process.kill("SIGTERM");
    expect(await twice.stop()).toBe(0);
    client.destroy();

    const silent = createServer(() => {});
    const port = await new Promise<number>((resolve) => {
      silent.listen(0, "127.0.0.1", () => resolve((silent.address() as { port: number }).port));
    });
    const starting = spawn(process.execPath, [inRepository("bin", "tollgate.js"), "serve"], {
      env: {
        PATH: process.env["PATH"] ?? "",
        DATABASE_URL: `postgres://u@127.0.0.1:${port}/x`,
        TOLLGATE_METRICS_LISTEN: "off",
      },
      stdio: "ignore",
    });
    await once(silent, "connection");
    starting.kill("SIGTERM");
    expect(await once(starting, "exit")).toEqual([0, null]);
    silent.close();
  }, 60_000);
});
