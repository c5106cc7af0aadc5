import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { Redis } from "ioredis";
import { RateLimitRequestSchema } from "../../../src/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { startChildServer } from "../../../test/support/child-server.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { reapFolder } from "../../../test/support/reaper.ts";
import { type RedisServer, startRedis } from "../../../test/support/redis.ts";
import { peerProgram } from "../peer-program.ts";

export interface RateLimitPeerOptions {
  readonly domain: string;
  /**
   * `pipelined`: keeps commands for 150 µs to send several at once (REDIS_PIPELINE_WINDOW). This version does
   * so on a Redis Cluster only: it gets one of one node, and without pipelining a plain Redis.
   */
  readonly redis: "plain" | "pipelined";
}

export interface RateLimitPeer {
  readonly pid: number;
  readonly grpcPort: number;
  readonly redis: RedisServer;
  stop(): Promise<void>;
}

export const rateLimitPath = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit";
/** RateLimitResponse.overall_code is OK. */
export const rateLimitAdmitted = new Uint8Array([0x08, 0x01]);

/** Asks for one hit of each of these keys. */
export function rateLimitRequest(domain: string, keyIds: readonly string[]): Uint8Array {
  const descriptors = keyIds.map((value) => ({ entries: [{ key: "key_id", value }] }));
  return toBinary(RateLimitRequestSchema, create(RateLimitRequestSchema, { domain, descriptors }));
}

/**
 * envoyproxy/ratelimit with a Redis of its own and one limit, of each value of the descriptor `key_id`, the
 * same as a key of Retrac has: 600 a minute.
 */
export async function startRateLimitPeer(options: RateLimitPeerOptions): Promise<RateLimitPeer> {
  const isPipelined = options.redis === "pipelined";
  const redis = isPipelined ? await startClusterOfOne() : await startRedis();
  const runtime = mkdtempSync(join(tmpdir(), "tollgate-ratelimit-"));
  reapFolder(runtime);
  const folder = join(runtime, "ratelimit", "config");
  mkdirSync(folder, { recursive: true });
  const limit = { unit: "minute", requests_per_unit: 600 };
  const limits = { domain: options.domain, descriptors: [{ key: "key_id", rate_limit: limit }] };
  writeFileSync(join(folder, "limits.yaml"), JSON.stringify(limits));
  const grpcPort = await freePort();
  const server = await startChildServer({
    name: "envoyproxy/ratelimit",
    command: await peerProgram.ratelimit(),
    args: [],
    env: {
      HOST: "127.0.0.1",
      PORT: String(await freePort()),
      DEBUG_HOST: "127.0.0.1",
      DEBUG_PORT: String(await freePort()),
      GRPC_HOST: "127.0.0.1",
      GRPC_PORT: String(grpcPort),
      USE_STATSD: "false",
      DISABLE_STATS: "true",
      REDIS_SOCKET_TYPE: "tcp",
      REDIS_TYPE: isPipelined ? "CLUSTER" : "SINGLE",
      REDIS_URL: `127.0.0.1:${redis.port}`,
      REDIS_PIPELINE_WINDOW: isPipelined ? "150us" : "0",
      RUNTIME_ROOT: runtime,
      RUNTIME_SUBDIRECTORY: "ratelimit",
      RUNTIME_WATCH_ROOT: "false",
    },
    cwd: runtime,
    ready: /Listening for gRPC/,
  });
  return {
    pid: server.pid,
    grpcPort,
    redis,
    async stop() {
      await server.end("SIGTERM");
      await redis.stop();
    },
  };
}

/** A Redis Cluster whose only node has all slots. */
async function startClusterOfOne(): Promise<RedisServer> {
  const redis = await startRedis({
    args: ["--cluster-enabled", "yes", "--cluster-port", String(await freePort())],
  });
  const client = new Redis(redis.url);
  await client.call("CLUSTER", "ADDSLOTS", ...Array.from({ length: 16_384 }, (_, slot) => slot));
  while (!/cluster_state:ok/.test(String(await client.call("CLUSTER", "INFO")))) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  client.disconnect();
  return redis;
}
