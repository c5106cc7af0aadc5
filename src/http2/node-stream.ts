import {
  Http2ServerRequest,
  Http2ServerResponse,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { ErrorCode } from "./frames.ts";
import type { ServerStream, StreamConnection } from "./stream.ts";

/** What is read ahead of whoever serves, and written ahead of the client. Node's own default grew with Node 22. */
const HIGH_WATER_BYTES = 16_384;

/** What Node's own handlers of HTTP/2 are given. */
export interface NodeExchange {
  readonly request: Http2ServerRequest;
  readonly response: Http2ServerResponse;
}

/** A stream in the shape of Node's, for handlers that are written for either engine. */
export function toNodeExchange(stream: ServerStream): NodeExchange {
  const headers = headersOf(stream);
  const node = new NodeStream(stream, { headRequest: headers[":method"] === "HEAD" });
  const asNode = node as unknown as ServerHttp2Stream;
  const request = new Http2ServerRequest(asNode, headers, {}, [...stream.fields]);
  const response = new Http2ServerResponse(asNode);
  // Node's would look for a socket that its own session has.
  const socket = { value: socketOf(stream.connection) };
  Object.defineProperty(request, "socket", socket);
  Object.defineProperty(response, "socket", socket);
  return { request, response };
}

/** As much of Node's Http2Stream as its request, its response and our handlers use. */
class NodeStream extends Duplex {
  readonly session: StreamConnection;
  readonly id: number;
  readonly headRequest: boolean;
  aborted = false;
  rstCode = 0;
  headersSent = false;
  sentTrailers: Readonly<Record<string, unknown>> | undefined;
  readonly #stream: ServerStream;
  /** Of what was pushed and not read yet. */
  #unread = 0;
  #isWaitingForTrailers = false;
  /** An answer that has no body, whatever is written: RFC 9110 6.4.1. */
  #isBodiless = false;
  #onDrained: (() => void) | undefined;

  constructor(stream: ServerStream, options: { readonly headRequest: boolean }) {
    super({ allowHalfOpen: true, autoDestroy: true, emitClose: true, highWaterMark: HIGH_WATER_BYTES });
    this.#stream = stream;
    this.session = stream.connection;
    this.id = stream.id;
    this.headRequest = options.headRequest;
    // What fails here has been told as a reset, or a close.
    this.on("error", () => {});
    stream.receive(
      {
        onData: (bytes) => this.#take(bytes),
        onLast: (bytes) => {
          this.#take(bytes);
          this.push(null);
        },
        onAborted: (code) => this.#abort(code),
        onDrained: () => this.#drained(),
      },
      { isPaced: true },
    );
    if (stream.isWhole) this.push(null);
  }

  /** RST_STREAM, unless the stream is over. */
  close(code: number = ErrorCode.NO_ERROR): void {
    if (this.destroyed) return;
    this.rstCode = code;
    this.#stream.reset(code as ErrorCode);
    this.destroy();
  }

  respond(
    headers: Readonly<Record<string, unknown>>,
    options: { readonly waitForTrailers?: boolean } = {},
  ): void {
    this.headersSent = true;
    this.#isBodiless = this.headRequest || BODILESS.has(Number(headers[":status"]));
    this.#isWaitingForTrailers = options.waitForTrailers === true;
    const fields = fieldsOf(headers);
    // RFC 9110 6.6.1: who has a clock says when.
    if (headers["date"] === undefined) fields.push("date", new Date().toUTCString());
    if (this.#isBodiless) this.#stream.answer({ head: fields, body: NO_BYTES });
    else this.#stream.respond(fields);
  }

  sendTrailers(trailers: Readonly<Record<string, unknown>>): void {
    this.sentTrailers = trailers;
  }

  setTimeout(): this {
    return this;
  }

  override _read(): void {
    this.#consume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#isBodiless || this.#stream.isClosed || this.#stream.send(Buffer.from(chunk))) done();
    else this.#onDrained = done;
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#isWaitingForTrailers) this.emit("wantTrailers");
    this.#stream.end(this.sentTrailers === undefined ? undefined : fieldsOf(this.sentTrailers));
    done();
    // As Node does: a body that nobody has begun to read is not waited for.
    setImmediate(() => {
      if (this.readableFlowing === null) this.close();
    });
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stream.reset(this.rstCode === 0 ? ErrorCode.CANCEL : (this.rstCode as ErrorCode));
    this.#drained();
    // What nobody will read was the connection's, too.
    this.#consume();
    done(error);
  }

  #consume(): void {
    const bytes = this.#unread;
    this.#unread = 0;
    if (bytes > 0) this.#stream.consume(bytes);
  }

  #take(bytes: Buffer): void {
    if (bytes.length === 0 || this.destroyed) return;
    this.#unread += bytes.length;
    this.push(Buffer.from(bytes));
  }

  #drained(): void {
    const done = this.#onDrained;
    this.#onDrained = undefined;
    done?.();
  }

  #abort(code: number): void {
    this.rstCode = code;
    if (!this.writableEnded) {
      this.aborted = true;
      this.emit("aborted");
    }
    // As Node does: what was not read yet is not told as an end.
    this.destroy();
  }
}

function headersOf({ fields }: ServerStream): IncomingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.create(null) as Record<string, string | string[]>;
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    const value = fields[index + 1] as string;
    const known = headers[name];
    if (known === undefined) headers[name] = name === "set-cookie" ? [value] : value;
    else if (Array.isArray(known)) known.push(value);
    else if (name === "cookie") headers[name] = `${known}; ${value}`;
    else if (!SINGLE.has(name)) headers[name] = `${known}, ${value}`;
  }
  return headers;
}

/** Of which Node keeps the first. */
const SINGLE = new Set([
  "authorization",
  "content-length",
  "content-type",
  "host",
  "user-agent",
  "referer",
  "from",
]);

const NO_BYTES = Buffer.alloc(0);
const BODILESS = new Set([204, 205, 304]);

/** Pseudo-fields first, names in lower case, one field for each value of a list. */
function fieldsOf(headers: Readonly<Record<string, unknown>>): string[] {
  const fields: string[] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || value === null) continue;
    const at = name.startsWith(":") ? 0 : fields.length;
    const values = Array.isArray(value) ? value : [value];
    fields.splice(at, 0, ...values.flatMap((each) => [name.toLowerCase(), String(each)]));
  }
  return fields;
}

function socketOf({ isEncrypted, remoteAddress }: StreamConnection): Socket {
  return { encrypted: isEncrypted, remoteAddress } as unknown as Socket;
}
