import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";
import { createJsonApi, createKey, putWorld, succeed } from "../support/json-api.ts";
import { reapFolder } from "../support/reaper.ts";
import { inRepository } from "../support/repository.ts";
import { startTollgate } from "../support/server-process.ts";

it("the documentation's example, word by word, revokes the key, counts it and tells of no secret", async () => {
  const secret = "a-secret-of-the-scanners-that-is-long-enough";
  const metricsPort = await freePort();
  const server = await startTollgate({
    env: {
      TOLLGATE_LEAK_REPORT_SECRET: secret,
      TOLLGATE_METRICS_LISTEN: `127.0.0.1:${metricsPort}`,
      LOG_LEVEL: "trace",
    },
  });
  const call = createJsonApi(server.url, server.adminToken);
  await putWorld(call, "w1");
  const key = await createKey(call, { workspaceId: "w1" });
  const cwd = mkdtempSync(join(tmpdir(), "tollgate-leak-"));
  reapFolder(cwd);
  const { stdout } = await promisify(execFile)("sh", ["-euc", documentedExample()], {
    cwd,
    env: {
      PATH: process.env["PATH"] ?? "/usr/bin:/bin",
      TOLLGATE_URL: server.url,
      TOLLGATE_LEAK_REPORT_SECRET: secret,
      LEAKED_KEY: key.secret,
    },
  });
  expect(JSON.parse(stdout)).toEqual([
    {
      token_hash: createHash("sha256").update(key.secret).digest("base64"),
      token_type: "retrac_key",
      label: "true_positive",
    },
  ]);
  const { body } = await succeed(call("GetKey", { keyId: key.id }));
  expect(body.key).toMatchObject({
    status: "KEY_STATUS_REVOKED",
    revokeReason: "leaked: content, https://github.com/acme/shop/blob/main/.env",
  });
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  expect(metrics).toContain('tollgate_leak_reports_total{label="true_positive"} 1');
  await server.stop();
  for (const each of [secret, key.secret]) expect(server.output()).not.toContain(each);
});

function documentedExample(): string {
  const page = readFileSync(inRepository("docs", "leak-reports.md"), "utf8");
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block]) => block as string);
  expect(blocks).toHaveLength(1);
  return blocks[0] as string;
}
