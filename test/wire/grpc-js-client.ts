import { readFileSync } from "node:fs";
import type { JsonObject } from "@bufbuild/protobuf";
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { inRepository } from "../support/repository.ts";
import {
  type CreateForeign,
  countSuccesses,
  type ForeignCaller,
  type ForeignRepeater,
  headersOf,
  reasonIn,
  SERVICE,
} from "./foreign-client.ts";

type Call = (
  request: JsonObject,
  metadata: Metadata,
  done: (error: ServiceError | null, answer: JsonObject) => void,
) => void;

/** gRPC's own client for Node, on node:http2, from the proto files alone. One connection for each client. */
export const grpcJsClient: CreateForeign<ForeignCaller & ForeignRepeater> = (target) => {
  const security =
    target.caFile === undefined
      ? credentials.createInsecure()
      : credentials.createSsl(readFileSync(target.caFile));
  const client = new (authorizationService())(`127.0.0.1:${target.port}`, security, {
    // Otherwise grpc-js hands one connection to every client of the same address.
    "grpc.use_local_subchannel_pool": 1,
    // Otherwise it names the address in the handshake, where RFC 6066 allows host names alone.
    "grpc.ssl_target_name_override": "localhost",
  }) as Client & Record<string, Call>;
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headersOf(target))) metadata.set(name, value);
  const call = (method: string, request: JsonObject) =>
    new Promise<JsonObject>((resolve, reject) => {
      client[method]?.(request, metadata, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
  return {
    async call(method, request) {
      try {
        return { answer: await call(method, request) };
      } catch (error) {
        const { code, metadata: trailers } = error as ServiceError;
        const [details = ""] = trailers.get("grpc-status-details-bin");
        return { failure: { code: code as number, reason: reasonIn(Buffer.from(details)) } };
      }
    },
    callTimes: (method, request, load) => countSuccesses(() => call(method, request), load),
  };
};

function authorizationService(): ServiceClientConstructor {
  const loaded = loadPackageDefinition(
    loadSync("tollgate/v1/authorization_service.proto", {
      includeDirs: [inRepository("proto"), inRepository("proto/vendor")],
      enums: String,
      longs: String,
      oneofs: true,
    }),
  );
  return SERVICE.split(".").reduce<unknown>(
    (scope, name) => (scope as Record<string, unknown>)[name],
    loaded,
  ) as ServiceClientConstructor;
}
