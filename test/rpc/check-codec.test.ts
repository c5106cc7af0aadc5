import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { principalOf } from "../../src/core/standing.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { createCall } from "../../src/rpc/call.ts";
import { decodeCheckRequest, encodeCheckResponse } from "../../src/rpc/check-codec.ts";
import { checkInput, checkResponse } from "../../src/rpc/decision-message.ts";
import { createValidation } from "../../src/rpc/validation.ts";
import { anyText, mutated } from "../support/mutated-bytes.ts";
import { anyDecision } from "./decision-arbitrary.ts";
import { allowed, keyRecord } from "./test-server.ts";
import { plainlyRead, plainlyWritten } from "./wire-way.ts";

const method = AuthorizationService.method.check;
const { input, output } = method;
type Request = MessageInitShape<typeof input>;

const validate = createValidation();

/** What the general way makes of the bytes; undefined: it refuses them. */
function generallyRead(bytes: Uint8Array): object | undefined {
  try {
    const message = fromBinary(input, bytes);
    validate(createCall({ method, message, header: () => null }));
    const read = checkInput(message);
    if (!("http" in read.target)) return read;
    const { method: verb, path, scheme, host } = read.target.http;
    return { ...read, target: { http: { method: verb, path, scheme, host } } };
  } catch {
    return undefined;
  }
}

const visible = (maxLength: number) => fc.stringMatching(new RegExp(`^[!#-&(-+\\x2d-~]{0,${maxLength}}$`));

const http = fc.record({
  method: fc.oneof(fc.constantFrom("GET", "POST"), anyText(20)),
  path: fc.oneof(fc.webPath(), anyText(300)),
  scheme: fc.oneof(fc.constantFrom("https", "http", ""), anyText(10)),
  host: fc.oneof(fc.domain(), anyText(100)),
});

/** Nearly all of them valid; some are not, by an empty target or too long a permission. */
const request: fc.Arbitrary<Request> = fc.record(
  {
    api: fc.stringMatching(/^([a-z][a-z0-9_-]{0,63})?$/),
    key: anyText(200),
    target: fc.oneof(
      fc.record({ case: fc.constant("permission" as const), value: anyText(128) }),
      fc.record({ case: fc.constant("http" as const), value: http }),
    ),
    workspaceId: anyText(200),
    locationIds: fc.array(anyText(60), { maxLength: 101 }),
    points: fc.oneof(fc.constant(0), fc.nat(), fc.constant(2 ** 32 - 1)),
    requestId: visible(128),
    mode: fc.constantFrom(0, 1, 2, 3),
    explain: fc.boolean(),
    clientIp: fc.oneof(fc.ipV4(), fc.ipV6(), anyText(40)),
  },
  { requiredKeys: ["target"] },
);

const bytesOf = (init: Request) => toBinary(input, create(input, init));

const valid = request.map(bytesOf).filter((bytes) => generallyRead(bytes) !== undefined);

