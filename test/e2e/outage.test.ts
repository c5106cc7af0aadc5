import { afterAll, beforeAll, expect, it } from "vitest";
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
import { runTollgate } from "../support/run-tollgate.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { until } from "../support/until.ts";

let postgres: Awaited<ReturnType<typeof startPostgres>>;
let redis: Awaited<ReturnType<typeof startRedis>>;
let server: TollgateProcess;
let call: JsonApi;
let secret: string;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url };
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

const check = (): Promise<JsonAnswer> =>
  call("Check", { api: "retool", key: secret, permission: "users.read" });

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
