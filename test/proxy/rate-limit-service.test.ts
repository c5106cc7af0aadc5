import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it } from "vitest";
import { deadlineExceeded, storeUnavailable } from "../../src/core/errors.ts";
import type { RateLimitDecision } from "../../src/core/rate-limits.ts";
import {
  type RateLimitDescriptor,
  RateLimitDescriptorSchema,
} from "../../src/gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts";
import {
  RateLimitResponse_Code as Code,
  type RateLimitRequest,
  RateLimitRequestSchema,
  type RateLimitResponse,
  RateLimitResponseSchema,
  RateLimitResponse_RateLimit_Unit as Unit,
} from "../../src/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { withOutage } from "../../src/points/outage.ts";
import type { RateLimitFields } from "../../src/proxy/rate-limit-headers.ts";
import { createRateLimitService } from "../../src/proxy/rate-limit-service.ts";
import { admin, createWorld, NO_DEADLINE } from "../core/world.ts";

const shop = `
api: shop
permissions: {items.read: 1}
roles: {owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}}
scopes: {items.read: {}}
key_types: {live: {prefix: shop_, workspace: bound, scopes: selected, acts_as: creator}}
limits:
  - {name: points, per: workspace, points: 10, window: 60s, block: 30s}
  - {name: most, per: descriptor, descriptor: {remote_address: "*"}, points: 1000000000, window: 1s}
  - {name: logins, per: descriptor, descriptor: {path: /login}, points: 5, window: 1h}
  - {name: short, per: descriptor, descriptor: {short: "*"}, points: 5, window: 500ms}
  - {name: day, per: descriptor, descriptor: {day: "*"}, points: 5, window: 1d}
  - {name: week, per: descriptor, descriptor: {week: "*"}, points: 5, window: 7d}
  - {name: month, per: descriptor, descriptor: {month: "*"}, points: 5, window: 30d}
`;

let world: ReturnType<typeof createWorld>;
let keyId: string;
let decisions: RateLimitDecision[];
let undecided: unknown[];

beforeEach(async () => {
  world = createWorld(shop);
  decisions = [];
  undecided = [];
  await world.putWorkspace("w1");
  await world.putMember("w1", "ann", { role: "owner" });
  const { key } = await world.createKey({ workspaceId: "w1", userId: "ann", scopes: ["items.read"] });
  keyId = key.id;
});

interface Hits {
  readonly addend?: bigint;
  readonly isNegative?: boolean;
}

function descriptor(
  entries: Readonly<Record<string, string>>,
  { addend, isNegative = false }: Hits = {},
): RateLimitDescriptor {
  return create(RateLimitDescriptorSchema, {
    entries: Object.entries(entries).map(([key, value]) => ({ key, value })),
    isNegativeHits: isNegative,
    ...(addend === undefined ? {} : { hitsAddend: addend }),
  });
}

/** As it comes over the wire. */
function requestOf(
  descriptors: readonly RateLimitDescriptor[],
  { domain = "shop", hitsAddend = 0 }: { domain?: string; hitsAddend?: number } = {},
): RateLimitRequest {
  const request = create(RateLimitRequestSchema, { domain, hitsAddend, descriptors: [...descriptors] });
  return fromBinary(RateLimitRequestSchema, toBinary(RateLimitRequestSchema, request));
}

/** The answer as Envoy reads it. */
async function ask(
  request: RateLimitRequest,
  { rateLimitFields = "draft-10" }: { rateLimitFields?: RateLimitFields } = {},
): Promise<RateLimitResponse> {
  const service = createRateLimitService({
    rateLimits: world.rateLimits,
    policies: world.policies,
    rateLimitFields,
    onDecision: (decision) => decisions.push(decision),
    onUndecided: (error) => undecided.push(error),
  });
  const answer = await service.shouldRateLimit(request, {
    caller: admin,
    deadline: NO_DEADLINE,
    isAborted: false,
  });
  const bytes = toBinary(RateLimitResponseSchema, create(RateLimitResponseSchema, answer));
  return fromBinary(RateLimitResponseSchema, bytes);
}

function askFor(entries: Readonly<Record<string, string>>, hits: Hits = {}): Promise<RateLimitResponse> {
  return ask(requestOf([descriptor(entries, hits)]));
}

