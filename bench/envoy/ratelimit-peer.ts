import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startChildServer } from "../../test/support/child-server.ts";
import { isProgram } from "../../test/support/debian-packages.ts";
import { freePort } from "../../test/support/free-port.ts";
import { reapFolder } from "../../test/support/reaper.ts";
import { type RedisServer, startRedis } from "../../test/support/redis.ts";
import { inRepository } from "../../test/support/repository.ts";

const go = "go";
/** It has no releases: the head of its main branch in November 2026. */
const version = "v1.4.1-0.20260122083618-3fb702589d36";

export interface RateLimitPeer {
  readonly pid: number;
  readonly grpcPort: number;
  readonly redis: RedisServer;
  stop(): Promise<void>;
}

/**
 * envoyproxy/ratelimit with a Redis of its own and one limit, of each value of the descriptor `key_id`, the
 * same as a key of Retrac has: 600 a minute.
 */
export async function startRateLimitPeer(options: {
  domain: string;
  /** How long it keeps commands to send several at once, such as `150us`; "0" sends each at once. */
  pipelineWindow: string;
}): Promise<RateLimitPeer> {
  const redis = await startRedis();
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
    command: program(),
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
      REDIS_URL: `127.0.0.1:${redis.port}`,
      REDIS_PIPELINE_WINDOW: options.pipelineWindow,
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

/** BENCH_RATELIMIT names another one; else it is built once a checkout. */
function program(): string {
  const given = process.env["BENCH_RATELIMIT"];
  if (given !== undefined) return given;
  const cache = inRepository("node_modules", ".cache", "tollgate-programs");
  const folder = join(cache, `ratelimit-${version}`);
  const built = join(folder, "service_cmd");
  if (isProgram(built)) return built;
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, "building-"));
  try {
    process.stderr.write("building envoyproxy/ratelimit (go install)\n");
    execFileSync(go, ["install", `github.com/envoyproxy/ratelimit/src/service_cmd@${version}`], {
      env: { ...process.env, GOBIN: fresh },
      stdio: ["ignore", 2, 2],
    });
    if (!existsSync(folder)) renameSync(fresh, folder);
  } catch (cause) {
    throw new Error("envoyproxy/ratelimit could not be built: Go is needed, or BENCH_RATELIMIT names one", {
      cause,
    });
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return built;
}
