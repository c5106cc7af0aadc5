import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createAuthorizer } from "../../src/core/authorizer.ts";
import { createCallerTokens } from "../../src/core/caller-tokens.ts";
import { createDirectory } from "../../src/core/directory.ts";
import { createKeys } from "../../src/core/keys.ts";
import { createPoints } from "../../src/core/points.ts";
import { createPolicySet } from "../../src/core/policy-set.ts";
import type { CallerTokenStore, ReplicaReport } from "../../src/core/ports.ts";
import { createRateLimits } from "../../src/core/rate-limits.ts";
import type { CallerTokenRecord } from "../../src/core/records.ts";
import { createReplicas } from "../../src/core/replicas.ts";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { createTestStores } from "../../src/policy/test-stores.ts";
import { createGateways } from "../../src/proxy/gateways.ts";
import { createRequestHandler } from "../../src/rpc/handler.ts";
import { inRepository } from "../support/repository.ts";

export const adminToken = "an-admin-token-for-tests-that-is-long-enough";

/**
 * A server for the command line to talk to: the real RPC layer and the real core on stores in memory,
 * with the shipped policies. Its stores are not what is tested here. `report` tells of the replicas; this one is
 * named "this".
 */
export async function startMemoryServer(
  apis: readonly string[] = ["retool", "retrac"],
  report: () => ReplicaReport = () => ({ highest: 0n, replicas: [] }),
): Promise<{
  url: string;
  socket: (path: string) => Promise<void>;
  close: () => void;
}> {
  const set = createPolicySet(apis.map(readShippedPolicy));
  const policies = () => set;
  const nowMs = Date.now;
  const stores = createTestStores();
  const tokens = createTokenStore();
  const rights = { ...stores.rights, callerToken: tokens.findByDigest };
  const silent = { debug() {}, info() {}, warn() {}, error() {}, isLevelEnabled: () => false };
  const buckets = createInProcessBuckets({ now: nowMs });
  const authorizer = createAuthorizer({ policies, rights, buckets, nowMs });
  const { forwardAuth, ...gateways } = createGateways({
    authorizer,
    policies,
    rateLimits: createRateLimits({ policies, rights, buckets, nowMs }),
    onRateLimitDecision() {},
    rateLimitFields: "draft-10",
    trustedProxies: [],
    log: silent,
    onDecision() {},
    onUndecided() {},
  });
  const { handle } = createRequestHandler({
    authorizer,
    gateways,
    forwardAuth,
    keys: createKeys({ policies, keys: stores.keys, directory: stores.directory, nowMs, forget: () => {} }),
    directory: createDirectory({ policies, store: stores.directory, nowMs }),
    callerTokens: createCallerTokens({ policies, store: tokens, rights, adminToken, nowMs }),
    points: createPoints({ policies, rights, buckets, audit: { async write() {} }, nowMs }),
    replicas: createReplicas({ feed: { replicas: async () => report() }, ownId: "this" }),
    serving: { report: () => ({ serving: true, stores: {} }), stopping: new AbortController().signal },
    reflection: false,
    log: silent,
    onDecision() {},
    onFinished() {},
    maxInFlight: 100,
    nowMs,
  });
  const servers = [createServer(handle)];
  const [tcp] = servers as [ReturnType<typeof createServer>];
  await new Promise<void>((resolve) => void tcp.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(tcp.address() as AddressInfo).port}`,
    socket: (path) => {
      const server = createServer(handle);
      servers.push(server);
      return new Promise<void>((resolve) => void server.listen(path, resolve));
    },
    close() {
      for (const server of servers) {
        server.close();
        server.closeAllConnections();
      }
    },
  };
}

function readShippedPolicy(api: string) {
  const file = inRepository("policies", `${api}.yaml`);
  const parsed = parsePolicy(readFileSync(file, "utf8"), file);
  if ("problems" in parsed) throw new Error(`${file} is not valid`);
  return parsed.policy;
}

function createTokenStore(): CallerTokenStore {
  const tokens = new Map<string, CallerTokenRecord>();
  const written = (record: CallerTokenRecord) => {
    tokens.set(record.id, record);
    return { record, change: 1n };
  };
  return {
    findByDigest: async (digest) => [...tokens.values()].find((token) => token.digest === digest),
    create: async (token) => written(token),
    list: async () => ({ records: [...tokens.values()].reverse(), next: undefined }),
    revoke: async (id, { nowMs }) => {
      const token = tokens.get(id);
      return token === undefined
        ? "missing"
        : written({ ...token, revokeTimeMs: token.revokeTimeMs ?? nowMs });
    },
  };
}
