import { fromBinary, type JsonObject } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import type { Code } from "@connectrpc/connect";
import { codeFromString } from "@connectrpc/connect/protocol-connect";
import { ErrorInfoSchema } from "../../src/gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../src/gen/google/rpc/status_pb.ts";

/** A client whose HTTP/2 is not ours. It calls tollgate.v1.AuthorizationService; messages are proto3 JSON. */
export interface ForeignCaller {
  call(method: string, request: JsonObject): Promise<ForeignAnswer>;
}

/** One that makes the same call over and over on one connection. */
export interface ForeignRepeater {
  /** Answers how many succeeded. */
  callTimes(method: string, request: JsonObject, load: Load): Promise<number>;
}

/** Fields that have their default value may be missing. */
export type ForeignAnswer = { readonly answer: JsonObject } | { readonly failure: ForeignFailure };

export interface ForeignFailure {
  readonly code: Code;
  /** Of the error's google.rpc.ErrorInfo. */
  readonly reason: string;
}

export interface Load {
  readonly times: number;
  readonly atOnce: number;
}

/** `tollgate serve` on 127.0.0.1. */
export interface ForeignTarget {
  readonly port: number;
  /** PEM: the one authority to trust, over TLS. Without it calls go in the clear. */
  readonly caFile?: string;
  /** Without it none is sent. */
  readonly token?: string;
}

export type CreateForeign<Client> = (target: ForeignTarget) => Client;

export const SERVICE = "tollgate.v1.AuthorizationService";

/** A run of a client's program takes no longer. */
export const CALL_TIMEOUT_MS = 20_000;

export function urlOf({ port, caFile }: ForeignTarget): string {
  return `${caFile === undefined ? "http" : "https"}://127.0.0.1:${port}`;
}

/** The headers that every call of the target carries. */
export function headersOf(target: ForeignTarget): Record<string, string> {
  return target.token === undefined ? {} : { authorization: `Bearer ${target.token}` };
}

/** The ErrorInfo's reason in a google.rpc.Status, which is what `grpc-status-details-bin` holds. */
export function reasonIn(status: Uint8Array): string {
  const { details } = fromBinary(StatusSchema, status);
  const reasons = details.flatMap((detail) => anyUnpack(detail, ErrorInfoSchema)?.reason ?? []);
  return reasons.join();
}

/** Of the body of a unary call in Connect's JSON. */
export function connectAnswer(body: string): ForeignAnswer {
  const message = JSON.parse(body) as JsonObject;
  const code = typeof message["code"] === "string" ? codeFromString(message["code"]) : undefined;
  if (code === undefined) return { answer: message };
  const details = (message["details"] ?? []) as { type: string; value: string }[];
  const info = details.find((detail) => detail.type === "google.rpc.ErrorInfo");
  const bytes = Buffer.from(info?.value ?? "", "base64");
  return { failure: { code, reason: fromBinary(ErrorInfoSchema, bytes).reason } };
}

/** Runs `call` so many times, so many at once; answers how many did not throw. */
export async function countSuccesses(call: () => Promise<unknown>, load: Load): Promise<number> {
  let left = load.times;
  let succeeded = 0;
  const worker = async () => {
    while (left-- > 0) {
      await call().then(
        () => succeeded++,
        () => {},
      );
    }
  };
  await Promise.all(Array.from({ length: load.atOnce }, worker));
  return succeeded;
}
