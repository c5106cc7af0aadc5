import type { Socket } from "node:net";
import { createServer, type TLSSocket } from "node:tls";

/** PEM texts. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  /** Of authorities: who connects must show a certificate that one of them signed. Undefined: nobody is asked for one. */
  readonly clientCa?: string | undefined;
}

export interface TlsAcceptor {
  /** Begins a handshake on a connection of which nothing is read yet. */
  accept(socket: Socket): void;
  /** Under way now. */
  handshakes(): number;
}

/**
 * TLS 1.2 and 1.3 with ALPN for h2 and http/1.1; a client that offers neither is refused, and one that offers nothing is
 * told apart by what it says. What does not finish in time, or comes while too many are under way, is closed.
 */
export function createTlsAcceptor(options: {
  readonly identity: TlsIdentity;
  /** Handshakes at once: they cost a thousand times what a request does. */
  readonly maxHandshakes: number;
  readonly timeoutMs: number;
  /** `raw` is the connection that was accepted. */
  readonly onSecure: (secure: TLSSocket, raw: Socket) => void;
  readonly onFailed: (error: Error) => void;
}): TlsAcceptor {
  const { maxHandshakes, timeoutMs, onSecure, onFailed } = options;
  const underWay = new Set<Socket>();
  const { cert, key, clientCa } = options.identity;
  const server = createServer({
    cert,
    key,
    ...(clientCa === undefined ? {} : { ca: clientCa }),
    ALPNProtocols: ["h2", "http/1.1"],
    minVersion: "TLSv1.2",
    handshakeTimeout: timeoutMs,
    requestCert: clientCa !== undefined,
    rejectUnauthorized: true,
  });
  server.on("tlsClientError", (error, secure) => {
    rawOf(secure).destroy();
    onFailed(error);
  });
  server.on("secureConnection", (secure) => {
    const raw = rawOf(secure);
    underWay.delete(raw);
    onSecure(secure, raw);
  });

  return {
    accept(socket) {
      if (underWay.size >= maxHandshakes) {
        socket.destroy();
        return;
      }
      underWay.add(socket);
      socket.once("close", () => underWay.delete(socket));
      // Under TLS the end of one side is the end of both.
      socket.allowHalfOpen = false;
      server.emit("connection", socket);
    },
    handshakes: () => underWay.size,
  };
}

/** Node keeps it under this name, and gives it under no other. */
function rawOf(secure: TLSSocket): Socket {
  return (secure as unknown as Readonly<Record<string, Socket | undefined>>)["_parent"] ?? secure;
}
