import type { Fields, PreparedFields, RequestHead } from "./fields.ts";
import { type ReceiveWindow, SendWindow } from "./flow-control.ts";
import type { ErrorCode } from "./frames.ts";

/** Who serves a stream: told of what its client sends, within the turn in which it was read. */
export interface StreamSink {
  /** A piece of the body, which is not its end. The bytes belong to what was read: copy what is kept. */
  onData(bytes: Buffer): void;
  /** The last piece, maybe empty: the request is whole. */
  onLast(bytes: Buffer): void;
  /**
   * The body is not whole when its time is over; what still comes is dropped. Where it is left out, whoever serves the
   * stream has a timer of his own.
   */
  onLate?(): void;
  /** The stream was reset, or its connection ended, before both sides were done. */
  onAborted(code: number): void;
  /** What `send` had to keep is gone. */
  onDrained?(): void;
}

/** A request and its answer: RFC 9113 5 and 8.1. */
export interface ServerStream {
  readonly id: number;
  readonly connection: StreamConnection;
  /** The same object as of the request before, where a client repeats itself. */
  readonly fields: Fields;
  /** The whole request has been read. */
  readonly isWhole: boolean;
  /** It takes no answer any more. */
  readonly isClosed: boolean;
  /** Why it was reset, by either side; undefined: it was not. */
  readonly resetCode: number | undefined;
  /** From now on told of what comes; at once, within `onStream`. A paced one gives credit itself by `consume`. */
  receive(sink: StreamSink, options?: { readonly isPaced: boolean }): void;
  /** So many bytes of the body are used, and as many more may be sent. */
  consume(bytes: number): void;
  /** The head of an answer whose parts follow. */
  respond(fields: Fields): void;
  /** False: it is kept until the client takes it; `onDrained` tells. The bytes must stay as they are. */
  send(bytes: Uint8Array): boolean;
  end(trailers?: Fields): void;
  /** A whole answer. */
  answer(whole: WholeAnswer): void;
  reset(code: ErrorCode): void;
}

/** Of all streams of one connection. */
export interface StreamConnection {
  readonly isEncrypted: boolean;
  /** Undefined on a Unix socket. */
  readonly remoteAddress: string | undefined;
}

export interface WholeAnswer {
  readonly head: Fields | PreparedFields;
  /** Empty: no DATA frame. */
  readonly body: Uint8Array;
  /** Undefined: none, and the body, or the head, is the end. */
  readonly trailers?: Fields | PreparedFields | undefined;
}

/** What a connection does for its streams. */
export interface StreamHost extends StreamConnection {
  consumeOf(stream: StreamState, bytes: number): void;
  respondOf(stream: StreamState, fields: Fields): void;
  sendOf(stream: StreamState, bytes: Uint8Array): boolean;
  endOf(stream: StreamState, trailers: Fields | undefined): void;
  answerOf(stream: StreamState, whole: WholeAnswer): void;
  resetOf(stream: StreamState, code: ErrorCode): void;
}

/** A part of the body that waits for the client's window. */
type Pending = Uint8Array;

/** As the connection sees it. */
export class StreamState implements ServerStream {
  readonly id: number;
  readonly connection: StreamHost;
  readonly fields: Fields;
  /** Of all fields, as RFC 9113 6.5.2 counts. */
  readonly fieldBytes: number;
  readonly sendWindow: SendWindow;
  /** Made with the first DATA frame that is not the last. */
  receiveWindow: ReceiveWindow | undefined;
  sink: StreamSink | undefined;
  isPaced = false;
  /** Of a paced body: what was told and is not consumed. */
  unconsumedBytes = 0;
  /** The client has sent END_STREAM, or reset it. */
  isWhole = false;
  /** We have sent END_STREAM, or either side has reset it. */
  isClosed = false;
  /** Its answer is complete, whether all of it was sent yet or not. */
  isAnswered = false;
  resetCode: number | undefined;
  /** Of the body still to come, as content-length declares it; undefined: it does not. */
  bodyBytesLeft: number | undefined;
  /** When the head was read: performance.now(). */
  beganMs: number;
  /** Told that its time is over. */
  isLate = false;
  pending: Pending[] = [];
  /** `send` had to keep something, and `onDrained` is to be told. */
  isHeld = false;
  pendingTrailers: Fields | PreparedFields | undefined;
  /** The table's own. */
  nextInSlot: StreamState | undefined;

  constructor(options: {
    readonly id: number;
    readonly connection: StreamHost;
    readonly head: RequestHead;
    readonly sendBytes: number;
    readonly beganMs: number;
  }) {
    const { block, bodyBytes } = options.head;
    this.id = options.id;
    this.connection = options.connection;
    this.fields = block.fields;
    this.fieldBytes = block.listBytes;
    this.bodyBytesLeft = bodyBytes;
    this.beganMs = options.beganMs;
    this.sendWindow = new SendWindow(options.sendBytes);
  }

  receive(sink: StreamSink, options?: { readonly isPaced: boolean }): void {
    this.sink = sink;
    this.isPaced = options?.isPaced === true;
  }

  consume(bytes: number): void {
    this.connection.consumeOf(this, bytes);
  }

  respond(fields: Fields): void {
    this.connection.respondOf(this, fields);
  }

  send(bytes: Uint8Array): boolean {
    return this.connection.sendOf(this, bytes);
  }

  end(trailers?: Fields): void {
    this.connection.endOf(this, trailers);
  }

  answer(whole: WholeAnswer): void {
    this.connection.answerOf(this, whole);
  }

  reset(code: ErrorCode): void {
    this.connection.resetOf(this, code);
  }
}
