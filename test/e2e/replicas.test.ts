import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { createDatabase } from "../support/postgres.ts";
import { startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";

let drop: () => Promise<void>;
let stopRedis: () => Promise<void>;
let servers: TollgateProcess[];
let calls: JsonApi[];

beforeAll(async () => {
  const database = await createDatabase();
  drop = database.drop;
  const redis = await startRedis();
  stopRedis = redis.stop;
  const env = { DATABASE_URL: database.url, REDIS_URL: redis.url, TOLLGATE_POINTS_BUDGET: PATIENT };
  await runTollgate(["migrate"], { env });
  servers = await Promise.all([1, 2, 3].map(() => startTollgate({ env })));
  calls = servers.map((server) => createJsonApi(server.url, server.adminToken));
  await putWorld(calls[0] as JsonApi, "w1");
}, 60_000);

afterAll(async () => {
  await Promise.all((servers ?? []).map((server) => server.stop()));
  await stopRedis?.();
  await drop?.();
});

it("200 concurrent Checks of cost 2 on a limit of 300, through three processes: exactly 150 are allowed", async () => {
  const [first] = calls as [JsonApi];
  const { secret } = await createKey(first, { workspaceId: "w1" });
  const check = { api: "retool", key: secret, permission: "users.read" };
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) => succeed((calls[index % 3] as JsonApi)("Check", check))),
  );
  expect(answers.filter(({ body }) => body.degraded.length > 0)).toEqual([]);
  expect(answers.filter(({ body }) => body.allowed)).toHaveLength(150);
  const reasons = answers.flatMap(({ body }) => (body.allowed ? [] : [body.reason]));
  expect(reasons.filter((reason) => reason === "DENY_REASON_POINTS_EXCEEDED")).toHaveLength(1);
  expect(reasons.filter((reason) => reason === "DENY_REASON_BLOCKED")).toHaveLength(49);
});

it("a revoked key is dead on every replica when RevokeKey answers", async () => {
  const [first, ...others] = calls as [JsonApi, JsonApi, JsonApi];
  await putWorld(first, "w2");
  for (let round = 0; round < 10; round++) {
    const { secret } = await createKey(first, { workspaceId: "w2" });
    const check = { api: "retool", key: secret, permission: "users.read", mode: "MODE_PEEK" };
    // Each has it in its cache then.
    for (const call of calls) expect((await call("Check", check)).body.allowed).toBe(true);
    await succeed(first("RevokeKey", { key: secret }));
    const answers = await Promise.all([first, ...others].map((call) => call("Check", check)));
    expect(answers.map(({ body }) => body.reason)).toEqual(Array(3).fill("DENY_REASON_KEY_REVOKED"));
  }
});

it("a revoked caller token is dead within two seconds elsewhere", async () => {
  const [first, second] = calls as [JsonApi, JsonApi];
  const made = await succeed(
    first("CallerService/CreateCallerToken", { name: "short-lived", grants: ["GRANT_DIRECTORY"] }),
  );
  const options = { token: made.body.secret as string };
  const get = { directory: "retool", workspaceId: "w1" };
  expect((await second("DirectoryService/GetWorkspace", get, options)).status).toBe(200);
  await succeed(first("CallerService/RevokeCallerToken", { callerTokenId: made.body.callerToken.id }));
  const revokedMs = performance.now();
  expect((await first("DirectoryService/GetWorkspace", get, options)).status).toBe(401);
  for (;;) {
    const beganMs = performance.now();
    const { status } = await second("DirectoryService/GetWorkspace", get, options);
    if (status === 401) break;
    expect(beganMs - revokedMs).toBeLessThan(2000);
  }
});

it("what is granted is seen at once where it was granted: a new key, unknown a moment before", async () => {
  const [first] = calls as [JsonApi];
  await putWorld(first, "w3");
  const { id, secret } = await createKey(first, { workspaceId: "w3" });
  const rotated = await succeed(first("RotateKey", { keyId: id, overlap: "0s" }));
  expect((await first("Check", { api: "retool", key: secret, permission: "users.read" })).body.allowed).toBe(
    false,
  );
  expect(
    (await first("Check", { api: "retool", key: rotated.body.secret, permission: "users.read" })).body
      .allowed,
  ).toBe(true);
});

it("tollgate replicas tells whether all have the same policies, and who has died, until a change was made without him", async () => {
  const own = await createDatabase();
  const folder = mkdtempSync(join(tmpdir(), "tollgate-replicas-"));
  await runTollgate(["migrate"], { env: { DATABASE_URL: own.url } });
  const start = async (name: string) => {
    const policies = join(folder, name);
    cpSync(inRepository("policies", "retrac.yaml"), join(policies, "retrac.yaml"));
    const env = { DATABASE_URL: own.url, TOLLGATE_POLICIES: policies };
    return { policies, server: await startTollgate({ env }) };
  };
  const [one, other] = await Promise.all([start("one"), start("other")]);
  const shown = async ({ server }: typeof one) => {
    const env = { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: server.adminToken };
    const { code, stdout } = await runTollgate(["--json", "replicas"], { env, mayFail: true });
    return { code, ...JSON.parse(stdout) };
  };
  type Shown = Awaited<ReturnType<typeof shown>>;
  const shownOnce = async (who: typeof one, isSo: (answer: Shown) => boolean): Promise<Shown> => {
    for (;;) {
      const answer = await shown(who);
      if (isSo(answer)) return answer;
    }
  };
  const idOf = (answer: Shown) => answer.replicas.find((it: { isThis: boolean }) => it.isThis).id;
  const raiseCost = ({ policies }: typeof one) => {
    const file = join(policies, "retrac.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace("items.read: 1", "items.read: 2"));
  };

  // On a busy machine a lease may lapse for a moment.
  const calm = await shownOnce(one, ({ code }) => code === 0);
  expect(calm.policies).toMatchObject([
    { api: "retrac", policiesAgree: true, digests: [expect.any(String)] },
  ]);
  const otherId = idOf(await shown(other));
  expect(new Set(calm.replicas.map(({ id }: { id: string }) => id))).toEqual(new Set([idOf(calm), otherId]));
  expect(otherId).not.toBe(idOf(calm));
  expect(other.server.output()).toContain(otherId);

  raiseCost(one);
  const torn = await shownOnce(other, ({ policies }) =>
    policies.some((it: { policiesAgree: boolean }) => !it.policiesAgree),
  );
  expect(torn.code).toBe(1);
  const [before] = calm.policies[0].digests;
  expect(torn.policies).toMatchObject([{ digests: expect.arrayContaining([before]) }]);
  raiseCost(other);
  const again = await shownOnce(one, ({ code }) => code === 0);
  expect(again.policies[0].digests).not.toContain(before);

  await other.server.kill();
  const isLapsed = ({ id, state }: { id: string; state: string }) =>
    id === otherId && state === "REPLICA_STATE_LAPSED";
  const left = await shownOnce(one, ({ replicas }) => replicas.some(isLapsed));
  expect(left.code).toBe(1);
  const workspace = { directory: "retrac", id: "w1", plan: "business" };
  const { url, adminToken } = one.server;
  await succeed(createJsonApi(url, adminToken)("DirectoryService/PutWorkspace", { workspace }));
  const alone = await shownOnce(one, ({ code }) => code === 0);
  expect(alone.replicas.map(({ id }: { id: string }) => id)).toEqual([idOf(calm)]);
  await one.server.stop();
  await own.drop();
  rmSync(folder, { recursive: true });
}, 60_000);
