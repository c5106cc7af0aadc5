import { readFileSync } from "node:fs";
import { fromJson, type JsonObject, toJson } from "@bufbuild/protobuf";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import {
  type CreateForeign,
  countSuccesses,
  type ForeignCaller,
  type ForeignRepeater,
  headersOf,
  urlOf,
} from "./foreign-client.ts";

/** Connect's own gRPC client for Node, on node:http2: one connection for each transport. */
export const connectNodeClient: CreateForeign<ForeignCaller & ForeignRepeater> = (target) => {
  const nodeOptions = target.caFile === undefined ? {} : { ca: readFileSync(target.caFile) };
  const transport = createGrpcTransport({ baseUrl: urlOf(target), nodeOptions });
  const methods = createClient(AuthorizationService, transport) as unknown as Record<
    string,
    (request: unknown, options: object) => Promise<never>
  >;
  const call = async (name: string, request: JsonObject): Promise<JsonObject> => {
    const method = AuthorizationService.methods.find((each) => each.name === name);
    if (method === undefined) throw new Error(`no method ${name}`);
    const message = fromJson(method.input, request);
    const answer = await methods[method.localName]?.(message, { headers: headersOf(target) });
    return toJson(method.output, answer as never) as JsonObject;
  };
  return {
    async call(name, request) {
      try {
        return { answer: await call(name, request) };
      } catch (error) {
        const failure = ConnectError.from(error);
        const [info] = failure.findDetails(ErrorInfoSchema);
        return { failure: { code: failure.code, reason: info?.reason ?? "" } };
      }
    },
    callTimes: (name, request, load) => countSuccesses(() => call(name, request), load),
  };
};
