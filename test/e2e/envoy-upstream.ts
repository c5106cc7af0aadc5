import { createHash } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";

/** A request as the API behind Envoy got it. */
export interface Arrived {
  readonly method: string;
  readonly url: string;
  /** Names as they came; one that came twice stands twice. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly bodyBytes: number;
}

/** An API that answers every request with what arrived of it, as examples/upstream does, and keeps it. */
export interface Upstream {
  readonly port: number;
  /** All that has arrived, in order. */
  readonly arrived: readonly Arrived[];
  stop(): void;
}

export async function startUpstream(): Promise<Upstream> {
  const arrived: Arrived[] = [];
  const server = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
    let bodyBytes = 0;
    request.on("data", (chunk: Buffer) => {
      bodyBytes += chunk.length;
    });
    request.once("end", () => {
      const told = asArrived(request, bodyBytes);
      arrived.push(told);
      const body = JSON.stringify(told);
      const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      response.writeHead(200, headers).end(body);
    });
  });
  // Says hello over the WebSocket: one text frame, and the close.
  server.on("upgrade", (request, socket) => {
    const told = asArrived(request, 0);
    arrived.push(told);
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    const upgraded = [
      "HTTP/1.1 101 Switching Protocols",
      "connection: upgrade",
      "upgrade: websocket",
      `sec-websocket-accept: ${accept}`,
    ];
    const text = Buffer.from("hello");
    socket.write(`${upgraded.join("\r\n")}\r\n\r\n`);
    socket.end(Buffer.concat([Buffer.from([0x81, text.length]), text, Buffer.from([0x88, 0])]));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    arrived,
    stop() {
      server.closeAllConnections();
      server.close();
    },
  };
}

function asArrived({ method = "", url = "", rawHeaders }: IncomingMessage, bodyBytes: number): Arrived {
  const headers = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] as string] as const] : [],
  );
  return { method, url, headers, bodyBytes };
}
