import { startCerbosPeer } from "./peers/cerbos/cerbos-peer.ts";
import { startOpenFgaPeer } from "./peers/openfga/openfga-peer.ts";
import {
  type RateLimitPeerOptions,
  rateLimitAdmitted,
  rateLimitPath,
  rateLimitRequest,
  startRateLimitPeer,
} from "./peers/ratelimit/ratelimit-peer.ts";
import type { Subject } from "./subject.ts";
import { keyCount } from "./tollgate-with-keys.ts";

const domain = "retrac";

/** What others have made for a part of what Tollgate does. Nobody asks them for a token. */
export const peerSubjects: Readonly<Record<string, () => Promise<Subject>>> = {
  ratelimit: () => startRateLimit({ name: "envoyproxy/ratelimit", redis: "plain" }),
  "ratelimit-pipelined": () =>
    startRateLimit({ name: "envoyproxy/ratelimit, pipelined", redis: "pipelined" }),
  openfga: startOpenFga,
  cerbos: startCerbos,
};

async function startRateLimit(options: {
  name: string;
  redis: RateLimitPeerOptions["redis"];
}): Promise<Subject> {
  const { pid, grpcPort, redis, stop } = await startRateLimitPeer({ domain, redis: options.redis });
  const requests = Array.from({ length: keyCount }, (_, key) => rateLimitRequest(domain, [`key-${key}`]));
  return {
    name: options.name,
    pid,
    redis,
    job: job({ grpcPort, path: rateLimitPath, requests, expected: rateLimitAdmitted }),
    stop,
  };
}

async function startOpenFga(): Promise<Subject> {
  const { pid, grpcPort, checks, allowed, stop } = await startOpenFgaPeer();
  const path = "/openfga.v1.OpenFGAService/Check";
  return {
    name: "OpenFGA, in memory",
    pid,
    job: job({ grpcPort, path, requests: checks, expected: allowed }),
    stop,
  };
}

async function startCerbos(): Promise<Subject> {
  const { pid, grpcPort, checks, allowed, stop } = await startCerbosPeer();
  const path = "/cerbos.svc.v1.CerbosService/CheckResources";
  return { name: "Cerbos", pid, job: job({ grpcPort, path, requests: checks, expected: allowed }), stop };
}

function job(options: {
  grpcPort: number;
  path: string;
  requests: readonly Uint8Array[];
  expected: Uint8Array;
}): Subject["job"] {
  return {
    url: `http://127.0.0.1:${options.grpcPort}`,
    path: options.path,
    headers: {},
    messages: options.requests.map((request) => Buffer.from(request).toString("base64")),
    expectedPrefix: Buffer.from(options.expected).toString("hex"),
  };
}
