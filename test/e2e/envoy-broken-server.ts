import { createServer as createHttp2Server } from "node:http2";
import { createServer, type Socket } from "node:net";

/** Something that stands where Tollgate should, and is not it. */
export interface BrokenServer {
  readonly port: number;
  /** What it does to every connection from now on; those that are open end. */
  become(behaviour: Behaviour): void;
  stop(): void;
}

export type Behaviour = (socket: Socket) => void;

export async function startBrokenServer(): Promise<BrokenServer> {
  const open = new Set<Socket>();
  let behave: Behaviour = hangsUp;
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    // Envoy hangs up on nonsense.
    socket.on("error", () => {});
    behave(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    become(behaviour) {
      behave = behaviour;
      for (const socket of open) socket.destroy();
    },
    stop() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

const hangsUp: Behaviour = (socket) => socket.destroy();

/** Answers each gRPC call over HTTP/2. Undefined fields are not sent. */
function answering(answer: {
  headers: Readonly<Record<string, string | number>>;
  body?: Buffer;
  trailers?: Readonly<Record<string, string>>;
}): Behaviour {
  const server = createHttp2Server();
  server.on("sessionError", () => {});
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond(answer.headers, { waitForTrailers: answer.trailers !== undefined });
    stream.once("wantTrailers", () => stream.sendTrailers(answer.trailers ?? {}));
    stream.end(answer.body);
  });
  return (socket) => server.emit("connection", socket);
}

const grpc = { ":status": 200, "content-type": "application/grpc" };
const done = { "grpc-status": "0" };

/** By what it is like. */
export const brokenBehaviours: Readonly<Record<string, Behaviour>> = {
  "hangs up": hangsUp,
  "never answers": () => {},
  "speaks HTTP/1.1": (socket) => socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nOK"),
  "sends noise": (socket) => socket.end(Buffer.alloc(4096, 0xa5)),
  "starts HTTP/2 and sends noise": (socket) =>
    socket.end(Buffer.concat([Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]), Buffer.alloc(64, 0xff)])),
  "is a website": answering({
    headers: { ":status": 200, "content-type": "text/html" },
    body: Buffer.from("<p>hello"),
  }),
  "answers 404": answering({ headers: { ":status": 404 } }),
  "knows no such service": answering({ headers: { ...grpc, "grpc-status": "12" } }),
  "answers without a message": answering({ headers: grpc, trailers: done }),
  "answers with a message that is none": answering({
    headers: grpc,
    body: Buffer.from([0, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]),
    trailers: done,
  }),
  "answers with half a message": answering({
    headers: grpc,
    body: Buffer.from([0, 0, 0, 1, 0, 10]),
    trailers: done,
  }),
  "answers that it is unavailable": answering({ headers: { ...grpc, "grpc-status": "14" } }),
};
