import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type EnvoyListener, startEnvoy } from "../support/envoy.ts";
import { createKey, succeed } from "../support/json-api.ts";
import { reapFolder } from "../support/reaper.ts";
import { startRedis } from "../support/redis.ts";
import { inRepository } from "../support/repository.ts";
import { arrivedIn, type HttpAnswer, identityIn, reasonIn, valuesOf } from "./envoy-answer.ts";
import { curl, runCurl } from "./envoy-curl.ts";
import { documentedYaml } from "./envoy-documentation.ts";
import { type EnvoyStage, startEnvoyStage } from "./envoy-stage.ts";

/** ext_authz for the rights, and Envoy's rate limit filter for the points. */
const listeners = {
  shipped: {},
  /** Where the client's address, and whether he came by HTTPS, is told by the hop before Envoy. */
  behindHop: { connections: { xff_num_trusted_hops: 1 }, contextExtensions: { forwarded_proto: "trusted" } },
} satisfies Record<string, EnvoyListener>;

/** Of an address; more than the tests ask that do not say where they come from. */
const ADDRESS_POINTS = 400;

let stage: EnvoyStage<keyof typeof listeners>;

/** With the points in the process: for Redis a descriptor waits 15 ms at most, and then counts by itself. */
beforeAll(async () => {
  stage = await startRateLimitStage({});
});

afterAll(() => stage?.stop());

function startRateLimitStage(
  env: Readonly<Record<string, string>>,
): Promise<EnvoyStage<keyof typeof listeners>> {
  const example = "envoy-ratelimit.yaml";
  return startEnvoyStage({ listeners, example, env: { TOLLGATE_POLICIES: policyFolder(), ...env } });
}

/** The shipped policies, and a limit for each address in the one, and none without Redis in the other. */
function policyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-policies-"));
  reapFolder(folder);
  const policy = (name: string) => readFileSync(inRepository("policies", `${name}.yaml`), "utf8");
  const { limits } = documentedYaml<{ limits: [object] }>("envoy-rate-limit.md", "A limit for each address");
  const [limit] = limits.map((each) => JSON.stringify({ ...each, points: ADDRESS_POINTS }));
  writeFileSync(
    join(folder, "retool.yaml"),
    policy("retool").replace(/^limits:\n/m, `limits:\n  - ${limit}\n`),
  );
  writeFileSync(join(folder, "retrac.yaml"), `${policy("retrac")}\non_outage: deny\n`);
  return folder;
}

const retool = ["--header", "Host: retool.example.com"];
const bearer = (secret: string) => ["--header", `Authorization: Bearer ${secret}`];
const url = (path: string, name: keyof typeof listeners = "shipped") =>
  `http://127.0.0.1:${stage.envoy.ports[name]}${path}`;

/** What a workspace of its own has left, told without charging it. */
async function remaining(secret: string): Promise<number> {
  const peek = { api: "retool", key: secret, permission: "users.read", mode: "MODE_PEEK" };
  return (await succeed(stage.call("Check", peek))).body.limits[0].remaining;
}

async function keyInNewWorkspace(id: string): Promise<{ id: string; secret: string }> {
  const workspace = { directory: "retool", id, features: ["api"] };
  await succeed(stage.call("DirectoryService/PutWorkspace", { workspace }));
  const member = { directory: "retool", workspaceId: id, userId: "ann", role: "admin" };
  await succeed(stage.call("DirectoryService/PutMember", { member }));
  return createKey(stage.call, { workspaceId: id });
}

function times(statuses: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const status of statuses.trim().split("\n")) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

/** The statuses of many requests on one connection; `[1-9]` in the URL stands for each. */
const statusesOf = async (...args: readonly string[]) =>
  times(await runCurl("--output", "/dev/null", "--write-out", "%{http_code}\n", ...args));

