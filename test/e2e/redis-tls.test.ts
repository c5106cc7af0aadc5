import { expect, test } from "vitest";
import { freePort } from "../support/free-port.ts";
import { startRedis } from "../support/redis.ts";
import { createAuthority, tlsArguments } from "../support/redis-certificates.ts";
import { startRedisSentinels } from "../support/redis-sentinel.ts";
import { startTollgate } from "../support/server-process.ts";

const ca = createAuthority();
const own = ca.sign("DNS:localhost,IP:127.0.0.1");
const certificates = {
  REDIS_TLS_CA_FILE: ca.cert,
  REDIS_TLS_CERT_FILE: own.cert,
  REDIS_TLS_KEY_FILE: own.key,
};

test("tollgate serve reaches a Redis that asks for certificates, with those of its settings and not without", async () => {
  const port = await freePort();
  const place = ["--port", "0", "--tls-port", String(port)];
  const redis = await startRedis({ port, args: [...place, ...tlsArguments({ ca, own }, "yes")] });
  const env = { REDIS_URL: `rediss://localhost:${port}` };
  await expect(startTollgate({ env })).rejects.toThrow(/set REDIS_TLS_CA_FILE/);
  const server = await startTollgate({ env: { ...env, ...certificates } });
  expect(server.stdout()).toContain(`points in Redis (rediss://localhost:${port})`);
  expect(await server.stop()).toBe(0);
  await redis.stop();
});

test("tollgate serve reaches the master of Sentinels that ask for certificates, and stops in order", async () => {
  const group = await startRedisSentinels({ tls: { ca, own } });
  const server = await startTollgate({ env: { REDIS_URL: group.url, ...certificates } });
  expect(server.stdout()).toContain(`points in Redis (${group.url})`);
  expect(await server.stop()).toBe(0);
  await group.stop();
});
