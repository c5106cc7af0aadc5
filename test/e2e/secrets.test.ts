import { expect, it } from "vitest";
import { freePort } from "../support/free-port.ts";
import { createJsonApi, createKey, putWorld, succeed } from "../support/json-api.ts";
import { startTollgate } from "../support/server-process.ts";

it("no secret reaches the log, the metrics or an answer, at any level", async () => {
  const metricsPort = await freePort();
  const server = await startTollgate({
    env: { LOG_LEVEL: "trace", TOLLGATE_METRICS_LISTEN: `127.0.0.1:${metricsPort}` },
  });
  const call = createJsonApi(server.url, server.adminToken);
  await putWorld(call, "w1");
  const { id, secret } = await createKey(call, { workspaceId: "w1", metadata: { team: "a" } });
  const rotated = await succeed(call("RotateKey", { keyId: id, overlap: "60s" }));
  const token = await succeed(
    call("CallerService/CreateCallerToken", { name: "n", grants: ["GRANT_CHECK"] }),
  );
  const secrets = [secret, rotated.body.secret, token.body.secret, server.adminToken];

  const answers = [
    await call("Check", { api: "retool", key: secret, permission: "users.read", explain: true }),
    await call("Check", { api: "retool", key: `${secret}x`, permission: "users.read", explain: true }),
    await call("Check", { api: "retool", key: secret, permission: secret }),
    await call("CreateKey", { api: secret, type: secret, name: "n" }),
    await call("RevokeKey", { key: secret, reason: "r" }, { token: token.body.secret }),
    await call("RevokeKey", { key: secret, reason: "r" }),
    await call("GetKey", { keyId: id }),
    await call("ListKeys", {}),
    await call("Check", { api: "retool", key: secret, permission: "users.read", explain: true }),
    await call("CallerService/ListCallerTokens", {}),
    await call("ListKeys", {}, { token: `${token.body.secret}x` }),
  ];
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  expect(metrics).toContain('reason="KEY_REVOKED"');
  await server.stop();
  expect(server.output()).toContain("RevokeKey");
  for (const each of secrets) {
    expect(server.output()).not.toContain(each);
    expect(metrics).not.toContain(each);
  }
  // What a caller itself wrote into a field that holds no secret may come back to it; nothing else.
  const told = JSON.stringify(answers.filter((_, index) => index !== 2 && index !== 3));
  for (const each of secrets) expect(told).not.toContain(each);
});
