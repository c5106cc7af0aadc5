import { create, toBinary } from "@bufbuild/protobuf";
import { newSecret } from "../src/core/secret.ts";
import { HealthCheckRequestSchema } from "../src/gen/grpc/health/v1/health_pb.ts";
import { type ChildServer, startChildServer } from "../test/support/child-server.ts";
import { startRedis } from "../test/support/redis.ts";
import { inRepository, repositoryFolder } from "../test/support/repository.ts";
import { checkMessages, checkPath } from "./check-messages.ts";
import { newKeys } from "./keys.ts";
import { peerSubjects } from "./peer-subjects.ts";
import type { Subject } from "./subject.ts";
import { keyCount, startTollgateWithKeys } from "./tollgate-with-keys.ts";

/** CheckResponse.allowed is true; and of the hello, status is SERVING: both are field 1 with the value 1. */
const fieldOneIsOne = "0801";
/** Costs a point. */
const itemsRead = () => ({ case: "permission", value: "items.read" }) as const;
/** As long as a caller token, so that the header costs the hello and the naive server what it costs Tollgate. */
const unusedAuthorization = `Bearer ${newSecret("tgc_")}`;

/** Every server that can be measured, by its name on the command line. */
export const subjects: Readonly<Record<string, () => Promise<Subject>>> = {
  tollgate: startTollgateSubject,
  naive: startNaive,
  hello: () => startHello({ name: "Connect on node:http2, hello", script: "hello.ts" }),
  "http2-hello": () => startHello({ name: "node:http2, hello", script: "http2-hello.ts" }),
  ...peerSubjects,
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
      messages: [Buffer.from(message).toString("base64")],
      expectedPrefix: fieldOneIsOne,
    },
    stop: () => server.end("SIGTERM"),
  };
}

async function startNaive(): Promise<Subject> {
  const redis = await startRedis();
  const script = inRepository("bench", "peers", "naive", "server.ts");
  const server = await startScript("naive", script, { REDIS_URL: redis.url });
  return {
    name: "naive: grpc-js, INCR + EXPIRE",
    pid: server.pid,
    redis,
    job: {
      url: urlOf(server),
      path: checkPath,
      headers: { authorization: unusedAuthorization },
      messages: checkMessages(newKeys(keyCount), itemsRead),
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
      messages: checkMessages(keys, itemsRead),
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
