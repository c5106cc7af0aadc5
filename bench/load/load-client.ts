import { once } from "node:events";
import { type ClientHttp2Session, connect, constants } from "node:http2";
import { percentile } from "./percentile.ts";

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

/** A phase ends when it has lasted `minMs` and made `minCalls`, and in any case after `maxCalls` or `maxMs`. */
export interface LoadBounds {
  readonly minMs: number;
  readonly minCalls: number;
  readonly maxMs: number;
  readonly maxCalls: number;
}

export interface LoadResult {
  /** All calls, whatever came back. */
  readonly calls: number;
  /** From the first call to the last answer. */
  readonly elapsedMs: number;
  /** grpc-status by name, `http 503` for an answer that is not gRPC, `stream …` for one that never came. */
  readonly statuses: Readonly<Record<string, number>>;
  /** Answers of status 0 that do not begin with the expected bytes. */
  readonly unexpected: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoadClient {
  /** Keeps the calls in flight until the bounds are met, then waits for the last answer. */
  run(bounds: LoadBounds): Promise<LoadResult>;
  close(): void;
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

  return {
    async run(bounds) {
      const latencies: number[] = [];
      const statuses: Record<string, number> = {};
      let started = 0;
      let unexpected = 0;
      const startedAt = performance.now();

      const isOver = () => {
        const elapsed = performance.now() - startedAt;
        if (started >= bounds.maxCalls || elapsed >= bounds.maxMs) return true;
        return started >= bounds.minCalls && elapsed >= bounds.minMs;
      };
      const keepCalling = async (session: ClientHttp2Session) => {
        while (!isOver()) {
          started++;
          const frame = frames[nextFrame++ % frames.length] as Uint8Array;
          const sentAt = performance.now();
          const { status, message } = await call(session, requestHeaders, frame);
          latencies.push(performance.now() - sentAt);
          statuses[status] = (statuses[status] ?? 0) + 1;
          if (status === "0" && !startsWith(message, target.expectedPrefix)) unexpected++;
          if (session.closed || session.destroyed)
            throw new Error(
              `${target.url} closed the connection; statuses so far: ${JSON.stringify(statuses)}`,
            );
        }
      };
      await Promise.all(
        sessions.flatMap((session) => Array.from({ length: target.inFlight }, () => keepCalling(session))),
      );

      const sorted = Float64Array.from(latencies).sort();
      return {
        calls: latencies.length,
        elapsedMs: performance.now() - startedAt,
        statuses,
        unexpected,
        p50Ms: percentile(sorted, 0.5),
        p99Ms: percentile(sorted, 0.99),
        maxMs: percentile(sorted, 1),
      };
    },
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
