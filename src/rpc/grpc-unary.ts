import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import type { TollgateError } from "../core/errors.ts";
import type { MaybePromise } from "../core/ports.ts";
import type { WireMethod } from "../wire/wire-method.ts";
import { PREFIX_BYTES } from "../wire/wire-writer.ts";
import { type AuthenticatedCall, authenticated, type Call } from "./call.ts";
import type { CallRunner } from "./call-runner.ts";
import { toConnectError } from "./errors.ts";
import { respellGrpcMessage } from "./grpc-message.ts";
import { isGateway } from "./method.ts";
import { discardRest, type RequestBody } from "./request-bodies.ts";
import { unreadable } from "./unreadable.ts";

/** A unary method that is served from bytes to bytes. */
export interface HotMethod {
  readonly method: DescMethod;
  /**
   * The request in a gRPC body, and the work that answers it; undefined: the body is not one message that can be
   * read. Nothing of the body is kept: its bytes may be used for others.
   */
  read(body: Buffer): HotRequest | undefined;
}

export interface HotRequest {
  /** As in `Call.message`. */
  readonly message: object;
  /** Answers a gRPC body. */
  work(call: AuthenticatedCall): MaybePromise<Buffer>;
}

/** `wire` serves the requests that it can read; `work` all others, with the same results. */
export function hotMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  work: (request: MessageShape<I>, call: AuthenticatedCall) => Promise<MessageInitShape<O>>,
  wire?: WireMethod<AuthenticatedCall>,
): HotMethod {
  return {
    method,
    read(body) {
      const plain = wire === undefined || !isOneMessage(body) ? undefined : wire.read(body);
      if (plain !== undefined) return plain;
      const message = decode(method.input, body);
      if (message === undefined) return undefined;
      return { message, work: async (call) => encode(method.output, await work(message, call)) };
    },
  };
}

export interface GrpcUnaryOptions {
  readonly hot: HotMethod;
  /** The call, whose message is set once it is read. */
  readonly call: Call;
  readonly body: RequestBody;
  /** Why the body is not to be read; undefined: it is. */
  readonly refusal: TollgateError | undefined;
  readonly runner: CallRunner;
  readonly readMaxBytes: number;
  /** Serves the request in full generality; `body` is all of it. */
  readonly otherwise: (body: Uint8Array) => void;
  /** Told when the answer could not be written: the client is gone. */
  readonly onUndelivered: (error: unknown) => void;
}

/**
 * Serves a unary gRPC call on Node's HTTP/2 without Connect's request objects and streams. Only the common form is done
 * here; whatever else the body turns out to be (compressed, not one message) goes to `otherwise`, so that
 * there is one place that answers it. Both ways pass through the same runner, and the tests run both.
 */
export function serveGrpcUnary(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  options: GrpcUnaryOptions,
): void {
  const { stream } = request;
  const { body, call, runner } = options;
  if (options.refusal !== undefined) {
    discardRest(stream);
    fail(runner.failed(call, options.refusal));
    return;
  }
  const chunks: Buffer[] = [];
  let length = 0;
  stream.on("data", onData);
  stream.once("end", onEnd);
  body.onLate = stopWith;

  function onData(chunk: Buffer): void {
    chunks.push(chunk);
    length += chunk.length;
    if (length > options.readMaxBytes + PREFIX_BYTES) {
      const message = `message is larger than ${options.readMaxBytes} bytes`;
      stopWith(unreadable(new ConnectError(message, Code.ResourceExhausted), options.hot.method.input));
      return;
    }
    try {
      body.add(chunk.length);
    } catch (error) {
      stopWith(error);
    }
  }

  function stopWith(error: unknown): void {
    stream.off("end", onEnd);
    // What is still to come flows on, to nobody: the client may not look for an answer before it has sent all.
    stream.off("data", onData);
    stream.resume();
    chunks.length = 0;
    body.end();
    fail(runner.failed(call, error));
  }

  function onEnd(): void {
    body.end();
    // A stream that its client took back ends as well, wherever its body stood.
    if (stream.aborted || stream.destroyed) return;
    const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks);
    const hotRequest = options.hot.read(bytes);
    if (hotRequest === undefined && isGateway(call.method) && isOneMessage(bytes)) {
      // Bytes of a client's that are no text, as a gateway passes them on: not for it to be told of an error.
      const error = new ConnectError("parse binary: it cannot be read", Code.InvalidArgument);
      fail(runner.failed(call, unreadable(error, options.hot.method.input)));
    } else if (hotRequest === undefined) options.otherwise(bytes);
    else answer(hotRequest).catch(options.onUndelivered);
  }

  async function answer({ message, work }: HotRequest): Promise<void> {
    call.message = message;
    try {
      succeed(await runner.run(call, () => work(authenticated(call))));
    } catch (thrown) {
      fail(thrown instanceof ConnectError ? thrown : toConnectError(thrown, call.requestId));
    }
  }

  function succeed(frame: Buffer): void {
    const headers: Record<string, string> = { "content-type": "application/grpc+proto" };
    if (call.requestId !== "") headers["x-request-id"] = call.requestId;
    response.writeHead(200, headers);
    response.addTrailers({ "grpc-status": "0" });
    response.end(frame);
  }

  function fail(error: ConnectError): void {
    const instead = runner.answerInstead(call, error);
    if (instead !== undefined) {
      succeed(frameOf(toBinary(options.hot.method.output, instead)));
      return;
    }
    const trailer = setTrailerStatus(new Headers(), error);
    respellGrpcMessage(trailer);
    response.writeHead(200, { "content-type": "application/grpc+proto" });
    response.addTrailers(Object.fromEntries(trailer));
    response.end();
  }
}

/** One length-prefixed message that is not compressed; undefined: the body is something else. */
function decode<Desc extends DescMessage>(schema: Desc, body: Buffer): MessageShape<Desc> | undefined {
  if (!isOneMessage(body)) return undefined;
  try {
    // A copy: a message's bytes fields are views of what it was read from.
    return fromBinary(schema, Uint8Array.from(body.subarray(PREFIX_BYTES)));
  } catch {
    // Reading it again the general way tells the caller what is wrong with it.
    return undefined;
  }
}

export function isOneMessage(body: Buffer): boolean {
  return body.length >= PREFIX_BYTES && body[0] === 0 && body.readUInt32BE(1) === body.length - PREFIX_BYTES;
}

function encode<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Buffer {
  return frameOf(toBinary(schema, create(schema, init)));
}

export function frameOf(message: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, PREFIX_BYTES);
  return frame;
}
