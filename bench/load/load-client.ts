import { once } from "node:events";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { closedLoop, type LoadClient } from "./closed-loop.ts";

/** What to send, and how much of it at a time. */
export interface LoadTarget {
  /** http://host:port; HTTP/2 with prior knowledge. */
  readonly url: string;
  /** The method's, such as `/tollgate.v1.AuthorizationService/Check`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Request messages, sent in turn. */
  readonly messages: readonly Uint8Array[];
  /** What a reply message must begin with to count as expected. */
  readonly expectedPrefix: Uint8Array;
  readonly connections: number;
  /** Calls in flight on each connection. */
  readonly inFlight: number;
}

const windowBytes = 16 * 1024 * 1024;

/**
 * Unary gRPC calls straight on node:http2. Closed loop: each answer makes room for the next call. Unlike
 * HTTP load tools it reads grpc-status, which stands in the trailers: HTTP says 200 to a failed call.
 */
export async function createLoadClient(target: LoadTarget): Promise<LoadClient> {
  const frames = target.messages.map(grpcFrame);
  if (frames.length === 0) throw new Error("there is no message to send");
  const sessions = await Promise.all(
    Array.from({ length: target.connections }, () => openSession(target.url)),
  );
  const requestHeaders = {
    ...target.headers,
    [constants.HTTP2_HEADER_METHOD]: "POST",
    [constants.HTTP2_HEADER_PATH]: target.path,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc+proto",
    [constants.HTTP2_HEADER_TE]: "trailers",
  };
  let nextFrame = 0;

  const callOn = (session: ClientHttp2Session) => async () => {
    const frame = frames[nextFrame++ % frames.length] as Uint8Array;
    const { status, message } = await call(session, requestHeaders, frame);
    if (session.closed || session.destroyed)
      throw new Error(`${target.url} closed the connection; the last status was ${status}`);
    return { status, isUnexpected: status === "0" && !startsWith(message, target.expectedPrefix) };
  };

  return {
    run: (bounds) =>
      closedLoop(
        sessions.flatMap((session) => Array.from({ length: target.inFlight }, () => callOn(session))),
        bounds,
      ),
    close() {
      for (const session of sessions) session.destroy();
    },
  };
}

async function openSession(url: string): Promise<ClientHttp2Session> {
  const session = connect(url, { settings: { initialWindowSize: windowBytes, enablePush: false } });
  await once(session, "connect");
  session.setLocalWindowSize(windowBytes);
  // The calls that it breaks off say so themselves.
  session.on("error", () => {});
  return session;
}

function call(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string>>,
  frame: Uint8Array,
): Promise<{ status: string; message: Uint8Array }> {
  return new Promise((resolve) => {
    const stream = session.request(headers);
    let status = "";
    let body: Buffer = Buffer.alloc(0);
    stream.on("response", (responseHeaders) => {
      const http = responseHeaders[":status"];
      if (http !== 200) status = `http ${http}`;
      // An error without a message carries its status here, in headers that are trailers too.
      else if (responseHeaders["grpc-status"] !== undefined) status = String(responseHeaders["grpc-status"]);
    });
    stream.on("data", (chunk: Buffer) => {
      body = body.length === 0 ? chunk : Buffer.concat([body, chunk]);
    });
    stream.on("trailers", (trailers) => {
      if (status === "" && trailers["grpc-status"] !== undefined) status = String(trailers["grpc-status"]);
    });
    let failure = "ended without a status";
    stream.on("error", (error: NodeJS.ErrnoException) => {
      failure = error.code ?? error.message;
    });
    stream.on("close", () => resolve({ status: status || `stream ${failure}`, message: body.subarray(5) }));
    stream.end(frame);
  });
}

/** Length-prefixed message of gRPC over HTTP/2: not compressed, four bytes of length. */
function grpcFrame(message: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && prefix.every((byte, index) => bytes[index] === byte);
}
