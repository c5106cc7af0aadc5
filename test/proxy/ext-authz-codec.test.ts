import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { Authorization } from "../../src/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { decodeExtAuthzRequest, encodeExtAuthzResponse } from "../../src/proxy/ext-authz-codec.ts";
import {
  type ExtAuthzAnswer,
  type ExtAuthzRequest,
  READ_HEADERS,
} from "../../src/proxy/ext-authz-exchange.ts";
import { extAuthzRequest, extAuthzResponse } from "../../src/proxy/ext-authz-message.ts";
import { anyDecision } from "../rpc/decision-arbitrary.ts";
import { plainlyRead, plainlyWritten } from "../rpc/wire-way.ts";
import { anyText, grpcBody, mutated } from "../support/mutated-bytes.ts";
import { call, createGatewayWorld, SHOP } from "./gateway-world.ts";

const { input, output } = Authorization.method.check;
type Request = MessageInitShape<typeof input>;

/** All that can be seen of a request. */
function seen(request: ExtAuthzRequest) {
  const { http } = request;
  return {
    ...request,
    http: http && {
      ...http,
      headers: {
        values: READ_HEADERS.map((name) => http.headers.value(name)),
        other: http.headers.value("cookie"),
        names: [...http.headers.names()].sort(),
      },
    },
  };
}

/** Undefined: it cannot be read. */
function generallyRead(bytes: Uint8Array): object | undefined {
  try {
    return seen(extAuthzRequest(fromBinary(input, bytes)));
  } catch {
    return undefined;
  }
}

function read(bytes: Uint8Array): object | undefined {
  const request = plainlyRead(decodeExtAuthzRequest, bytes);
  return request && seen(request as ExtAuthzRequest);
}

const address = fc.record({
  address: fc.record({
    case: fc.constant("socketAddress" as const),
    value: fc.record(
      {
        protocol: fc.constantFrom(0, 1),
        address: fc.oneof(fc.ipV4(), fc.ipV6()),
        portSpecifier: fc.record({ case: fc.constant("portValue" as const), value: fc.nat(65_535) }),
        ipv4Compat: fc.boolean(),
      },
      { requiredKeys: ["address"] },
    ),
  }),
});

const peer = fc.record(
  { address, service: anyText(30), principal: anyText(60), certificate: anyText(300) },
  { requiredKeys: [] },
);

const headerName = fc.oneof(
  fc.constantFrom(...READ_HEADERS, "x-tollgate-key-id", "x-forwarded-for", ":path", "__proto__"),
  anyText(30),
);

const http = fc.record(
  {
    id: anyText(30),
    method: fc.oneof(fc.constantFrom("GET", "OPTIONS"), anyText(10)),
    headers: fc.dictionary(headerName, anyText(150), { maxKeys: 12 }),
    path: fc.oneof(fc.webPath(), anyText(200)),
    host: anyText(60),
    scheme: fc.constantFrom("https", "http", ""),
    query: anyText(20),
    fragment: anyText(20),
    size: fc.constantFrom(-1n, 0n, 17n, 2n ** 40n),
    protocol: fc.constantFrom("HTTP/1.1", "HTTP/2"),
    body: anyText(200),
    rawBody: fc.uint8Array({ maxLength: 200 }),
  },
  { requiredKeys: ["headers"] },
);

const extensions = fc.record(
  {
    api: anyText(10),
    mode: fc.constantFrom("peek", "other"),
    credential: fc.constantFrom("strip", "forward"),
    forwarded_proto: fc.constant("trusted"),
  },
  { requiredKeys: [] },
);

const time = fc.record({ seconds: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), nanos: fc.integer() });

const plainRequest: fc.Arbitrary<Request> = fc.record({
  attributes: fc.record(
    {
      source: peer,
      destination: peer,
      request: fc.record({ time, http }, { requiredKeys: [] }),
      contextExtensions: extensions,
      metadataContext: fc.constant({}),
      routeMetadataContext: fc.constant({}),
      tlsSession: fc.record({ sni: anyText(20) }),
    },
    { requiredKeys: [] },
  ),
});

const bytesOf = (init: Request) => toBinary(input, create(input, init));

