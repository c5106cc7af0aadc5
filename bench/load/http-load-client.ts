import { once } from "node:events";
import { connect } from "node:net";
import type { LoadClient } from "./load-client.ts";
import { runPhase } from "./run-phase.ts";

/** What to send, and on how many connections. */
export interface HttpLoadTarget {
  /** http://host:port; HTTP/1.1. */
  readonly url: string;
  readonly path: string;
  /** Of one GET each, sent in turn. `host` is to be among them. */
  readonly headers: readonly Readonly<Record<string, string>>[];
  /** One request is in flight on each. */
  readonly connections: number;
}

/**
 * GETs straight on sockets, from bytes made beforehand: the client shares its machine with what it measures.
 * Answers must have a content-length.
 */
export async function createHttpLoadClient(target: HttpLoadTarget): Promise<LoadClient> {
  const requests = target.headers.map((headers) => requestBytes(target.path, headers));
  if (requests.length === 0) throw new Error("there is no request to send");
  const connections = await Promise.all(
    Array.from({ length: target.connections }, () => openConnection(target.url)),
  );
  let next = 0;

  const askOn = (connection: Connection) => async () => {
    const request = requests[next++ % requests.length] as Buffer;
    return { status: await connection.ask(request), isUnexpected: false };
  };

  return {
    run: (phase) => runPhase(connections.map(askOn), phase),
    close() {
      for (const connection of connections) connection.close();
    },
  };
}

function requestBytes(path: string, headers: Readonly<Record<string, string>>): Buffer {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1");
}

interface Connection {
  /** Answers the status code. Throws when no whole answer comes. One at a time. */
  ask(request: Buffer): Promise<string>;
  close(): void;
}

/** Longer than any answer that is expected. */
const readBytes = 64 * 1024;

async function openConnection(url: string): Promise<Connection> {
  const { hostname, port } = new URL(url);
  let received = "";
  let waiting: { resolve: (status: string) => void; reject: (error: Error) => void } | undefined;
  let failure: Error | undefined;
  const fail = (why: string) => {
    failure ??= new Error(`${url} ${why}`);
    waiting?.reject(failure);
  };
  const onBytes = (length: number, bytes: Uint8Array) => {
    received += Buffer.from(bytes.buffer, bytes.byteOffset, length).toString("latin1");
    try {
      const status = statusOfWhole(received);
      if (status === undefined) return true;
      received = "";
      waiting?.resolve(status);
    } catch (error) {
      fail((error as Error).message);
      socket.destroy();
    }
    return true;
  };
  const socket = connect({
    host: hostname,
    port: Number(port),
    noDelay: true,
    onread: { buffer: Buffer.alloc(readBytes), callback: onBytes },
  });
  await once(socket, "connect");
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => fail("closed the connection"));

  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) {
          reject(failure);
          return;
        }
        waiting = { resolve, reject };
        socket.write(request);
      }),
    close: () => socket.destroy(),
  };
}

/** The status code when `received` is one whole answer; undefined while some of it is still to come. */
function statusOfWhole(received: string): string | undefined {
  const head = received.indexOf("\r\n\r\n");
  if (head < 0) return undefined;
  const length = /\r\ncontent-length: *(\d+)/i.exec(received.slice(0, head + 2))?.[1];
  if (length === undefined) throw new Error("sent an answer without a content-length");
  const end = head + 4 + Number(length);
  if (received.length < end) return undefined;
  if (received.length > end) throw new Error("sent more than the answer to one request");
  return received.slice(9, 12);
}