function headersOf({ responseHeadersToAdd }: RateLimitResponse): Record<string, string> {
  return Object.fromEntries(responseHeadersToAdd.map(({ key, value }) => [key, value]));
}

function problemOf({ rawBody }: RateLimitResponse): unknown {
  return JSON.parse(new TextDecoder().decode(rawBody));
}

describe("a request that passes", () => {
  it("is OK, with each descriptor's tightest limit in order, and the RateLimit fields for the client", async () => {
    const answer = await ask(
      requestOf([descriptor({ key_id: keyId }), descriptor({ a: "1" }), descriptor({ path: "/login" })]),
    );
    expect(answer).toMatchObject({
      overallCode: Code.OK,
      statuses: [
        {
          code: Code.OK,
          currentLimit: { name: "points", requestsPerUnit: 10, unit: Unit.MINUTE },
          limitRemaining: 9,
          durationUntilReset: { seconds: 60n, nanos: 0 },
        },
        { code: Code.OK, limitRemaining: 0 },
        {
          code: Code.OK,
          currentLimit: { name: "logins", requestsPerUnit: 5, unit: Unit.HOUR },
          limitRemaining: 4,
          durationUntilReset: { seconds: 3600n, nanos: 0 },
        },
      ],
    });
    expect(answer.statuses[1]?.currentLimit).toBeUndefined();
    expect(headersOf(answer)).toEqual({
      "ratelimit-policy": '"points";q=10;w=60, "logins";q=5;w=3600',
      ratelimit: '"points";r=9;t=60, "logins";r=4;t=3600',
    });
    expect(answer.rawBody).toHaveLength(0);
    expect(answer.dynamicMetadata).toBeUndefined();
    expect(answer.requestHeadersToAdd).toEqual([]);
    expect(decisions).toMatchObject([{ api: "shop", allowed: true, degraded: [] }]);
  });

  it("has no fields where they are turned off, nor where no limit matches", async () => {
    const request = requestOf([descriptor({ path: "/login" })]);
    expect((await ask(request, { rateLimitFields: "off" })).responseHeadersToAdd).toEqual([]);
    expect((await askFor({ a: "1" })).responseHeadersToAdd).toEqual([]);
  });
});

it.each<[string, Unit]>([
  ["short", Unit.UNKNOWN],
  ["remote_address", Unit.SECOND],
  ["day", Unit.DAY],
  ["week", Unit.WEEK],
  ["month", Unit.MONTH],
])("the unit of the limit by %s is %s: told where the window is one exactly", async (key, unit) => {
  expect((await askFor({ [key]: "1" })).statuses).toMatchObject([{ currentLimit: { unit } }]);
});

describe("a request that is over a limit", () => {
  it("is OVER_LIMIT, with a problem and when to try again", async () => {
    const login = { path: "/login" };
    await askFor(login, { addend: 4n });
    world.wait(500);
    const answer = await ask(requestOf([descriptor(login, { addend: 2n }), descriptor({ key_id: keyId })]));
    expect(answer).toMatchObject({
      overallCode: Code.OVER_LIMIT,
      statuses: [
        {
          code: Code.OVER_LIMIT,
          limitRemaining: 1,
          durationUntilReset: { seconds: 3599n, nanos: 500_000_000 },
        },
        { code: Code.OK, limitRemaining: 10 },
      ],
    });
    expect(headersOf(answer)).toMatchObject({
      ratelimit: '"logins";r=1;t=3600, "points";r=10;t=0',
      "retry-after": "3600",
      "content-type": "application/problem+json",
    });
    expect(problemOf(answer)).toMatchObject({
      type: "https://iana.org/assignments/http-problem-types#quota-exceeded",
      status: 429,
      reason: "POINTS_EXCEEDED",
      "violated-policies": ["logins"],
    });
    expect(decisions).toMatchObject([{ allowed: true }, { allowed: false, reason: "POINTS_EXCEEDED" }]);
  });

  it("tells of a block how long it lasts", async () => {
    await askFor({ key_id: keyId }, { addend: 10n });
    await askFor({ key_id: keyId });
    world.wait(10_000);
    const answer = await askFor({ key_id: keyId }, { addend: 0n });
    expect(answer).toMatchObject({
      overallCode: Code.OVER_LIMIT,
      statuses: [{ code: Code.OVER_LIMIT, limitRemaining: 0, durationUntilReset: { seconds: 20n } }],
    });
    expect(problemOf(answer)).toMatchObject({ status: 429, reason: "BLOCKED" });
    expect(headersOf(answer)["retry-after"]).toBe("20");
  });

  it("by a key that is dead now says no limit, and is a 429 too, as Envoy will answer", async () => {
    await world.keys.revoke({ target: { keyId }, reason: "", actorUserId: "" }, admin, NO_DEADLINE);
    const answer = await askFor({ key_id: keyId });
    expect(answer.overallCode).toBe(Code.OVER_LIMIT);
    expect(answer.statuses).toMatchObject([{ code: Code.OVER_LIMIT }]);
    expect(answer.statuses[0]?.currentLimit).toBeUndefined();
    expect(problemOf(answer)).toMatchObject({
      title: "Too Many Requests",
      status: 429,
      reason: "KEY_REVOKED",
    });
    // Neither a time to come again, which would be in vain, nor a challenge, which belongs to a 401.
    expect(headersOf(answer)).toEqual({
      "cache-control": "no-store",
      "content-type": "application/problem+json",
    });
  });
});

