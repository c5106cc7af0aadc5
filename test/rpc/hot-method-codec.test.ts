import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { Authorization } from "../../src/gen/envoy/service/auth/v3/external_auth_pb.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import type { AuthenticatedCall } from "../../src/rpc/call.ts";
import { decodeCheckRequest, encodeCheckResponse } from "../../src/rpc/check-codec.ts";
import { hotMethod } from "../../src/rpc/grpc-unary.ts";
import { wireMethod } from "../../src/wire/wire-method.ts";
import { admin, NO_DEADLINE } from "../core/world.ts";
import { grpcBody } from "../support/mutated-bytes.ts";
import { allowed } from "./test-server.ts";

const call: AuthenticatedCall = { caller: admin, deadline: NO_DEADLINE, isAborted: false };
const { check } = AuthorizationService.method;

const hot = hotMethod(
  check,
  async (request) => ({ message: `general ${request.key}` }),
  wireMethod({
    decode: decodeCheckRequest,
    work: async (input) => allowed({ requiredScopes: [input.key] }),
    encode: encodeCheckResponse,
  }),
);

async function answerTo(body: Buffer) {
  const request = hot.read(body);
  // The bytes may be those of another request by the time that this one is answered.
  body.fill(0xff);
  const answer = await request?.work(call);
  return answer && fromBinary(check.output, answer.subarray(5));
}

function bodyOf(init: MessageInitShape<typeof check.input>, ...more: number[]): Buffer {
  return grpcBody(Uint8Array.from([...toBinary(check.input, create(check.input, init)), ...more]));
}

const target = { case: "permission", value: "items.read" } as const;

describe("a hot method", () => {
  it("serves plain messages from bytes to bytes, and keeps none of the bytes", async () => {
    const answer = await answerTo(bodyOf({ target, key: "a secret of more than a few bytes" }));
    expect(answer).toMatchObject({ message: "", requiredScopes: ["a secret of more than a few bytes"] });
  });

  it("serves other messages the general way", async () => {
    const answer = await answerTo(bodyOf({ target, key: "secret" }, 0x78, 0x01));
    expect(answer).toMatchObject({ message: "general secret" });
  });

  it("leaves a message that is to be refused to be validated", () => {
    const request = hot.read(bodyOf({ key: "secret" }));
    expect(request?.message).toMatchObject({ $typeName: "tollgate.v1.CheckRequest", key: "secret" });
  });

  it("does not serve what is not one message", () => {
    const plain = bodyOf({ target });
    expect(hot.read(plain.subarray(0, -1))).toBeUndefined();
    expect(hot.read(Buffer.concat([plain, plain]))).toBeUndefined();
    expect(hot.read(Buffer.from([1, ...plain.subarray(1)]))).toBeUndefined();
    expect(hot.read(Buffer.alloc(0))).toBeUndefined();
    expect(hot.read(grpcBody(Uint8Array.from([0x0a, 0x05])))).toBeUndefined();
  });

  it("keeps none of the bytes of a message that holds bytes, either", async () => {
    const envoy = Authorization.method.check;
    const general = hotMethod(envoy, async ({ attributes }) => {
      const value = attributes?.request?.http?.headerMap?.headers[0]?.rawValue ?? new Uint8Array();
      return { status: { message: Buffer.from(value).toString("latin1") } };
    });
    const rawValue = Buffer.from("Bearer secret");
    const attributes = {
      request: { http: { headerMap: { headers: [{ key: "authorization", rawValue }] } } },
    };
    const body = grpcBody(toBinary(envoy.input, create(envoy.input, { attributes })));
    const request = general.read(body);
    body.fill(0x61);
    const answer = (await request?.work(call)) ?? Buffer.alloc(5);
    expect(fromBinary(envoy.output, answer.subarray(5)).status?.message).toBe("Bearer secret");
  });
});
