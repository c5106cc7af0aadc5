import { type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { PreparedFields } from "../http2/fields.ts";
import { ErrorCode } from "../http2/frames.ts";
import type { ServerStream, StreamSink } from "../http2/stream.ts";
import { PREFIX_BYTES } from "../wire/wire-writer.ts";
import { authenticated, type Call, createCall } from "./call.ts";
import type { CallEnd, CallRunner } from "./call-runner.ts";
import { toConnectError } from "./errors.ts";
import { respellGrpcMessage } from "./grpc-message.ts";
import { frameOf, type HotMethod, isOneMessage } from "./grpc-unary.ts";
import { late, type RequestBodies, type RequestBody } from "./request-bodies.ts";
import { unreadable } from "./unreadable.ts";

const CONTENT_TYPE = "application/grpc+proto";
const HEAD = new PreparedFields([":status", "200", "content-type", CONTENT_TYPE]);
const SUCCEEDED = new PreparedFields(["grpc-status", "0"]);
const NO_BYTES = Buffer.alloc(0);

/** Whether the ways from bytes to bytes know all that a request's header list asks for, of either engine. */
export function isPlainGrpcFields(fields: readonly string[]): boolean {
  let isGrpc = false;
  let hasEncoding = false;
  let hasTimeout = false;
  for (let index = 0; index < fields.length; index += 2) {
    const value = fields[index + 1] as string;
    switch (fields[index]) {
      case ":method":
        if (value !== "POST") return false;
        break;
      case "content-type":
        if (isGrpc || (value !== "application/grpc" && value !== CONTENT_TYPE)) return false;
        isGrpc = true;
        break;
      case "grpc-encoding":
        if (hasEncoding || value !== "identity") return false;
        hasEncoding = true;
        break;
      case "grpc-timeout":
        if (hasTimeout || !/^\d{1,8}[HMSmun]$/.test(value)) return false;
        hasTimeout = true;
        break;
      default:
    }
  }
  return isGrpc;
}

/** A field's value; several are joined by commas, as any list of header values is (RFC 9110 5.3). */
export function fieldOf(fields: readonly string[], name: string): string | null {
  let joined: string | null = null;
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] !== name) continue;
    const value = fields[index + 1] as string;
    joined = joined === null ? value : `${joined}, ${value}`;
  }
  return joined;
}

/** What Connect would say of a body that cannot be read; undefined: it is for Connect to read. */
function faultOf(body: Buffer, input: DescMessage): ConnectError | undefined {
  if (body.length === 0) {
    return new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented);
  }
  if (!isOneMessage(body)) return undefined;
  try {
    fromBinary(input, body.subarray(PREFIX_BYTES));
    return undefined;
  } catch (error) {
    return new ConnectError(`parse binary: ${(error as Error).message}`, Code.InvalidArgument);
  }
}

/** What all streams are served with. */
export interface GrpcStreamContext {
  readonly runner: CallRunner;
  readonly bodies: Pick<RequestBodies, "beginTimed">;
  readonly readMaxBytes: number;
  /** Serves the request in full generality; `whole` is all of its body. */
  readonly otherwise: (
    stream: ServerStream,
    request: { readonly call: Call; readonly body: RequestBody; readonly whole: Buffer },
  ) => void;
  /** Told when the answer could not be written. */
  readonly onUndelivered: (error: unknown) => void;
}

/** As `serveGrpcUnary`, on a stream of our own engine: what is read is served at once, and answered in one piece. */
export class GrpcStream implements StreamSink, CallEnd<Buffer> {
  readonly #stream: ServerStream;
  readonly #hot: HotMethod;
  readonly #context: GrpcStreamContext;
  readonly #call: Call;
  /** Made where the body does not come in one piece. */
  #body: RequestBody | undefined;
  #chunks: Buffer[] | undefined;
  #length = 0;
  #isServed = false;

