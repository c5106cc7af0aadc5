import { createFileRegistry, type FileRegistry, fromBinary, type Message } from "@bufbuild/protobuf";
import type { GenMessage, GenService } from "@bufbuild/protobuf/codegenv2";
import { type Any, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import type { Code } from "@connectrpc/connect";

// The messages of connectrpc.conformance.v1 as far as a server under test reads and writes them; what they
// mean stands in the proto files, which come with the runner and are read at run time.

export type TLSCreds = Message & { cert: Uint8Array; key: Uint8Array };
export type ServerCompatRequest = Message & {
  useTls: boolean;
  clientTlsCert: Uint8Array;
  messageReceiveLimit: number;
  serverCreds?: TLSCreds;
};
export type ServerCompatResponse = Message & { host: string; port: number; pemCert: Uint8Array };

export type Header = Message & { name: string; value: string[] };
export type ConformanceError = Message & { code: Code; message?: string; details: Any[] };

export type UnaryResponseDefinition = Message & {
  responseHeaders: Header[];
  response:
    | { case: "responseData"; value: Uint8Array }
    | { case: "error"; value: ConformanceError }
    | { case: undefined; value?: undefined };
  responseTrailers: Header[];
  responseDelayMs: number;
};
export type StreamResponseDefinition = Message & {
  responseHeaders: Header[];
  responseData: Uint8Array[];
  responseDelayMs: number;
  error?: ConformanceError;
  responseTrailers: Header[];
};

export type RequestInfo = Message & { requestHeaders: Header[]; timeoutMs?: bigint; requests: Any[] };
export type Payload = Message & { data: Uint8Array; requestInfo?: RequestInfo };

export type UnaryRequest = Message & { responseDefinition?: UnaryResponseDefinition };
export type StreamRequest = Message & { responseDefinition?: StreamResponseDefinition };
export type BidiRequest = StreamRequest & { fullDuplex: boolean };
export type Answer = Message & { payload?: Payload };

interface Method<Kind, Input extends Message> {
  methodKind: Kind;
  input: GenMessage<Input>;
  output: GenMessage<Answer>;
}

export type ConformanceService = GenService<{
  unary: Method<"unary", UnaryRequest>;
  idempotentUnary: Method<"unary", UnaryRequest>;
  clientStream: Method<"client_streaming", UnaryRequest>;
  serverStream: Method<"server_streaming", StreamRequest>;
  bidiStream: Method<"bidi_streaming", BidiRequest>;
}>;

export interface ConformanceSchema {
  readonly registry: FileRegistry;
  readonly service: ConformanceService;
  readonly requestInfo: GenMessage<RequestInfo>;
  readonly serverCompatRequest: GenMessage<ServerCompatRequest>;
  readonly serverCompatResponse: GenMessage<ServerCompatResponse>;
}

/** From a google.protobuf.FileDescriptorSet of the runner's proto files. */
export function readConformanceSchema(descriptors: Uint8Array): ConformanceSchema {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, descriptors));
  const message = <Shape extends Message>(name: string) =>
    found(name, registry.getMessage(`connectrpc.conformance.v1.${name}`)) as GenMessage<Shape>;
  return {
    registry,
    service: found(
      "ConformanceService",
      registry.getService("connectrpc.conformance.v1.ConformanceService"),
    ) as unknown as ConformanceService,
    requestInfo: message("ConformancePayload.RequestInfo"),
    serverCompatRequest: message("ServerCompatRequest"),
    serverCompatResponse: message("ServerCompatResponse"),
  };
}

function found<Found>(name: string, value: Found | undefined): Found {
  if (value === undefined) throw new Error(`the proto files do not tell of ${name}`);
  return value;
}
