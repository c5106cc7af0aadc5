import { createHmac } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { createDatabase } from "../support/postgres.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";

const SECRET = "a-secret-of-the-scanners-that-is-long-enough";

let drop: () => Promise<void>;
let servers: TollgateProcess[];
let calls: JsonApi[];

beforeAll(async () => {
  const database = await createDatabase();
  drop = database.drop;
  const env = { DATABASE_URL: database.url, TOLLGATE_LEAK_REPORT_SECRET: SECRET };
  await runTollgate(["migrate"], { env });
  servers = await Promise.all([1, 2].map(() => startTollgate({ env })));
  calls = servers.map((server) => createJsonApi(server.url, server.adminToken));
  await putWorld(calls[0] as JsonApi, "w1");
}, 60_000);

afterAll(async () => {
  await Promise.all((servers ?? []).map((server) => server.stop()));
  await drop?.();
});

/** Ten keys, each of which both replicas have in their caches. */
async function createCachedKeys() {
  const keys = [];
  for (let made = 0; made < 10; made++) {
    keys.push(await createKey(calls[0] as JsonApi, { workspaceId: "w1" }));
  }
  expect(await reasons(keys)).toEqual(Array(20).fill("DENY_REASON_UNSPECIFIED"));
  return keys;
}

const reasons = (keys: readonly { secret: string }[]) =>
  Promise.all(
    calls.flatMap((call) =>
      keys.map(async ({ secret }) => {
        const check = { api: "retool", key: secret, permission: "users.read", mode: "MODE_PEEK" };
        return (await succeed(call("Check", check))).body.reason;
      }),
    ),
  );

it("all of a user's keys are dead on every replica when RevokeKeys answers", async () => {
  const keys = await createCachedKeys();
  const { body } = await succeed((calls[0] as JsonApi)("RevokeKeys", { api: "retool", userId: "ann" }));
  expect(await reasons(keys)).toEqual(Array(20).fill("DENY_REASON_KEY_REVOKED"));
  expect(body).toEqual({ keyIds: keys.map(({ id }) => id).sort(), more: false });
});

it("all reported keys are dead on every replica when the leak report is answered", async () => {
  const keys = await createCachedKeys();
  const report = JSON.stringify(keys.map(({ secret }) => ({ token: secret, source: "commit" })));
  const timestamp = String(Math.floor(Date.now() / 1000));
  const digest = createHmac("sha256", SECRET).update(`${timestamp}.${report}`).digest("hex");
  const response = await fetch(`${servers[1]?.url}/leak-reports`, {
    method: "POST",
    headers: { "x-tollgate-timestamp": timestamp, "x-tollgate-signature": `sha256=${digest}` },
    body: report,
  });
  expect(await reasons(keys)).toEqual(Array(20).fill("DENY_REASON_KEY_REVOKED"));
  expect(response.status).toBe(200);
  const labels = (await response.json()) as { label: string }[];
  expect(labels.map(({ label }) => label)).toEqual(Array(10).fill("true_positive"));
});
