import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { createCall } from "../../src/rpc/call.ts";
import {
  decodeConsumePointsRequest,
  encodeConsumePointsResponse,
} from "../../src/rpc/consume-points-codec.ts";
import { consumeInput, consumePointsResponse } from "../../src/rpc/decision-message.ts";
import { createValidation } from "../../src/rpc/validation.ts";
import { anyText, mutated } from "../support/mutated-bytes.ts";
import { anyDecision } from "./decision-arbitrary.ts";
import { plainlyRead, plainlyWritten } from "./wire-way.ts";

const method = AuthorizationService.method.consumePoints;
const { input, output } = method;
type Request = MessageInitShape<typeof input>;

const validate = createValidation();

/** What the general way makes of the bytes; undefined: it refuses them. */
function generallyRead(bytes: Uint8Array): object | undefined {
  try {
    const message = fromBinary(input, bytes);
    validate(createCall({ method, message, header: () => null }));
    return consumeInput(message);
  } catch {
    return undefined;
  }
}

const visible = (maxLength: number) => fc.stringMatching(new RegExp(`^[!#-&(-+\\x2d-~]{0,${maxLength}}$`));

/** Nearly all of them valid; some are not, by an empty key_id. */
const request: fc.Arbitrary<Request> = fc.record(
  {
    api: fc.stringMatching(/^([a-z][a-z0-9_-]{0,63})?$/),
    subject: fc.oneof(
      fc.record({ case: fc.constant("key" as const), value: anyText(200) }),
      fc.record({ case: fc.constant("keyId" as const), value: visible(64) }),
    ),
    workspaceId: visible(128),
    points: fc.oneof(fc.constant(0), fc.nat(), fc.constant(2 ** 32 - 1)),
    requestId: visible(128),
    mode: fc.constantFrom(0, 1, 2, 3),
  },
  { requiredKeys: ["subject"] },
);

const bytesOf = (init: Request) => toBinary(input, create(input, init));

const valid = request.map(bytesOf).filter((bytes) => generallyRead(bytes) !== undefined);

describe("a ConsumePointsRequest", () => {
  it("is read as the general way reads it, and refused by neither where the other takes it", () => {
    fc.assert(
      fc.property(request.map(bytesOf), (bytes) => {
        expect(plainlyRead(decodeConsumePointsRequest, bytes)).toEqual(generallyRead(bytes));
      }),
      { numRuns: 1000 },
    );
  });

  it("that is damaged is left to the general way, or read as it reads it", () => {
    let read = 0;
    fc.assert(
      fc.property(mutated(valid), (bytes) => {
        const plain = plainlyRead(decodeConsumePointsRequest, bytes);
        if (plain === undefined) return;
        read++;
        expect(plain).toEqual(generallyRead(bytes));
      }),
      { numRuns: 3000 },
    );
    expect(read).toBeGreaterThan(50);
  });

  const keyId = { case: "keyId", value: "key_1" } as const;

  it.each([
    ["names no subject", new Uint8Array()],
    ["names both subjects", Uint8Array.from([...bytesOf({ subject: keyId }), 0x12, 0x01, 0x6b])],
    ["names no key_id", bytesOf({ subject: { case: "keyId", value: "" } })],
    ["names too long a key_id", bytesOf({ subject: { case: "keyId", value: "k".repeat(65) } })],
    ["names no possible workspace", bytesOf({ subject: keyId, workspaceId: "a,b" })],
    ["names no possible api", bytesOf({ subject: keyId, api: "-" })],
    ["holds too long a request_id", bytesOf({ subject: keyId, requestId: "r".repeat(129) })],
    ["holds a field that is not known", Uint8Array.from([...bytesOf({ subject: keyId }), 0x40, 0x01])],
  ])("that %s is left to the general way", (_, bytes) => {
    expect(plainlyRead(decodeConsumePointsRequest, bytes)).toBeUndefined();
  });
});

describe("a ConsumePointsResponse", () => {
  it("is written as the message that the general way writes", async () => {
    await fc.assert(
      fc.asyncProperty(anyDecision, async (decision) => {
        const bytes = await plainlyWritten(encodeConsumePointsResponse, decision);
        const message = create(output, consumePointsResponse(decision));
        expect(fromBinary(output, bytes)).toEqual(message);
        expect(bytes.length).toBe(toBinary(output, message).length);
      }),
      { numRuns: 500 },
    );
  });
});