it("a request is charged once, what its route costs, and the client is told", async () => {
  const { id, secret } = await keyInNewWorkspace("once");
  const first = await curl(...retool, ...bearer(secret), url("/api/v2/users"));
  expect(identityIn(arrivedIn(first))).toMatchObject({
    "x-tollgate-key-id": [id],
    "x-tollgate-workspace": ["once"],
  });
  expect(valuesOf(first, "ratelimit-policy")).toEqual([expect.stringContaining('"points";q=300;w=60')]);
  expect(valuesOf(first, "ratelimit")).toEqual([expect.stringMatching(/"points";r=298;t=/)]);
  expect(await remaining(secret)).toBe(298);
  await curl(...retool, ...bearer(secret), url("/api/v2/permissions"));
  expect(await remaining(secret)).toBe(288);
});

it("what ext_authz refuses is charged nothing and arrives nowhere", async () => {
  const { secret } = await keyInNewWorkspace("refused");
  const before = stage.upstream.arrived.length;
  const answers = [
    await curl(...retool, url("/api/v2/users")),
    await curl(...retool, ...bearer("retool_nothing"), url("/api/v2/users")),
    await curl(...retool, ...bearer(secret), url("/api/v2/groups")),
    await curl(...retool, ...bearer(secret), url("/api/v2//users")),
  ];
  expect(answers.map(outcome)).toEqual([
    "401 KEY_MISSING",
    "401 KEY_MALFORMED",
    "403 SCOPE_INSUFFICIENT",
    "404 ROUTE_UNKNOWN",
  ]);
  expect(await remaining(secret)).toBe(300);
  expect(stage.upstream.arrived).toHaveLength(before);
});

it("once the points are used up it is 429, then blocked, as without the filter", async () => {
  const { secret } = await keyInNewWorkspace("busy");
  expect(await statusesOf(...retool, ...bearer(secret), url("/api/v2/users?page=[1-150]"))).toEqual({
    200: 150,
  });
  const before = stage.upstream.arrived.length;
  for (const reason of ["POINTS_EXCEEDED", "BLOCKED"]) {
    const answer = await curl(...retool, ...bearer(secret), url("/api/v2/users"));
    expect(answer.status).toBe(429);
    expect(JSON.parse(answer.body)).toEqual({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      title: "Quota exceeded",
      status: 429,
      detail: expect.stringContaining("try again later"),
      reason,
      "violated-policies": ["points"],
    });
    expect(valuesOf(answer, "content-type")).toEqual(["application/problem+json"]);
    expect(valuesOf(answer, "retry-after")).toEqual([expect.stringMatching(/^(5[0-9]|60)$/)]);
    expect(valuesOf(answer, "ratelimit")).toEqual([expect.stringMatching(/"points";r=0;t=/)]);
    expect(valuesOf(answer, "cache-control")).toEqual(["no-store"]);
    expect(valuesOf(answer, "x-envoy-ratelimited")).toEqual(["true"]);
  }
  expect(stage.upstream.arrived).toHaveLength(before);
});

it("a gRPC client gets RESOURCE_EXHAUSTED", async () => {
  const { secret } = await keyInNewWorkspace("grpc");
  await succeed(
    stage.call("ConsumePoints", { api: "retool", key: secret, points: 300, mode: "MODE_RECORD" }),
  );
  const grpc = ["--header", "Content-Type: application/grpc", "--data-binary", ""];
  const answer = await curl(...retool, ...bearer(secret), ...grpc, url("/api/v2/users"));
  expect(valuesOf(answer, "grpc-status")).toEqual(["8"]);
  expect(Number(valuesOf(answer, "retry-after")[0])).toBeGreaterThan(0);
});

