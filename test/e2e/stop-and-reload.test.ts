import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { inRepository } from "../support/repository.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";

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

/** Asks until it is so; the test's own timeout ends what never comes. */
async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve));
}

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
