import { connect as connectSocket } from "node:net";
import { type DescMethodUnary, fromBinary, fromJson, type JsonObject, toJson } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import {
  type Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { BadRequestSchema, ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { CallerService } from "../../src/gen/tollgate/v1/caller_service_pb.ts";
import { DirectoryService } from "../../src/gen/tollgate/v1/directory_service_pb.ts";
import { PointsService } from "../../src/gen/tollgate/v1/points_service_pb.ts";
import { ReplicaService } from "../../src/gen/tollgate/v1/replica_service_pb.ts";
import { codeName } from "../../src/rpc/request-log.ts";
import { inRepository } from "../support/repository.ts";
import type { TestServer } from "./test-server.ts";

/** What a caller sees of an RPC, whatever the protocol. */
export type Outcome = { readonly answer: JsonObject } | { readonly failure: Failure };

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly reason: string;
  readonly domain: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly { readonly field: string; readonly description: string }[];
}

/** Calls a unary method of Tollgate; requests and answers are in proto3 JSON. */
export type CallUnary = (
  server: TestServer,
  method: DescMethodUnary,
  request: JsonObject,
  headers?: Readonly<Record<string, string>>,
) => Promise<Outcome>;

const services = [AuthorizationService, DirectoryService, PointsService, CallerService, ReplicaService];
export const tollgateMethods: readonly DescMethodUnary[] = services.flatMap((service) =>
  service.methods.filter((method): method is DescMethodUnary => method.methodKind === "unary"),
);

/** One client for each way in; all but one are not ours. */
export const protocols: Readonly<Record<string, CallUnary>> = {
  "gRPC by grpc-js": callByGrpcJs,
  "gRPC by Connect": byTransport((baseUrl) => createGrpcTransport({ baseUrl })),
  "gRPC-Web on HTTP/1.1": byTransport((baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" })),
  "gRPC-Web on HTTP/2": byTransport((baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "2" })),
  "Connect binary on HTTP/2": byTransport((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" })),
  "Connect JSON on HTTP/1.1": callByFetch,
};

function byTransport(createTransport: (baseUrl: string) => Transport): CallUnary {
  return async (server, method, request, headers = {}) => {
    const client = createClient(method.parent, createTransport(server.url)) as unknown as Record<
      string,
      (message: unknown, options: object) => Promise<never>
    >;
    try {
      const answer = await client[method.localName]?.(fromJson(method.input, request), { headers });
      return { answer: toJson(method.output, answer as never, { alwaysEmitImplicit: true }) as JsonObject };
    } catch (error) {
      return { failure: failureOf(ConnectError.from(error)) };
    }
  };
}

function failureOf(error: ConnectError): Failure {
  const [info] = error.findDetails(ErrorInfoSchema);
  const [badRequest] = error.findDetails(BadRequestSchema);
  return {
    code: codeName(error.code),
    message: error.rawMessage,
    reason: info?.reason ?? "",
    domain: info?.domain ?? "",
    metadata: info?.metadata ?? {},
    violations: (badRequest?.fieldViolations ?? []).map(({ field, description }) => ({ field, description })),
  };
}

export function postJson(
  server: TestServer,
  path: string,
  body: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`${server.url}/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  });
}

async function callByFetch(
  server: TestServer,
  method: DescMethodUnary,
  request: JsonObject,
  headers: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const path = `${method.parent.typeName}/${method.name}`;
  const response = await postJson(server, path, JSON.stringify(request), headers);
  const body = (await response.json()) as JsonObject;
  if (response.status === 200) return { answer: body };
  const details = (body["details"] ?? []) as { type: string; value: string }[];
  const detail = (type: string) => {
    const found = details.find((each) => each.type === type);
    return found === undefined ? undefined : Buffer.from(found.value, "base64");
  };
  return {
    failure: failureFromBytes({
      code: body["code"] as string,
      message: body["message"] as string,
      info: detail("google.rpc.ErrorInfo"),
      badRequest: detail("google.rpc.BadRequest"),
    }),
  };
}

function failureFromBytes(found: {
  code: string;
  message: string;
  info: Uint8Array | undefined;
  badRequest: Uint8Array | undefined;
}): Failure {
  const info = found.info && fromBinary(ErrorInfoSchema, found.info);
  const badRequest = found.badRequest && fromBinary(BadRequestSchema, found.badRequest);
  return {
    code: found.code,
    message: found.message,
    reason: info?.reason ?? "",
    domain: info?.domain ?? "",
    metadata: info?.metadata ?? {},
    violations: (badRequest?.fieldViolations ?? []).map(({ field, description }) => ({ field, description })),
  };
}

/** The definitions as a foreign client has them: read from the proto files, with no code of ours. */
const grpcJsPackage = loadPackageDefinition(
  loadSync(
    [
      "tollgate/v1/authorization_service.proto",
      "tollgate/v1/directory_service.proto",
      "tollgate/v1/points_service.proto",
      "tollgate/v1/caller_service.proto",
      "tollgate/v1/replica_service.proto",
      "grpc/health/v1/health.proto",
      "grpc/reflection/v1/reflection.proto",
      "grpc/reflection/v1alpha/reflection.proto",
    ],
    {
      includeDirs: [inRepository("proto"), inRepository("proto/vendor")],
      keepCase: false,
      enums: String,
      longs: String,
      defaults: true,
      oneofs: true,
    },
  ),
);

export function grpcJsClient(server: TestServer, service: string): Client & Record<string, never> {
  const constructor = service
    .split(".")
    .reduce<unknown>((scope, name) => (scope as Record<string, unknown>)[name], grpcJsPackage);
  const target =
    server.address.kind === "unix"
      ? `unix:${server.address.path}`
      : `${server.address.host}:${server.address.port}`;
  return new (constructor as ServiceClientConstructor)(target, credentials.createInsecure(), {
    // Otherwise grpc-js hands one connection to every client of the same address.
    "grpc.use_local_subchannel_pool": 1,
  }) as Client & Record<string, never>;
}

function callByGrpcJs(
  server: TestServer,
  method: DescMethodUnary,
  request: JsonObject,
  headers: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  const client = grpcJsClient(server, method.parent.typeName);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    const call = client[method.localName] as unknown as (
      request: JsonObject,
      metadata: Metadata,
      done: (error: ServiceError | null, answer: JsonObject) => void,
    ) => void;
    call.call(client, request, metadata, (error, answer) => {
      client.close();
      resolve(error === null ? { answer } : { failure: failureOfGrpcJs(error) });
    });
  });
}

/** Reads google.rpc.Status (code = 1, message = 2, repeated Any details = 3) by hand, as any client may. */
function failureOfGrpcJs(error: ServiceError): Failure {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  const details = new Map<string, Uint8Array>();
  if (bytes !== undefined) {
    const reader = new BinaryReader(bytes as Buffer);
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field !== 3) reader.skip(type, field);
      else {
        const any = new BinaryReader(reader.bytes());
        const parts: Uint8Array[] = [];
        while (any.pos < any.len) parts[any.tag()[0]] = any.bytes();
        details.set(
          Buffer.from(parts[1] ?? [])
            .toString()
            .replace(/.*\//, ""),
          parts[2] ?? Buffer.alloc(0),
        );
      }
    }
  }
  return failureFromBytes({
    code: codeName(error.code as number),
    message: error.details,
    info: details.get("google.rpc.ErrorInfo"),
    badRequest: details.get("google.rpc.BadRequest"),
  });
}

export function bearer(token: string): { authorization: string } {
  return { authorization: `Bearer ${token}` };
}

/** The answer; fails the test with what came instead. */
export async function answerOf(outcome: Promise<Outcome>): Promise<JsonObject> {
  const settled = await outcome;
  if ("failure" in settled) throw new Error(`the call failed: ${JSON.stringify(settled.failure)}`);
  return settled.answer;
}

export async function failureFrom(outcome: Promise<Outcome>): Promise<Failure> {
  const settled = await outcome;
  if ("answer" in settled) throw new Error(`the call passed: ${JSON.stringify(settled.answer)}`);
  return settled.failure;
}

/** Everything that a raw exchange of bytes brings back until the server ends it. */
export function exchangeBytes(server: TestServer, bytes: Uint8Array | string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket =
      server.address.kind === "unix"
        ? connectSocket(server.address.path)
        : connectSocket(server.address.port, server.address.host);
    let received = "";
    socket.setEncoding("latin1").on("data", (chunk: string) => {
      received += chunk;
    });
    socket.once("error", reject);
    socket.once("close", () => resolve(received));
    socket.write(bytes);
  });
}
