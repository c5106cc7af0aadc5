import { fromBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { protoField } from "../../bench/peers/proto-field.ts";
import { rateLimitRequest } from "../../bench/peers/ratelimit/ratelimit-peer.ts";
import { RateLimitRequestSchema } from "../../src/gen/envoy/service/ratelimit/v3/rls_pb.ts";

test.each([1, 127, 128, 20_000])("a field of %d bytes is as protobuf writes it", (length) => {
  const domain = "d".repeat(length);
  const entry = protoField(1, protoField(1, "key_id"), protoField(2, "key-1"));
  const written = Buffer.concat([protoField(1, domain), protoField(2, entry)]);
  const read = fromBinary(RateLimitRequestSchema, written);
  expect(read.domain).toBe(domain);
  expect(written).toEqual(Buffer.from(rateLimitRequest(domain, ["key-1"])));
});
