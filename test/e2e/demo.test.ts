import { expect, it } from "vitest";
import { createDatabase } from "../support/postgres.ts";
import { redisUrl } from "../support/redis.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { PATIENT, startTollgate } from "../support/server-process.ts";

async function demoOn(env: Record<string, string>): Promise<string> {
  const server = await startTollgate({ env });
  const { stdout } = await runTollgate(["demo"], {
    env: { TOLLGATE_URL: server.url, TOLLGATE_TOKEN: server.adminToken },
  });
  await server.stop();
  return stdout;
}

it("the demo tells the same story of every rule on the embedded default and on Postgres and Redis", async () => {
  const database = await createDatabase();
  const env = { DATABASE_URL: database.url, REDIS_URL: redisUrl(), TOLLGATE_POINTS_BUDGET: PATIENT };
  await runTollgate(["migrate"], { env });
  const embedded = await demoOn({});
  expect(await demoOn(env)).toBe(embedded);
  const rules = [
    ...Array.from({ length: 11 }, (_, i) => `A${i + 1}`),
    ...Array.from({ length: 14 }, (_, i) => `B${i + 1}`),
  ];
  for (const rule of rules) expect(embedded).toMatch(new RegExp(`^✓ ${rule} `, "m"));
  expect(embedded).not.toContain("✗");
  await database.drop();
}, 60_000);
