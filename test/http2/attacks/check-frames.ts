import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import {
  AuthorizationService,
  CheckRequestSchema,
} from "../../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { block } from "./raw-frames.ts";

/** The header block of a gRPC Check. */
export function checkBlock(token: string, ...more: readonly string[]): Buffer {
  return block(
    ":method",
    "POST",
    ":scheme",
    "http",
    ":path",
    `/${AuthorizationService.typeName}/Check`,
    ":authority",
    "tollgate",
    "content-type",
    "application/grpc",
    "te",
    "trailers",
    "authorization",
    `Bearer ${token}`,
    ...more,
  );
}

/** The body of a gRPC Check: one message with its prefix. */
export function checkBody(check: MessageInitShape<typeof CheckRequestSchema>): Buffer {
  const message = toBinary(CheckRequestSchema, create(CheckRequestSchema, check));
  const body = Buffer.alloc(5 + message.length);
  body.writeUInt32BE(message.length, 1);
  body.set(message, 5);
  return body;
}