describe("hits", () => {
  const login = { path: "/login" };
  const left = async (request: RateLimitRequest) =>
    (await ask(request)).statuses.map((s) => s.limitRemaining);

  it("of the request are 1 where they are 0", async () => {
    expect(await left(requestOf([descriptor(login)], { hitsAddend: 0 }))).toEqual([4]);
    expect(await left(requestOf([descriptor(login)], { hitsAddend: 3 }))).toEqual([1]);
  });

  it("of a descriptor win over the request's; 0 charges nothing", async () => {
    const both = [descriptor(login, { addend: 2n }), descriptor({ day: "1" })];
    expect(await left(requestOf(both, { hitsAddend: 3 }))).toEqual([3, 2]);
    expect(await left(requestOf([descriptor(login, { addend: 0n, isNegative: false })]))).toEqual([3]);
    expect(await left(requestOf([descriptor(login, { addend: 0n })], { hitsAddend: 3 }))).toEqual([3]);
  });

  it("above a thousand million count as that", async () => {
    const most = 2n ** 64n - 1n;
    expect(await left(requestOf([descriptor({ remote_address: "1" }, { addend: most })]))).toEqual([0]);
    const request = requestOf([descriptor({ remote_address: "2" })], { hitsAddend: 2 ** 32 - 1 });
    expect(await ask(request)).toMatchObject({
      overallCode: Code.OK,
      statuses: [{ limitRemaining: 0, currentLimit: { requestsPerUnit: 1_000_000_000 } }],
    });
  });
});

describe("a mistake in Envoy's configuration is over limit, since Envoy would let pass on an error, and told", () => {
  const withLimit = create(RateLimitRequestSchema, {
    domain: "shop",
    descriptors: [{ entries: [{ key: "a", value: "b" }], limit: { requestsPerUnit: 5 } }],
  });

  it.each<[string, RateLimitRequest, object]>([
    ["no domain", requestOf([descriptor({ a: "1" })], { domain: "" }), { violations: [{ field: "domain" }] }],
    ["an unknown domain", requestOf([descriptor({ a: "1" })], { domain: "x" }), { reason: "API_UNKNOWN" }],
    ["no descriptors", requestOf([]), { violations: [{ field: "descriptors" }] }],
    [
      "a descriptor without entries",
      requestOf([descriptor({ a: "1" }), descriptor({})]),
      { violations: [{ field: "descriptors[1].entries" }] },
    ],
    [
      "33 descriptors",
      requestOf(Array.from({ length: 33 }, () => descriptor({ a: "1" }))),
      { code: "invalid_argument", violations: [{ field: "descriptors" }] },
    ],
    [
      "a limit of its own",
      withLimit,
      { code: "invalid_argument", message: expect.stringContaining("policy's limits") },
    ],
    [
      "hits to be given back",
      requestOf([descriptor({ path: "/login" }, { addend: 1n, isNegative: true })]),
      { code: "invalid_argument", message: expect.stringContaining("policy's limits") },
    ],
  ])("%s", async (_, request, error) => {
    const answer = await ask(request);
    expect(answer.overallCode).toBe(Code.OVER_LIMIT);
    expect(answer.statuses).toHaveLength(request.descriptors.length);
    expect(undecided).toMatchObject([error]);
  });
});

