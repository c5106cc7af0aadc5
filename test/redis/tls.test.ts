import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { createServer } from "node:tls";
import { type Cluster, Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { createRedis } from "../../src/redis/connect.ts";
import { createRedisBuckets } from "../../src/redis/redis-buckets.ts";
import type { RedisTls } from "../../src/redis/tls-options.ts";
import { chargeOf, inTime, takeOf } from "../contract/bucket-store.ts";
import { freePort } from "../support/free-port.ts";
import { type RedisServer, startRedis } from "../support/redis.ts";
import { type Certificate, clientTls, createAuthority, tlsArguments } from "../support/redis-certificates.ts";
import { startRedisSentinels } from "../support/redis-sentinel.ts";
import { until } from "../support/until.ts";

const ca = createAuthority();
const stranger = createAuthority();
const own = ca.sign("DNS:localhost,IP:127.0.0.1");
const trusting = clientTls(ca);

/** A server that speaks TLS on `tlsPort`, and none on its other port. */
async function startTlsRedis(
  certificate: Certificate,
  { clients = "no", args = [] }: { clients?: "yes" | "no"; args?: readonly string[] } = {},
): Promise<RedisServer & { tlsPort: number }> {
  const tlsPort = await freePort();
  const tlsArgs = tlsArguments({ ca, own: certificate }, clients);
  const server = await startRedis({ args: ["--tls-port", String(tlsPort), ...tlsArgs, ...args] });
  return Object.assign(server, { tlsPort });
}

async function connect(
  url: string,
  tls?: RedisTls,
  { connectTimeoutMs = 10_000 } = {},
): Promise<Redis | Cluster> {
  return createRedis(url, { onError: () => {}, connectTimeoutMs, ...(tls === undefined ? {} : { tls }) });
}

/** Whether a take is decided there. */
async function takes(redis: Redis | Cluster): Promise<boolean> {
  const store = createRedisBuckets(redis, { budgetMs: 10_000 });
  const { outcome } = await store.take(takeOf(chargeOf()), inTime());
  return outcome === "admitted";
}

async function refusal(url: string, tls?: RedisTls): Promise<TollgateError> {
  const outcome = await connect(url, tls, { connectTimeoutMs: 2000 }).then(
    (redis) => redis.disconnect(),
    (error: unknown) => error,
  );
  if (!(outcome instanceof TollgateError)) throw new Error("it was not refused", { cause: outcome });
  return outcome;
}

describe("a server with TLS", () => {
  let server: Awaited<ReturnType<typeof startTlsRedis>>;
  beforeAll(async () => {
    server = await startTlsRedis(own);
  });
  afterAll(() => server.stop());

  for (const host of ["localhost", "127.0.0.1"]) {
    test(`is reached as ${host}, which its certificate has, and again after the connection is lost`, async () => {
      const redis = (await connect(`rediss://${host}:${server.tlsPort}`, trusting)) as Redis;
      expect(await takes(redis)).toBe(true);
      const admin = new Redis(server.url, { protocol: 2 });
      const lost = once(redis, "close");
      await admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await lost;
      await until(() => redis.status === "ready");
      expect(await takes(redis)).toBe(true);
      redis.disconnect();
      admin.disconnect();
    });
  }

  test("is refused where nobody who is trusted signed its certificate", async () => {
    for (const tls of [undefined, clientTls(stranger)]) {
      const error = await refusal(`rediss://localhost:${server.tlsPort}`, tls);
      expect(error).toMatchObject({ code: "failed_precondition", reason: "REDIS_REFUSED" });
      expect(error.message).toContain("set REDIS_TLS_CA_FILE");
    }
  });

  test("is refused all the same where NODE_TLS_REJECT_UNAUTHORIZED tells Node.js to trust everybody", async () => {
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      const error = await refusal(`rediss://localhost:${server.tlsPort}`, clientTls(stranger));
      expect(error.message).toContain("set REDIS_TLS_CA_FILE");
    } finally {
      delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    }
  });

  test("is refused where its certificate is of another host", async () => {
    const other = await startTlsRedis(ca.sign("DNS:redis.example,IP:192.0.2.1"));
    for (const [host, certified] of [
      ["localhost", "redis.example"],
      ["127.0.0.1", "192.0.2.1"],
    ]) {
      const error = await refusal(`rediss://${host}:${other.tlsPort}`, trusting);
      expect(error).toMatchObject({ code: "failed_precondition", reason: "REDIS_REFUSED" });
      expect(error.message).toContain("the certificate is of another host");
      expect(error.message).toContain(certified);
    }
    await other.stop();
  });

  test("is refused on its port without TLS, and its port with TLS without it", async () => {
    const none = await refusal(`rediss://localhost:${server.port}`, trusting);
    expect(none.message).toContain("does not speak TLS on this port");
    const only = await refusal(`redis://localhost:${server.tlsPort}`);
    expect(only.message).toContain("rediss://");
  });

  test("that asks for a certificate gets ours, and refuses the start without one or with a stranger's", async () => {
    const asking = await startTlsRedis(own, { clients: "yes" });
    const url = `rediss://localhost:${asking.tlsPort}`;
    const without = await refusal(url, trusting);
    // Where the server's word is lost with the connection, both are told that it may be the certificate.
    expect(without.message).toContain("REDIS_TLS_CERT_FILE");
    const strange = await refusal(url, clientTls(ca, stranger.sign("DNS:tollgate")));
    expect(strange.message).toContain("take the certificate of REDIS_TLS_CERT_FILE");
    const redis = await connect(url, clientTls(ca, ca.sign("DNS:tollgate")));
    expect(await takes(redis)).toBe(true);
    redis.disconnect();
    await asking.stop();
  });

  test("is told the name that it is reached by, and no address", async () => {
    const told: (string | false | null)[] = [];
    const files = { cert: readFileSync(own.cert), key: readFileSync(own.key) };
    const front = createServer(files, (socket) => {
      told.push(socket.servername);
      const behind = connectTcp({ port: server.port, host: "127.0.0.1" });
      socket.pipe(behind).pipe(socket);
      for (const end of [socket, behind]) end.on("error", () => {});
    });
    front.listen(0);
    await once(front, "listening");
    const { port } = front.address() as { port: number };
    for (const host of ["localhost", "127.0.0.1"]) {
      (await connect(`rediss://${host}:${port}`, trusting)).disconnect();
    }
    expect(told).toEqual(["localhost", false]);
    front.close();
  });
});

