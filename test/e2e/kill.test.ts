import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createJsonApi, createKey, putWorld } from "../support/json-api.ts";
import { createDatabase } from "../support/postgres.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { startTollgate } from "../support/server-process.ts";

const KEYS = 1000;

describe.each(["PGlite", "Postgres"])("kill -9 during 1,000 CreateKey calls on %s", (store) => {
  it("loses no acknowledged key", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tollgate-kill-"));
    const database = store === "Postgres" ? await createDatabase() : undefined;
    const env: Record<string, string> =
      database === undefined ? { TOLLGATE_DATA_DIR: join(folder, "data") } : { DATABASE_URL: database.url };
    if (database !== undefined) await runTollgate(["migrate"], { env });
    const server = await startTollgate({ env });
    const call = createJsonApi(server.url, server.adminToken);
    await putWorld(call, "w1");

    const acknowledged: string[] = [];
    let isKilled = false;
    const makers = Array.from({ length: 8 }, async () => {
      while (acknowledged.length < KEYS && !isKilled) {
        // A call that the kill cuts off was not acknowledged: it may have made a key or not.
        const made = await createKey(call, { workspaceId: "w1" }).catch((error: unknown) => {
          if (!isKilled) throw error;
          return undefined;
        });
        if (made === undefined) return;
        acknowledged.push(made.secret);
        if (acknowledged.length === KEYS / 2) {
          isKilled = true;
          await server.kill();
        }
      }
    });
    await Promise.all(makers);
    expect(acknowledged.length).toBeGreaterThanOrEqual(KEYS / 2);

    const again = await startTollgate({ env });
    const check = createJsonApi(again.url, again.adminToken);
    for (let start = 0; start < acknowledged.length; start += 100) {
      const checks = acknowledged
        .slice(start, start + 100)
        .map((key) => ({ api: "retool", key, permission: "users.read", mode: "MODE_PEEK" }));
      const { body } = await check("BatchCheck", { checks });
      expect(body.results.map((result: { allowed: boolean }) => result.allowed)).toEqual(
        checks.map(() => true),
      );
    }
    await again.stop();
    await database?.drop();
    rmSync(folder, { recursive: true, force: true });
  }, 120_000);
});