it("a policy in shadow is never over limit; what it would have said is in the metadata", async () => {
  world.reload(`${shop}enforcement: shadow\n`);
  await askFor({ path: "/login" }, { addend: 5n });
  const answer = await askFor({ path: "/login" });
  expect(answer).toMatchObject({
    overallCode: Code.OK,
    statuses: [{ code: Code.OK, limitRemaining: 0 }],
    dynamicMetadata: { shadow_reason: "POINTS_EXCEEDED" },
  });
  expect(answer.rawBody).toHaveLength(0);
});

it("a limit in shadow is never over limit; what it would have said is in the metadata", async () => {
  world.reload(shop.replace(/(descriptor: {path: \/login}.*)}/, "$1, shadow: true}"));
  await askFor({ path: "/login" }, { addend: 5n });
  const answer = await askFor({ path: "/login" });
  expect(answer).toMatchObject({
    overallCode: Code.OK,
    statuses: [{ code: Code.OK }],
    dynamicMetadata: { shadow_reason: "POINTS_EXCEEDED" },
    responseHeadersToAdd: [],
  });
  expect(answer.statuses[0]?.currentLimit).toBeUndefined();
});

describe("while the points' store does not answer", () => {
  const down = {
    async take() {
      throw storeUnavailable("redis", new Error("gone"));
    },
  };

  it("deny is OVER_LIMIT and no error, which Envoy would let pass", async () => {
    world.reload(`${shop}on_outage: deny\n`);
    world.replaceBuckets(withOutage(down, { budgetMs: 25, liveReplicas: () => 1 }));
    const answer = await askFor({ path: "/login" });
    expect(answer).toMatchObject({ overallCode: Code.OVER_LIMIT, statuses: [{ code: Code.OVER_LIMIT }] });
    expect(problemOf(answer)).toMatchObject({ status: 429, reason: "STORE_UNAVAILABLE" });
    expect(headersOf(answer)["retry-after"]).toBe("1");
  });

  it("a degraded decision is told in the metadata", async () => {
    world.replaceBuckets(withOutage(down, { budgetMs: 25, liveReplicas: () => 1 }));
    expect(await askFor({ path: "/login" })).toMatchObject({
      overallCode: Code.OK,
      dynamicMetadata: { degraded: ["points_local"] },
    });
  });
});

describe("what cannot be decided", () => {
  const request = () => requestOf([descriptor({ path: "/login" }), descriptor({ a: "1" })]);

  it.each([deadlineExceeded(), storeUnavailable("postgres", new Error("gone")), new TypeError("a fault")])(
    "is over limit, and told: %s",
    async (error) => {
      world.replaceBuckets({
        async take() {
          throw error;
        },
      });
      const answer = await ask(request());
      expect(answer).toMatchObject({
        overallCode: Code.OVER_LIMIT,
        statuses: [{ code: Code.OVER_LIMIT }, { code: Code.OVER_LIMIT }],
      });
      expect(problemOf(answer)).toMatchObject({ status: 429, reason: "UNDECIDED" });
      expect(undecided).toEqual([error]);
      expect(decisions).toEqual([]);
    },
  );

  it("is left to Envoy with on_error: gateway", async () => {
    world.reload(`${shop}on_error: gateway\n`);
    world.replaceBuckets({ take: () => Promise.reject(deadlineExceeded()) });
    await expect(ask(request())).rejects.toMatchObject({ code: "deadline_exceeded" });
    expect(undecided).toEqual([]);
  });

  it("passes with enforcement: shadow, and is told", async () => {
    world.reload(`${shop}enforcement: shadow\n`);
    world.replaceBuckets({ take: () => Promise.reject(deadlineExceeded()) });
    expect((await ask(request())).overallCode).toBe(Code.OK);
    expect(undecided).toHaveLength(1);
  });
});