  constructor(stream: ServerStream, { hot, context }: { hot: HotMethod; context: GrpcStreamContext }) {
    const { fields } = stream;
    this.#stream = stream;
    this.#hot = hot;
    this.#context = context;
    this.#call = createCall({
      method: hot.method,
      message: undefined,
      header: (name) => fieldOf(fields, name),
    });
    stream.receive(this);
    this.#call.credential = context.runner.credentialOf(stream.connection, fieldOf(fields, "authorization"));
    const refusal = context.runner.refusal(this.#call);
    if (refusal !== undefined) this.#stopWith(refusal);
  }

  onData(bytes: Buffer): void {
    const { bodies, readMaxBytes } = this.#context;
    this.#length += bytes.length;
    if (this.#length > readMaxBytes + PREFIX_BYTES) {
      const message = `message is larger than ${readMaxBytes} bytes`;
      this.#stopWith(unreadable(new ConnectError(message, Code.ResourceExhausted), this.#hot.method.input));
      return;
    }
    this.#body ??= bodies.beginTimed();
    this.#chunks ??= [];
    try {
      this.#body.add(bytes.length);
    } catch (error) {
      this.#stopWith(error);
      return;
    }
    this.#chunks.push(Buffer.from(bytes));
  }

  onLast(last: Buffer): void {
    let bytes = last;
    if (this.#chunks !== undefined) {
      // It may be the piece that is too much.
      this.onData(last);
      if (this.#isServed) return;
      bytes = Buffer.concat(this.#chunks);
    }
    this.#endBody();
    const request = this.#hot.read(bytes);
    if (request !== undefined) {
      const { message, work } = request;
      const call = this.#call;
      call.message = message;
      this.#context.runner.begin(call, () => work(authenticated(call)), this);
      return;
    }
    const fault = faultOf(bytes, this.#hot.method.input);
    if (fault === undefined) {
      const body = this.#body ?? this.#context.bodies.beginTimed();
      this.#context.otherwise(this.#stream, { call: this.#call, body, whole: Buffer.from(bytes) });
    } else this.#fail(this.#context.runner.failed(this.#call, unreadable(fault, this.#hot.method.input)));
  }

  onLate(): void {
    this.#stopWith(late());
  }

  onAborted(): void {
    this.#call.isAborted = true;
    // Whoever serves it already answers to nobody, later.
    if (!this.#isServed) this.#stream.reset(ErrorCode.CANCEL);
    this.#endBody();
  }

  #stopWith(error: unknown): void {
    if (this.#isServed) return;
    this.#endBody();
    this.#fail(this.#context.runner.failed(this.#call, error));
  }

  #endBody(): void {
    this.#isServed = true;
    this.#chunks = undefined;
    this.#body?.end();
  }

  onAnswer(frame: Buffer): void {
    try {
      this.#succeed(frame);
    } catch (error) {
      this.onError(toConnectError(error, this.#call.requestId));
    }
  }

  onError(error: ConnectError): void {
    try {
      this.#fail(error);
    } catch (undelivered) {
      this.#context.onUndelivered(undelivered);
    }
  }

  onTakenBack(): void {
    // The stream was reset.
  }

  #succeed(frame: Buffer): void {
    const { requestId } = this.#call;
    const head =
      requestId === "" ? HEAD : [":status", "200", "content-type", CONTENT_TYPE, "x-request-id", requestId];
    this.#stream.answer({ head, body: frame, trailers: SUCCEEDED });
  }

  #fail(error: ConnectError): void {
    const instead = this.#context.runner.answerInstead(this.#call, error);
    if (instead !== undefined) {
      this.#succeed(frameOf(toBinary(this.#hot.method.output, instead)));
      return;
    }
    const trailer = setTrailerStatus(new Headers(), error);
    respellGrpcMessage(trailer);
    this.#stream.answer({ head: HEAD, body: NO_BYTES, trailers: [...trailer].flat() });
  }
}