it("a request that acts in no workspace is charged as its key's", async () => {
  const { id, secret } = await createKey(stage.call, {
    workspaceId: "w1",
    api: "retrac",
    type: "full_access",
    scopes: [],
  });
  const https = ["--header", "X-Forwarded-Proto: https", "--header", "X-Forwarded-For: 203.0.113.1"];
  const asked = ["--header", "Host: api.retrac.co", ...https, ...bearer(secret)];
  const answer = await curl(...asked, url("/workspaces", "behindHop"));
  expect(identityIn(arrivedIn(answer))["x-tollgate-key-id"]).toEqual([id]);
  expect(valuesOf(answer, "ratelimit")).toEqual([expect.stringMatching(/^"points";r=599;t=/)]);
});

it("an address has its own points, with a key or without, and then nobody's are charged", async () => {
  const { secret } = await keyInNewWorkspace("address");
  const from = (address: string) => ["--header", `X-Forwarded-For: ${address}`];
  const preflight = [
    "--header",
    "Origin: https://app.test",
    "--header",
    "Access-Control-Request-Method: GET",
  ];
  const asked = [...retool, ...preflight, "--request", "OPTIONS"];
  const many = `/api/v2/users?page=[1-${ADDRESS_POINTS}]`;
  expect(await statusesOf(...asked, ...from("203.0.113.7"), url(many, "behindHop"))).toEqual({
    200: ADDRESS_POINTS,
  });
  const limited = await curl(
    ...retool,
    ...bearer(secret),
    ...from("203.0.113.7"),
    url("/api/v2/users", "behindHop"),
  );
  expect([limited.status, JSON.parse(limited.body)["violated-policies"]]).toEqual([429, ["addresses"]]);
  expect(await remaining(secret)).toBe(300);
  const other = await curl(
    ...retool,
    ...bearer(secret),
    ...from("203.0.113.8"),
    url("/api/v2/users", "behindHop"),
  );
  expect(other.status).toBe(200);
  expect(await remaining(secret)).toBe(298);
});

it("without the grant to charge nothing passes", async () => {
  const checkOnly = { name: "check only", grants: ["GRANT_CHECK"] };
  const token = (await succeed(stage.call("CallerService/CreateCallerToken", checkOnly))).body.secret;
  const envoy = await startEnvoy({
    example: "envoy-ratelimit.yaml",
    token,
    tollgatePort: Number(new URL(stage.tollgate.url).port),
    upstreamPort: stage.upstream.port,
    listeners: { api: {} },
    timeout: "5s",
  });
  const { secret } = await createKey(stage.call, { workspaceId: "w1" });
  const answer = await curl(...retool, ...bearer(secret), `http://127.0.0.1:${envoy.ports.api}/api/v2/users`);
  expect(answer.status).toBe(503);
  expect(await envoy.stat("http.api.ext_authz.ok")).toBe(1);
  expect(await envoy.stat("cluster.upstream.ratelimit.error")).toBe(1);
  await envoy.stop();
});

it("without Redis a policy that says so refuses, and the other counts by itself", {
  timeout: 120_000,
}, async () => {
  const redis = await startRedis();
  const { call, envoy, stop } = await startRateLimitStage({ REDIS_URL: redis.url });
  const users = await createKey(call, { workspaceId: "w1" });
  const restricted = { api: "retrac", type: "restricted", scopes: ["items.read"] };
  const items = await createKey(call, { workspaceId: "w1", ...restricted });
  await redis.stop();
  const address = `http://127.0.0.1:${envoy.ports.behindHop}`;
  const https = ["--header", "X-Forwarded-Proto: https", "--header", "X-Forwarded-For: 203.0.113.1"];
  const retrac = ["--header", "Host: api.retrac.co", ...https];
  const refused = await curl(...retrac, ...bearer(items.secret), `${address}/items`);
  expect(outcome(refused)).toBe("429 STORE_UNAVAILABLE");
  expect(valuesOf(refused, "retry-after")).toEqual(["1"]);
  const counted = await curl(...retool, ...bearer(users.secret), `${address}/api/v2/users`);
  expect(counted.status).toBe(200);
  await stop();
});

function outcome(answer: HttpAnswer): string {
  return `${answer.status} ${reasonIn(answer)}`;
}