describe("Envoy's CheckRequest", () => {
  it("is read as the general way reads it", () => {
    fc.assert(
      fc.property(plainRequest.map(bytesOf), (bytes) => {
        expect(read(bytes)).toEqual(generallyRead(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it("that is damaged is left to the general way, or read as it reads it", () => {
    let plain = 0;
    fc.assert(
      fc.property(mutated(plainRequest.map(bytesOf)), (bytes) => {
        const request = read(bytes);
        if (request === undefined) return;
        plain++;
        expect(request).toEqual(generallyRead(bytes));
      }),
      { numRuns: 3000 },
    );
    expect(plain).toBeGreaterThan(50);
  });

  const attributes = { request: { http: { path: "/", headers: { authorization: "a" } } } };
  const field = (number: number, ...bytes: number[]) => [number * 8 + 2, bytes.length, ...bytes];
  const text = (value: string) => [...Buffer.from(value)];
  /** A request of these attributes and these headers of the map, as bytes. */
  const ofHeaders = (...entries: number[][]) =>
    Uint8Array.from(field(1, ...field(4, ...field(2, ...entries.flatMap((entry) => field(3, ...entry))))));
  const entry = (name: string, value: string) => [...field(1, ...text(name)), ...field(2, ...text(value))];

  it("is read by bytes written by hand as the same", () => {
    const bytes = ofHeaders(entry("authorization", "a"), entry("x", "y"));
    expect(read(bytes)).toEqual(generallyRead(bytes));
    expect(read(bytes)).toMatchObject({ http: { headers: { values: ["a", null, null, null, null] } } });
  });

  it.each([
    ["says nothing", new Uint8Array()],
    ["has an extension that is not known", bytesOf({ attributes: { contextExtensions: { apo: "shop" } } })],
    [
      "is of a Unix socket",
      bytesOf({ attributes: { source: { address: { address: { case: "pipe", value: {} } } } } }),
    ],
    ["has labels", bytesOf({ attributes: { ...attributes, source: { labels: { a: "b" } } } })],
    [
      "has metadata",
      bytesOf({ attributes: { ...attributes, metadataContext: { filterMetadata: { a: {} } } } }),
    ],
    [
      "has raw headers",
      bytesOf({ attributes: { request: { http: { headerMap: { headers: [{ key: "a" }] } } } } }),
    ],
    ["has the authorization twice", ofHeaders(entry("authorization", "a"), entry("authorization", "b"))],
    ["has a header without a value", ofHeaders(field(1, 0x61))],
    ["has a header whose value stands first", ofHeaders([...field(2, 0x61), ...field(1, 0x61)])],
    ["has a header with one thing more", ofHeaders([...entry("a", "b"), 0x18, 0x01])],
    ["has a header that is no UTF-8", ofHeaders([...field(1, 0x61), ...field(2, 0xc3)])],
    [
      "has a long header that is no UTF-8",
      ofHeaders([...field(1, 0x61), ...field(2, ...Array.from({ length: 50 }, () => 0xe2))]),
    ],
    ["ends in a header", ofHeaders(entry("a", "b")).subarray(0, -1)],
    ["is followed by another", Uint8Array.from([...bytesOf({ attributes }), ...bytesOf({ attributes })])],
  ])("that %s is left to the general way", (_, bytes) => {
    expect(read(bytes)).toBeUndefined();
  });
});

describe("Envoy's CheckResponse", () => {
  const line = fc.tuple(
    anyText(30).filter((name) => name !== ""),
    anyText(300),
  );
  const lines = fc.array(line, { maxLength: 6 });
  const decision = fc.option(anyDecision, { nil: undefined });
  const answer: fc.Arbitrary<ExtAuthzAnswer> = fc.oneof(
    fc.record({
      outcome: fc.constant("passed" as const),
      identity: lines,
      removed: fc.array(anyText(30), { maxLength: 4 }),
      clientHeaders: lines,
      decision,
    }),
    fc.record({
      outcome: fc.constant("denied" as const),
      status: fc.constantFrom(400, 401, 403, 404, 429, 503),
      detail: anyText(100),
      headers: lines,
      body: anyText(400),
      decision,
    }),
  );

  it("is written as the message that the general way writes", async () => {
    await fc.assert(
      fc.asyncProperty(answer, async (told) => {
        const bytes = await plainlyWritten(encodeExtAuthzResponse, told);
        const message = create(output, extAuthzResponse(told));
        expect(fromBinary(output, bytes)).toEqual(fromBinary(output, toBinary(output, message)));
        expect(bytes.length).toBe(toBinary(output, message).length);
      }),
      { numRuns: 500 },
    );
  });
});

describe("Envoy's question, from bytes to bytes", () => {
  const message = (authorization: string, contentType = "application/json") =>
    create(input, {
      attributes: {
        request: {
          http: {
            method: "GET",
            path: "/items",
            host: "api.shop.test",
            scheme: "https",
            headers: { authorization, "content-type": contentType, X_Tollgate_User: "eve" },
          },
        },
      },
    });

  it("is answered as it is by messages", async () => {
    const world = createGatewayWorld();
    const { key } = await world.fill();
    for (const authorization of [`Bearer ${key}`, "Bearer nonsense"]) {
      const asked = message(authorization);
      const [byMessages, frame] = [
        create(output, await world.extAuthz.check(asked, { ...call })),
        await world.extAuthz.wire.read(grpcBody(toBinary(input, asked)))?.work(call),
      ];
      const answer = fromBinary(output, frame?.subarray(5) ?? new Uint8Array());
      expect(answer.status).toEqual(byMessages.status);
      expect(answer.httpResponse.case).toBe(byMessages.httpResponse.case);
      expect(answer.dynamicMetadata?.["reason"]).toBe(byMessages.dynamicMetadata?.["reason"]);
    }
  });

  it.each([
    ["that passes in shadow", `${SHOP}\nenforcement: shadow\n`, "application/json"],
    ["that is refused", SHOP, "application/json"],
    ["that is refused to a gRPC client", SHOP, "application/grpc"],
    ["that is left to the gateway", `${SHOP}\non_error: gateway\n`, "application/json"],
  ])("%s where it could not be decided has the same answer", (_, policy, contentType) => {
    const { extAuthz } = createGatewayWorld(policy);
    const asked = message("Bearer nonsense", contentType);
    const read = extAuthz.wire.read(grpcBody(toBinary(input, asked)))?.message;
    expect(read).toBeDefined();
    const error = new TollgateError("unavailable", "gone", { reason: "STORE_UNAVAILABLE" });
    expect(extAuthz.failed(error, read)).toEqual(extAuthz.failed(error, asked));
  });
});
