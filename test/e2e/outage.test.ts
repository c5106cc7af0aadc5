import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it, onTestFinished } from "vitest";
import {
  createJsonApi,
  createKey,
  type JsonAnswer,
  type JsonApi,
  putWorld,
  succeed,
} from "../support/json-api.ts";
import { startPostgres } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { until } from "../support/until.ts";

const BEGAN = "Redis does not answer: points are decided without it";
const ENDED = "Redis answers again";
const TOLD = "Redis was told what was used without it";

let postgres: Awaited<ReturnType<typeof startPostgres>>;
let redis: Awaited<ReturnType<typeof startRedis>>;
let server: TollgateProcess;
let call: JsonApi;
let secret: string;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, TOLLGATE_POINTS_BUDGET: PATIENT };
  await runTollgate(["migrate"], { env });
  server = await startTollgate({ env });
  call = createJsonApi(server.url, server.adminToken);
  await putWorld(call, "w1");
  ({ secret } = await createKey(call, { workspaceId: "w1" }));
}, 60_000);

afterAll(async () => {
  await server?.stop();
  await redis?.stop();
  await postgres?.stop();
});

const check = (key = secret): Promise<JsonAnswer> =>
  call("Check", { api: "retool", key, permission: "users.read" });

/** On a machine too busy to renew a lease the rights cannot be read for a moment: then no points are asked for. */
async function decided(key: string): Promise<JsonAnswer> {
  for (;;) {
    const answer = await check(key);
    if (answer.status !== 503) return succeed(Promise.resolve(answer));
  }
}

/** The lines of the server's log with that message. */
function logged(message: string): { [field: string]: unknown }[] {
  const lines = server.output().split("\n");
  return lines.filter((line) => line.includes(`"msg":"${message}"`)).map((line) => JSON.parse(line));
}

it("without Redis each decision is this process's share, marked so, and with it again exact again", async () => {
  expect((await succeed(check())).body.degraded).toEqual([]);
  await redis.stop();
  const local = await Promise.all(Array.from({ length: 200 }, () => succeed(check())));
  for (const { body } of local) expect(body.degraded).toEqual(["DEGRADED_CAUSE_POINTS_LOCAL"]);
  expect(local.filter(({ body }) => body.allowed)).toHaveLength(150);
  const health = await fetch(`${server.url}/healthz`);
  expect(health.status).toBe(200);
  await redis.restart();
  await until(async () => (await succeed(check())).body.degraded.length === 0);
});

it("what was used without Redis counts when it is back, and the log tells begin and end, not each decision", async () => {
  await putWorld(call, "w2");
  const key = (await createKey(call, { workspaceId: "w2" })).secret;
  await until(async () => (await decided(key)).body.degraded.length === 0);
  const [began, ended] = [logged(BEGAN).length, logged(ENDED).length];
  await redis.stop();
  const local = await Promise.all(Array.from({ length: 50 }, () => decided(key)));
  expect(local.filter(({ body }) => body.allowed && body.degraded.length === 1)).toHaveLength(50);
  await until(() => logged(BEGAN).length > began);
  // It has lost what it knew: all that it counts is what it is told.
  await redis.restart();
  // Asked of another workspace, and in no need to ask: the server finds Redis back itself.
  await until(() => logged(ENDED).length > ended);
  await until(() => logged(TOLD).length > 0);
  const after = await Promise.all(Array.from({ length: 200 }, () => decided(key)));
  expect(after.filter(({ body }) => body.degraded.length > 0)).toEqual([]);
  // Of 300 points 100 were used without Redis; a check costs 2.
  expect(after.filter(({ body }) => body.allowed)).toHaveLength(100);
  expect([logged(BEGAN).length, logged(ENDED).length]).toEqual([began + 1, ended + 1]);
  expect(logged(ENDED).at(-1)).toMatchObject({ decided: { local: 50, unavailable: 0, uncounted: 0 } });
});

it("without Postgres cached decisions end with the lease, writes fail, and both come back by themselves", async () => {
  await until(async () => (await check()).status === 200);
  await postgres.stop();
  const create = await call("DirectoryService/PutWorkspace", {
    workspace: { directory: "retool", id: "w9" },
  });
  expect(create.body.code).toBe("unavailable");
  await until(async () => (await check()).status === 503);
  expect((await check()).body.code).toBe("unavailable");
  expect((await fetch(`${server.url}/healthz`)).status).toBe(503);
  await postgres.restart();
  await until(async () => (await check()).status === 200);
  await until(async () => (await fetch(`${server.url}/healthz`)).status === 200);
}, 60_000);

it("within a policy's grace decisions go on without Postgres, marked as stale, and what is not known fails", async () => {
  const policies = mkdtempSync(join(tmpdir(), "tollgate-grace-"));
  onTestFinished(() => rmSync(policies, { recursive: true }));
  for (const name of ["retool.yaml", "retrac.yaml"]) {
    const policy = readFileSync(inRepository("policies", name), "utf8");
    writeFileSync(join(policies, name), `${policy}\ngrace: 5m\n`);
  }
  const graced = await startTollgate({
    env: {
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      TOLLGATE_POINTS_BUDGET: PATIENT,
      TOLLGATE_POLICIES: policies,
    },
  });
  onTestFinished(async () => {
    await graced.stop();
  });
  const ask = createJsonApi(graced.url, graced.adminToken);
  await putWorld(ask, "w7");
  const known = (await createKey(ask, { workspaceId: "w7" })).secret;
  const unknown = (await createKey(ask, { workspaceId: "w7" })).secret;
  const checkOf = (key: string): Promise<JsonAnswer> =>
    ask("Check", { api: "retool", key, permission: "users.read", mode: "MODE_PEEK" });
  // What is read while a change is on its way is not kept.
  await until(async () => {
    const { body } = await succeed(ask("ReplicaService/ListReplicas", {}));
    return body.replicas.every(
      (replica: { changesBehind?: string }) => Number(replica.changesBehind ?? 0) === 0,
    );
  });
  expect((await succeed(checkOf(known))).body).toMatchObject({ allowed: true, degraded: [] });
  await postgres.stop();
  onTestFinished(() => postgres.restart());
  await until(async () => (await succeed(checkOf(known))).body.degraded.length > 0);
  expect((await succeed(checkOf(known))).body).toMatchObject({
    allowed: true,
    degraded: ["DEGRADED_CAUSE_STALE_RIGHTS"],
  });
  expect(await checkOf(unknown)).toMatchObject({ status: 503, body: { code: "unavailable" } });
  expect((await fetch(`${graced.url}/healthz`)).status).toBe(200);
  await postgres.restart();
  await until(async () => (await succeed(checkOf(known))).body.degraded.length === 0);
  await until(async () => (await checkOf(unknown)).status === 200);
}, 60_000);
