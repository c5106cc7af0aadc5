import { create, toBinary } from "@bufbuild/protobuf";
import { newSecret } from "../src/core/secret.ts";
import { HealthCheckRequestSchema } from "../src/gen/grpc/health/v1/health_pb.ts";
import { CheckRequestSchema } from "../src/gen/tollgate/v1/authorization_service_pb.ts";
import { type ChildServer, startChildServer } from "../test/support/child-server.ts";
import { startRedis } from "../test/support/redis.ts";
import { inRepository, repositoryFolder } from "../test/support/repository.ts";
import type { Subject } from "./subject.ts";
import { keyCount, startTollgateWithKeys } from "./tollgate-with-keys.ts";

/** CheckResponse.allowed is true; and of the hello, status is SERVING: both are field 1 with the value 1. */
const fieldOneIsOne = "0801";
const checkPath = "/tollgate.v1.AuthorizationService/Check";
/** As long as a caller token, so that the header costs the hello and the naive server what it costs Tollgate. */
const unusedAuthorization = `Bearer ${newSecret("tgc_")}`;

/** Every server that can be measured, by its name on the command line; the hello is what the others are set against. */
export const subjects: Readonly<Record<string, () => Promise<Subject>>> = {
  hello: () => startHello({ name: "bare Connect hello", script: "hello.ts" }),
  "http2-hello": () => startHello({ name: "bare node:http2 hello", script: "http2-hello.ts" }),
  naive: startNaive,
  tollgate: startTollgateSubject,
};

async function startHello(options: { name: string; script: string }): Promise<Subject> {
  const server = await startScript(options.name, inRepository("bench", "servers", options.script), {});
  const message = toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service: "hello" }));
  return {
    name: options.name,
    pid: server.pid,
    job: {
      url: urlOf(server),
      path: "/grpc.health.v1.Health/Check",
      headers: { authorization: unusedAuthorization },
      messages: [base64(message)],
      expectedPrefix: fieldOneIsOne,
    },
    stop: () => server.end("SIGTERM"),
  };
}

async function startNaive(): Promise<Subject> {
  const redis = await startRedis();
  const script = inRepository("bench", "peers", "naive", "server.ts");
  const server = await startScript("naive", script, { REDIS_URL: redis.url });
  const secrets = Array.from({ length: keyCount }, () => newSecret("retrac_"));
  return {
    name: "naive: grpc-js, INCR + EXPIRE",
    pid: server.pid,
    redis,
    job: {
      url: urlOf(server),
      path: checkPath,
      headers: { authorization: unusedAuthorization },
      messages: checkMessages(secrets),
      expectedPrefix: fieldOneIsOne,
    },
    async stop() {
      await server.end("SIGTERM");
      await redis.stop();
    },
  };
}

async function startTollgateSubject(): Promise<Subject> {
  const { server, redis, postgresUrl, keys, stop } = await startTollgateWithKeys();
  return {
    name: "Tollgate Check",
    pid: server.pid,
    redis,
    postgresUrl,
    job: {
      url: server.url,
      path: checkPath,
      headers: { authorization: `Bearer ${server.adminToken}` },
      messages: checkMessages(keys.map(({ secret }) => secret)),
      expectedPrefix: fieldOneIsOne,
    },
    stop,
  };
}

function startScript(name: string, script: string, env: Record<string, string>): Promise<ChildServer> {
  return startChildServer({
    name,
    command: process.execPath,
    args: ["--import", "tsx", script],
    env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", NODE_ENV: "production", ...env },
    cwd: repositoryFolder,
    ready: /^ready /,
  });
}

function urlOf(server: ChildServer): string {
  return server.readyLine.replace(/^ready /, "");
}

/** One request a key, for a permission that costs a point. */
function checkMessages(secrets: readonly string[]): string[] {
  return secrets.map((key) => {
    const request = create(CheckRequestSchema, {
      api: "retrac",
      key,
      target: { case: "permission", value: "items.read" },
    });
    return base64(toBinary(CheckRequestSchema, request));
  });
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