describe("a CheckRequest", () => {
  it("is read as the general way reads it, and refused by neither where the other takes it", () => {
    fc.assert(
      fc.property(request.map(bytesOf), (bytes) => {
        expect(plainlyRead(decodeCheckRequest, bytes)).toEqual(generallyRead(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it("that is damaged is left to the general way, or read as it reads it", () => {
    let read = 0;
    fc.assert(
      fc.property(mutated(valid), (bytes) => {
        const plain = plainlyRead(decodeCheckRequest, bytes);
        if (plain === undefined) return;
        read++;
        expect(plain).toEqual(generallyRead(bytes));
      }),
      { numRuns: 3000 },
    );
    expect(read).toBeGreaterThan(50);
  });

  const permission = { case: "permission", value: "items.read" } as const;
  const plain = bytesOf({ target: permission });
  const withBytes = (...more: number[]) => Uint8Array.from([...plain, ...more]);

  it.each([
    ["holds a field that is not known", withBytes(0x78, 0x01)],
    ["holds a field with a number of two bytes", withBytes(0x82, 0x01, 0x00)],
    ["holds a field twice", withBytes(0x0a, 0x00, 0x0a, 0x00)],
    ["holds both targets", withBytes(0x22, 0x06, 0x0a, 0x01, 0x47, 0x12, 0x01, 0x2f)],
    ["holds its target twice", withBytes(...plain)],
    ["holds a field of another wire type", withBytes(0x08, 0x00)],
    ["holds a group", withBytes(0x0b, 0x0c)],
    ["holds a text that is no UTF-8", withBytes(0x12, 0x01, 0xff)],
    ["holds a mode that is not known", withBytes(0x48, 0x04)],
    ["holds a number of more than 32 bits", withBytes(0x38, 0xff, 0xff, 0xff, 0xff, 0x7f)],
    ["holds a true that is not 1", withBytes(0x50, 0x02)],
    ["ends in a text", withBytes(0x12, 0x02, 0x61)],
    ["ends in a number", withBytes(0x38, 0x80)],
    ["ends in a tag", withBytes(0x80)],
    ["names no target", new Uint8Array()],
    ["names no permission", bytesOf({ target: { case: "permission", value: "" } })],
    ["names too long a permission", bytesOf({ target: { case: "permission", value: "é".repeat(65) } })],
    ["names no method", bytesOf({ target: { case: "http", value: { path: "/" } } })],
    ["names no path", bytesOf({ target: { case: "http", value: { method: "GET" } } })],
    ["names no possible api", bytesOf({ target: permission, api: "Retrac" })],
    ["holds a request_id with a space", bytesOf({ target: permission, requestId: "a b" })],
    [
      "names 101 locations",
      bytesOf({ target: permission, locationIds: Array.from({ length: 101 }, () => "l") }),
    ],
    ["is longer than 1 MiB", bytesOf({ target: permission, key: "k".repeat(1_048_577) })],
  ])("that %s is left to the general way", (_, bytes) => {
    expect(plainlyRead(decodeCheckRequest, bytes)).toBeUndefined();
  });

  it("may be of any order", () => {
    const after = Uint8Array.from([0x50, 0x01, ...plain, 0x0a, 0x01, 0x61]);
    expect(plainlyRead(decodeCheckRequest, after)).toEqual(generallyRead(after));
    expect(plainlyRead(decodeCheckRequest, after)).toMatchObject({ api: "a", explain: true });
  });

  it("may hold as long a secret as a message of 1 MiB has room for", () => {
    const bytes = bytesOf({ target: permission, key: "k".repeat(1_048_000) });
    expect(plainlyRead(decodeCheckRequest, bytes)).toEqual(generallyRead(bytes));
    expect(generallyRead(bytes)).toBeDefined();
  });
});

describe("a CheckResponse", () => {
  it("is written as the message that the general way writes", async () => {
    await fc.assert(
      fc.asyncProperty(anyDecision, async (decision) => {
        const bytes = await plainlyWritten(encodeCheckResponse, decision);
        expect(fromBinary(output, bytes)).toEqual(create(output, checkResponse(decision)));
        // Of the same length: what is left out is left out by both.
        expect(bytes.length).toBe(toBinary(output, create(output, checkResponse(decision))).length);
      }),
      { numRuns: 500 },
    );
  });
});

it("keeps of a key's answers no more than its record holds, whatever the key may do", async () => {
  const locationIds = Array.from({ length: 1000 }, (_, index) => `location-${index}`);
  const permissions = Array.from({ length: 300 }, (_, index) => `permission-${index}`);
  const decision = allowed();
  const principal = { ...principalOf(keyRecord()), locationIds, permissions };
  await plainlyWritten(encodeCheckResponse, { ...decision, principal });
  expect(principal.encoded?.length).toBeGreaterThan(0);
  expect(principal.encoded?.length).toBeLessThan(1000);
});
