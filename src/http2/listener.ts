import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer as createHttp1Server } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from "node:http2";
import { createServer as createHttp2Server } from "node:http2";
import type { Socket } from "node:net";
import { createServer as createNetServer } from "node:net";
import type { Duplex } from "node:stream";
import { createHttp2Engine, type EngineBounds, type Http2Engine } from "./engine.ts";
import type { ListenAddress } from "./listen-address.ts";
import { listenOn } from "./listen-address.ts";
import { toNodeExchange } from "./node-stream.ts";
import { sniffProtocol } from "./sniff-protocol.ts";
import type { ServerStream } from "./stream.ts";
import { createTlsAcceptor, type TlsIdentity } from "./tls-acceptor.ts";

/** A request of either protocol, in Node's own shape. */
export type RequestHandler = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

export interface ListenerOptions {
  readonly onRequest: RequestHandler;
  /** Undefined: in the clear. */
  readonly tls?: TlsIdentity | undefined;
  /** Who speaks HTTP/2: our own engine (the default), or Node's. */
  readonly engine?: "tollgate" | "node";
  /** Of our engine: true where it serves the stream itself; otherwise `onRequest` is asked. */
  readonly onStream?: (stream: ServerStream) => boolean;
  /** Of our engine: a stream was reset, and by whom. */
  readonly onReset?: (code: number, by: "client" | "server") => void;
  /** Told of what goes wrong on a connection; for the log. A client that goes away is not told. */
  readonly onConnectionError?: (error: Error) => void;
  readonly bounds?: Partial<ListenerBounds>;
}

/** What one client, and all of them together, may hold. Of HTTP/2's, Node's engine has those that it knows. */
export interface ListenerBounds extends EngineBounds {
  /** Connections at once; further ones are closed at accept. */
  readonly maxConnections: number;
  /** From accept to the first bytes that tell the protocol, and on HTTP/1.1 to the end of the headers. */
  readonly headerTimeoutMs: number;
  /** TLS handshakes at once; further connections are closed at accept. */
  readonly maxHandshakes: number;
  /** On HTTP/1.1 from the first byte of a request to the last. */
  readonly requestTimeoutMs: number;
}

/** What production runs with, unless it is told otherwise. */
export const DEFAULT_BOUNDS: ListenerBounds = {
  maxConnections: 10_000,
  maxHandshakes: 500,
  maxConcurrentStreams: 1000,
  maxHeaderListBytes: 16_384,
  streamWindowBytes: 65_535,
  connectionWindowBytes: 1024 * 1024,
  maxQueuedBytes: 8 * 1024 * 1024,
  maxQueuedBytesInAll: 256 * 1024 * 1024,
  resets: { burst: 1000, perSecond: 100 },
  controlFrames: { burst: 10_000, perSecond: 1000 },
  headerTimeoutMs: 10_000,
  bodyTimeoutMs: 30_000,
  requestTimeoutMs: 30_000,
  idleTimeoutMs: 600_000,
  maxAgeMs: Number.POSITIVE_INFINITY,
};

export interface Listener {
  /** Of our engine; undefined with Node's. */
  readonly http2: Pick<Http2Engine, "connections" | "streams" | "queuedBytes"> | undefined;
  /**
   * Begins to accept, and answers where: with the real port where `address` has port 0. Throws an Error
   * that names the address and what is wrong with it.
   */
  listen(address: ListenAddress): Promise<ListenAddress>;
  /** Serves a connection that was accepted elsewhere, of which nothing is read yet. */
  accept(socket: Socket): void;
  /**
   * Stops accepting, tells clients to go elsewhere (GOAWAY twice on HTTP/2, `connection: close` on
   * HTTP/1.1), lets requests in flight end, and cuts off what is left after `graceMs`. Settles when no
   * connection is open. A second call joins the first.
   */
  drain(graceMs: number): Promise<void>;
}

