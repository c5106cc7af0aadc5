import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type DenyReason, denyReasons } from "../../src/core/deny-reason.ts";
import { TollgateError } from "../../src/core/errors.ts";
import { RateLimitService } from "../../src/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { decodeRateLimitRequest, encodeRateLimitResponse } from "../../src/proxy/rate-limit-codec.ts";
import type { RateLimitAnswer } from "../../src/proxy/rate-limit-exchange.ts";
import { rateLimitInput, rateLimitResponse } from "../../src/proxy/rate-limit-message.ts";
import { plainlyRead, plainlyWritten } from "../rpc/wire-way.ts";
import { anyText, grpcBody, mutated } from "../support/mutated-bytes.ts";
import { call, createGatewayWorld, SHOP } from "./gateway-world.ts";

const { input, output } = RateLimitService.method.shouldRateLimit;
type Request = MessageInitShape<typeof input>;

/** Undefined: it is refused. */
function generallyRead(bytes: Uint8Array): object | undefined {
  try {
    const { api, descriptors } = rateLimitInput(fromBinary(input, bytes));
    return {
      api,
      descriptors: descriptors.map(({ entries, points }) => ({
        entries: entries.map(({ key, value }) => ({ key, value })),
        points,
      })),
    };
  } catch {
    return undefined;
  }
}

const hits = fc.oneof(fc.nat(5), fc.constantFrom(999_999_999, 1_000_000_001, 2 ** 32 - 1));

const descriptor = fc.record(
  {
    entries: fc.array(fc.record({ key: anyText(40), value: anyText(150) }), { maxLength: 4 }),
    hitsAddend: hits.map(BigInt),
    isNegativeHits: fc.constantFrom(false, false, false, true),
  },
  { requiredKeys: ["entries"] },
);

/** Most of them such that they are not refused. */
const request: fc.Arbitrary<Request> = fc.record(
  { domain: anyText(30), descriptors: fc.array(descriptor, { maxLength: 5 }), hitsAddend: hits },
  { requiredKeys: ["domain", "descriptors"] },
);

const bytesOf = (init: Request) => toBinary(input, create(input, init));

const valid = request.map(bytesOf).filter((bytes) => generallyRead(bytes) !== undefined);

describe("Envoy's RateLimitRequest", () => {
  it("is read as the general way reads it, and refused by neither where the other takes it", () => {
    fc.assert(
      fc.property(request.map(bytesOf), (bytes) => {
        expect(plainlyRead(decodeRateLimitRequest, bytes)).toEqual(generallyRead(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it("that is damaged is left to the general way, or read as it reads it", () => {
    let read = 0;
    fc.assert(
      fc.property(mutated(valid), (bytes) => {
        const plain = plainlyRead(decodeRateLimitRequest, bytes);
        if (plain === undefined) return;
        read++;
        expect(plain).toEqual(generallyRead(bytes));
      }),
      { numRuns: 3000 },
    );
    expect(read).toBeGreaterThan(50);
  });

  const entries = [{ key: "user", value: "bob" }];

  it.each([
    ["says nothing", new Uint8Array()],
    ["names no domain", bytesOf({ descriptors: [{ entries }] })],
    ["has no descriptors", bytesOf({ domain: "shop" })],
    ["has an empty descriptor", bytesOf({ domain: "shop", descriptors: [{}] })],
    ["brings its own limit", bytesOf({ domain: "shop", descriptors: [{ entries, limit: {} }] })],
    ["gives points back", bytesOf({ domain: "shop", descriptors: [{ entries, isNegativeHits: true }] })],
    [
      "asks for points beyond 32 bits",
      bytesOf({ domain: "shop", descriptors: [{ entries, hitsAddend: 2n ** 32n }] }),
    ],
    [
      "holds a field that is not known",
      Uint8Array.from([...bytesOf({ domain: "shop", descriptors: [{ entries }] }), 0x20, 0x01]),
    ],
  ])("that %s is left to the general way", (_, bytes) => {
    expect(plainlyRead(decodeRateLimitRequest, bytes)).toBeUndefined();
  });
});

describe("Envoy's RateLimitResponse", () => {
  const limit = fc.record({
    name: anyText(70),
    points: fc.nat(),
    windowMs: fc.constantFrom(1000, 60_000, 3_600_000, 86_400_000, 604_800_000, 2_592_000_000, 5000),
    remaining: fc.nat(),
    untilResetMs: fc.oneof(fc.nat(), fc.constantFrom(0, 999, 1000, 2_592_000_000)),
  });
  const status = fc.record({ allowed: fc.boolean(), limit: fc.option(limit, { nil: undefined }) });
  const answer: fc.Arbitrary<RateLimitAnswer> = fc.record({
    allowed: fc.boolean(),
    statuses: fc.array(status, { maxLength: 4 }),
    headers: fc.array(fc.tuple(anyText(30), anyText(200)), { maxLength: 5 }),
    body: anyText(300),
    degraded: fc.array(fc.constantFrom("points_local", "points_skipped", "stale_rights"), { maxLength: 3 }),
    shadowReason: fc.option(fc.constantFrom(...(Object.keys(denyReasons) as DenyReason[])), {
      nil: undefined,
    }),
  });

  it("is written as the message that the general way writes", async () => {
    await fc.assert(
      fc.asyncProperty(answer, async (told) => {
        const bytes = await plainlyWritten(encodeRateLimitResponse, told);
        const message = create(output, rateLimitResponse(told));
        expect(fromBinary(output, bytes)).toEqual(fromBinary(output, toBinary(output, message)));
        expect(bytes.length).toBe(toBinary(output, message).length);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a rate limit filter's question, from bytes to bytes", () => {
  const asked = create(input, {
    domain: "shop",
    descriptors: [{ entries: [{ key: "a", value: "b" }] }, { entries: [{ key: "key_id", value: "none" }] }],
  });

  it("is answered as it is by messages", async () => {
    const { rateLimit } = createGatewayWorld();
    const frame = await rateLimit.wire.read(grpcBody(toBinary(input, asked)))?.work(call);
    const byMessages = create(output, await rateLimit.shouldRateLimit(asked, call));
    const answer = fromBinary(output, Uint8Array.from(frame?.subarray(5) ?? []));
    expect(answer).toEqual(fromBinary(output, toBinary(output, byMessages)));
    expect(answer).toMatchObject({ overallCode: 2, statuses: [{ code: 1 }, { code: 2 }] });
  });

  it.each([
    ["that passes in shadow", `${SHOP}\nenforcement: shadow\n`],
    ["that is refused", SHOP],
    ["that is left to the gateway", `${SHOP}\non_error: gateway\n`],
  ])("%s where it could not be decided has the same answer", (_, policy) => {
    const { rateLimit } = createGatewayWorld(policy);
    const read = rateLimit.wire.read(grpcBody(toBinary(input, asked)))?.message;
    expect(read).toBeDefined();
    const error = new TollgateError("unavailable", "gone", { reason: "STORE_UNAVAILABLE" });
    expect(rateLimit.failed(error, read)).toEqual(rateLimit.failed(error, asked));
  });
});