describe("a cluster with TLS", () => {
  async function startNode(certificate: Certificate, host: string) {
    const announced = ["--cluster-announce-ip", "127.0.0.1", "--cluster-announce-hostname", host];
    const preferred = ["--cluster-preferred-endpoint-type", "hostname"];
    const args = [
      ...["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", String(await freePort())],
      ...announced,
      ...preferred,
    ];
    const node = await startTlsRedis(certificate, { args });
    const admin = new Redis(node.url, { protocol: 2 });
    await admin.cluster("ADDSLOTS", ...Array.from({ length: 16_384 }, (_, slot) => slot));
    await until(async () => (await admin.cluster("INFO")).includes("cluster_state:ok"));
    admin.disconnect();
    return node;
  }

  test("is reached by the names that it announces", async () => {
    const node = await startNode(ca.sign("DNS:localhost"), "localhost");
    const cluster = await connect(`rediss://localhost:${node.tlsPort}`, trusting);
    expect(cluster.isCluster).toBe(true);
    expect(await takes(cluster)).toBe(true);
    cluster.disconnect();
    await node.stop();
  });

  test("is refused where the certificate has the name of the URL, and not the one that is announced", async () => {
    const node = await startNode(ca.sign("IP:127.0.0.1"), "localhost");
    const error = await refusal(`rediss://127.0.0.1:${node.tlsPort}`, trusting);
    expect(error.message).toContain("the certificate is of another host");
    await node.stop();
  });
});

test("Sentinels and servers that speak nothing but TLS, and ask for certificates, are followed to a new master", async () => {
  const group = await startRedisSentinels({ tls: { ca, own } });
  const certified = clientTls(ca, own);
  expect((await refusal(group.url, clientTls(stranger, own))).message).toContain("set REDIS_TLS_CA_FILE");
  const redis = await connect(group.url, certified);
  expect(await takes(redis)).toBe(true);
  const [, replica] = group.servers;
  await group.failOver();
  await until(async () => (await redis.info("server").catch(() => "")).includes(`tcp_port:${replica.port}`));
  // The Sentinels end the connections of a server that they make the master.
  await until(() => takes(redis).catch(() => false));
  redis.disconnect();
  await group.stop();
});