/**
 * One port for HTTP/2 with prior knowledge and HTTP/1.1, told apart by the first bytes. The upgrade from
 * HTTP/1.1 (`Upgrade: h2c`) is not offered: such a request is answered as HTTP/1.1, as RFC 9110 7.8 allows.
 */
export function createListener(options: ListenerOptions): Listener {
  const bounds = { ...DEFAULT_BOUNDS, ...options.bounds };
  const onConnectionError = options.onConnectionError ?? (() => {});
  const sockets = new Set<Socket>();
  const undecided = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const unfinished = new Set<ServerResponse>();
  let draining: Promise<void> | undefined;

  const http2 = createHttp2Server(
    {
      settings: {
        maxConcurrentStreams: bounds.maxConcurrentStreams,
        maxHeaderListSize: bounds.maxHeaderListBytes,
        enablePush: false,
      },
      // Megabytes for one connection: header tables, and bodies that no one has read yet.
      maxSessionMemory: 32,
      maxOutstandingPings: 10,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
      maxSettings: 32,
    },
    options.onRequest,
  );
  http2.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.setTimeout(bounds.idleTimeoutMs, () => session.close());
    if (draining !== undefined) retire(session);
  });
  http2.on("sessionError", (error) => tellUnlessGone(error, onConnectionError));

  const engine =
    options.engine === "node"
      ? undefined
      : createHttp2Engine({
          bounds,
          onStream(stream) {
            if (options.onStream?.(stream) === true) return;
            const { request, response } = toNodeExchange(stream);
            options.onRequest(request, response);
          },
          onFault: onConnectionError,
          onReset: options.onReset ?? (() => {}),
        });

  const http1 = createHttp1Server(
    {
      maxHeaderSize: bounds.maxHeaderListBytes,
      headersTimeout: bounds.headerTimeoutMs,
      requestTimeout: bounds.requestTimeoutMs,
      keepAliveTimeout: bounds.idleTimeoutMs,
      connectionsCheckingInterval: Math.min(1000, bounds.headerTimeoutMs),
      noDelay: true,
    },
    (request, response) => {
      unfinished.add(response);
      response.once("close", () => unfinished.delete(response));
      discardRest(request, response);
      if (draining !== undefined) closeAfter(response);
      options.onRequest(request, response);
    },
  );
  http1.on("clientError", refuseUnreadable);
  // Node would drop what is beyond 2000 without a word, such as the second of two credentials.
  http1.maxHeadersCount = 0;
  // Node starts its header and request timeouts when the server listens; this one is handed its sockets.
  http1.emit("listening");

  const tls =
    options.tls === undefined
      ? undefined
      : createTlsAcceptor({
          identity: options.tls,
          maxHandshakes: bounds.maxHandshakes,
          timeoutMs: bounds.headerTimeoutMs,
          onSecure: sniff,
          onFailed: (error) => tellUnlessGone(error, onConnectionError),
        });

  function serve(socket: Socket): void {
    sockets.add(socket);
    undecided.add(socket);
    socket.once("close", () => {
      sockets.delete(socket);
      undecided.delete(socket);
    });
    if (tls === undefined) sniff(socket, socket);
    else tls.accept(socket);
  }

  /** `accepted` is what carries it. */
  function sniff(socket: Socket, accepted: Socket): void {
    sniffProtocol(socket, bounds.headerTimeoutMs, (protocol) => {
      undecided.delete(accepted);
      if (protocol === "http/1.1") {
        http1.emit("connection", socket);
        // Node's parser takes the bytes straight from the socket, unless somebody else listens. Of TLS it then gets those that
        // were decrypted together, though it has paused in between, and refuses a request that is right (HPE_PAUSED).
        if (socket !== accepted) socket.on("data", () => {});
        return;
      }
      socket.allowHalfOpen = false;
      if (engine === undefined) http2.emit("connection", socket);
      else engine.accept(socket);
    });
  }

  // Half-open is HTTP/1.1's need: a client may end its side after the request and still read the answer.
  const server = createNetServer(
    { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 },
    serve,
  );
  server.maxConnections = bounds.maxConnections;

  async function drainOnce(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      if (server.listening) server.close(() => resolve());
      else resolve();
    });
    // Also ends the idle connections, and Node's timeouts. Of HTTP/2's server it would, from Node 24 on,
    // close the sessions without the first GOAWAY.
    http1.close();
    for (const socket of undecided) socket.destroy();
    for (const session of sessions) retire(session);
    engine?.retire();
    for (const response of unfinished) closeAfter(response);
    const cutOff = setTimeout(() => {
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    }, graceMs);
    await closed;
    // What was accepted elsewhere the server does not wait for.
    for (const socket of sockets) await new Promise((resolve) => socket.once("close", resolve));
    clearTimeout(cutOff);
  }

  return {
    http2: engine,
    async listen(address) {
      const bound = await listenOn(server, address);
      // A failed accept (no file descriptor is left) comes here; unheard, it would end the process.
      server.on("error", onConnectionError);
      return bound;
    },
    accept(socket) {
      if (sockets.size >= bounds.maxConnections) {
        socket.destroy();
        return;
      }
      socket.allowHalfOpen = true;
      serve(socket);
    },
    drain(graceMs) {
      draining ??= drainOnce(graceMs);
      return draining;
    },
  };
}

