import type { IncomingMessage, ServerResponse } from "node:http";
import {
  constants,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Stream,
} from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { TollgateError } from "../core/errors.ts";
import { overloaded } from "./overload.ts";

export interface BodyBounds {
  /** On HTTP/2 from the headers to the last byte, in milliseconds. HTTP/1.1 has the listener's own. */
  readonly timeoutMs: number;
  /** Bytes of bodies that have begun to arrive and are not whole yet, over all connections. */
  readonly maxUnfinishedBytes: number;
}

const DEFAULT_BOUNDS: BodyBounds = { timeoutMs: 30_000, maxUnfinishedBytes: 256 * 1024 * 1024 };

/** One request and its answer, in Node's own shape. */
export interface Exchange {
  readonly request: IncomingMessage | Http2ServerRequest;
  readonly response: ServerResponse | Http2ServerResponse;
}

export interface RequestBody {
  /** Told when the time is over and the body is not whole; the stream is let go once it is answered. */
  onLate: (error: TollgateError) => void;
  /** Counts what has arrived. Throws RESOURCE_EXHAUSTED, OVERLOADED. */
  add(bytes: number): void;
  /** It is whole, or nobody waits for the rest. */
  end(): void;
}

export interface RequestBodies {
  begin(exchange: Exchange): RequestBody;
  /** The same for a stream whose engine bounds its time: who reads it says when that is over. */
  beginTimed(): RequestBody;
  unfinishedBytes(): number;
}

/** Bounds what bodies may hold before they are whole, in time and in bytes. */
export function createRequestBodies(given: Partial<BodyBounds> = {}): RequestBodies {
  const bounds = { ...DEFAULT_BOUNDS, ...given };
  let unfinished = 0;

  function beginTimed(): RequestBody {
    let held = 0;
    return {
      onLate: () => {},
      add(bytes) {
        if (unfinished + bytes > bounds.maxUnfinishedBytes) throw overloaded();
        unfinished += bytes;
        held += bytes;
      },
      end() {
        unfinished -= held;
        held = 0;
      },
    };
  }

  return {
    beginTimed,
    begin(exchange) {
      const body = beginTimed();
      const { request, response } = exchange;
      if ("stream" in request) limitTime(request.stream, bounds.timeoutMs, body);
      else response.once("close", body.end);
      return body;
    },
    unfinishedBytes: () => unfinished,
  };
}

function limitTime(stream: ServerHttp2Stream, timeoutMs: number, body: RequestBody): void {
  let timer = setTimeout(() => {
    if (!stream.writableEnded) body.onLate(late());
    letGoOnceAnswered(stream);
    // Of an answer that its client does not take.
    timer = setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), timeoutMs);
  }, timeoutMs);
  stream.once("end", () => clearTimeout(timer));
  stream.once("close", () => {
    clearTimeout(timer);
    body.end();
  });
}

/**
 * RFC 9113 8.1: after a whole answer the rest of a request may be refused without an error. Node asks for
 * the trailers of each answer last, also where there are none.
 */
function letGoOnceAnswered(stream: ServerHttp2Stream): void {
  const close = () => stream.close(constants.NGHTTP2_NO_ERROR);
  if (stream.sentTrailers === undefined) stream.once("wantTrailers", () => setImmediate(close));
  else close();
}

/**
 * The body's chunks within its bounds. Throws TollgateErrors where it exceeds them, and CANCELED where its
 * client took it back: Node ends such a body as if it were whole.
 */
export async function* bounded(
  chunks: AsyncIterable<Uint8Array>,
  { exchange, body }: { exchange: Exchange; body: RequestBody },
): AsyncGenerator<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]();
  const tooLate = new Promise<never>((_, reject) => {
    body.onLate = reject;
  });
  tooLate.catch(() => {});
  let isWaiting = false;
  try {
    for (;;) {
      isWaiting = true;
      const next = await Promise.race([iterator.next(), tooLate]);
      isWaiting = false;
      if (next.done === true) break;
      body.add(next.value.length);
      yield* inSlices(next.value);
    }
  } finally {
    body.end();
    // While it waits for bytes it could not return before they come.
    if (!isWaiting) await iterator.return?.();
  }
  const { request } = exchange;
  if ("stream" in request && request.stream.aborted) {
    throw new ConnectError("The client took the request back.", Code.Canceled);
  }
}

const SLICE_BYTES = 16_384;

/**
 * Of each piece that it is given Connect makes all messages at once, five bytes being enough for one,
 * before it finds that there may be one only.
 */
export function* inSlices(bytes: Uint8Array): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += SLICE_BYTES) {
    yield bytes.subarray(start, start + SLICE_BYTES);
  }
}

/**
 * Once the answer is written, takes what the client still sends, and drops it: a client whose window is
 * full may not look for an answer before it has sent all. On HTTP/1.1 Node does so itself.
 */
export function discardRest(stream: ServerHttp2Stream): void {
  stream.once("finish", () => {
    stream.removeAllListeners("data");
    stream.resume();
  });
}

export function late(): TollgateError {
  return new TollgateError("deadline_exceeded", "The request's body did not arrive in time.", {
    reason: "BODY_LATE",
  });
}