const HIGHEST_STREAM_ID = 2 ** 31 - 1;
/** A client that has not acknowledged a ping by then is taken to have read the first GOAWAY. */
const MAX_ROUND_TRIP_MS = 1000;

/**
 * Ends a session as RFC 9113 6.8 asks: a first GOAWAY that refuses no stream yet, one round trip later
 * the final one, so that no request that was under way is lost. The round trip is bounded: Node's own
 * client never acknowledges a ping that it reads together with the GOAWAY and its last answer.
 */
function retire(session: ServerHttp2Session): void {
  if (session.closed || session.destroyed) return;
  session.goaway(0, HIGHEST_STREAM_ID);
  const close = () => {
    clearTimeout(timer);
    if (!session.destroyed) session.close();
  };
  const timer = setTimeout(close, MAX_ROUND_TRIP_MS);
  if (!session.ping(close)) close();
}

/** As Node does by itself; but what begins like no request of HTTP/1.1 is not answered in its words. */
function refuseUnreadable(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === "ECONNRESET" || error.code === "HPE_INVALID_METHOD") {
    socket.destroy();
    return;
  }
  const status = REFUSALS.get(error.code ?? "") ?? "400 Bad Request";
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
}

const REFUSALS = new Map([
  ["HPE_HEADER_OVERFLOW", "431 Request Header Fields Too Large"],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", "413 Payload Too Large"],
  ["ERR_HTTP_REQUEST_TIMEOUT", "408 Request Timeout"],
]);

/**
 * Once a request is answered, what is left of its body is read and dropped, and the connection serves the next. Node
 * does that only where nobody has begun to read; whoever leaves a loop over a body midway destroys it, and Node reads
 * the connection no further.
 */
function discardRest(request: IncomingMessage, response: ServerResponse): void {
  request[Symbol.asyncIterator] = () => request.iterator({ destroyOnReturn: false });
  response.once("finish", () => {
    request.removeAllListeners("readable");
    request.removeAllListeners("data");
    request.resume();
  });
}

/** Makes this answer the connection's last. */
function closeAfter(response: ServerResponse): void {
  const { socket } = response;
  if (!response.headersSent) response.shouldKeepAlive = false;
  else response.once("finish", () => socket?.end());
}

/** A reset by the client is how connections end, not an error of ours. */
function tellUnlessGone(error: Error, tell: (error: Error) => void): void {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== "ECONNRESET" && code !== "EPIPE") tell(error);
}
