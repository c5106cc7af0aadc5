import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  createListener,
  type Listener,
  type ListenerBounds,
  type RequestHandler,
} from "../../src/http2/listener.ts";
import { type Authority, type Certificate, createAuthority } from "../support/redis-certificates.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

let authority: Authority;
let own: Certificate;
let clients: Certificate;
let stranger: Certificate;

beforeAll(() => {
  authority = createAuthority();
  own = authority.sign("DNS:localhost,IP:127.0.0.1");
  clients = authority.sign("DNS:client");
  stranger = createAuthority().sign("DNS:client");
});

const pem = (path: string) => readFileSync(path, "utf8");

const tellEncrypted: RequestHandler = (request, response) => {
  response.setHeader("x-encrypted", String((request.socket as { encrypted?: boolean }).encrypted));
  response.statusCode = 200;
  (response as NodeJS.WritableStream & typeof response).end(`${request.httpVersion} ${request.url}`);
};

async function start(options: {
  engine?: "tollgate" | "node";
  asksClients?: "yes" | "no";
  onRequest?: RequestHandler;
  bounds?: Partial<ListenerBounds>;
}): Promise<{ listener: Listener; port: number; errors: Error[] }> {
  const errors: Error[] = [];
  const listener = createListener({
    engine: options.engine ?? "tollgate",
    tls: {
      cert: pem(own.cert),
      key: pem(own.key),
      clientCa: options.asksClients === "yes" ? pem(authority.cert) : undefined,
    },
    onRequest: options.onRequest ?? tellEncrypted,
    onConnectionError: (error) => errors.push(error),
    bounds: options.bounds ?? {},
  });
  cleanups.push(() => listener.drain(0));
  const bound = await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
  return { listener, port: bound.kind === "tcp" ? bound.port : 0, errors };
}

const trusting = (): ConnectionOptions => ({ ca: pem(authority.cert), servername: "localhost" });

async function overHttp2(
  port: number,
  options: ConnectionOptions = {},
): Promise<[body: string, encrypted: unknown]> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { ...trusting(), ...options });
  cleanups.push(() => session.destroy());
  const failed = once(session, "close").then(() => {
    throw new Error("closed");
  });
  session.on("error", () => {});
  const stream = session.request({ ":path": "/two" });
  stream.on("error", () => {});
  let body = "";
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    body += chunk;
  });
  const [headers] = await Promise.race([once(stream, "response"), failed]);
  await once(stream, "end");
  failed.catch(() => {});
  return [body, (headers as Record<string, unknown>)["x-encrypted"]];
}

async function overHttp1(port: number): Promise<[body: string, encrypted: unknown]> {
  const request = httpsRequest({ port, host: "127.0.0.1", path: "/one", ...trusting() });
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  let body = "";
  for await (const chunk of response.setEncoding("utf8")) body += String(chunk);
  return [body, response.headers["x-encrypted"]];
}

async function openTcp(port: number): Promise<Socket> {
  const socket = connectTcp(port, "127.0.0.1");
  socket.on("error", () => {});
  cleanups.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

describe.each(["tollgate", "node"] as const)("with the HTTP/2 of %s", (engine) => {
  test("one port answers HTTP/2 and HTTP/1.1, told apart by ALPN, and handlers know that it is encrypted", async () => {
    const { port } = await start({ engine });
    expect(await overHttp2(port)).toEqual(["2.0 /two", "true"]);
    expect(await overHttp1(port)).toEqual(["1.1 /one", "true"]);
  });

  test("where clients are asked for a certificate, one of the authority passes, none and a stranger's do not", async () => {
    const { port } = await start({ engine, asksClients: "yes" });
    const showing = ({ cert, key }: Certificate) => ({ cert: pem(cert), key: pem(key) });
    expect(await overHttp2(port, showing(clients))).toEqual(["2.0 /two", "true"]);
    // By the alert, where it comes before the end of the connection does.
    await expect(overHttp2(port)).rejects.toThrow(/certificate required|closed/);
    await expect(overHttp2(port, showing(stranger))).rejects.toThrow(/alert|closed/);
  });
});

test("on HTTP/1.1 a request that comes before a large answer is taken is served, in however many records", async () => {
  const answered = new EventEmitter();
  const { port } = await start({
    onRequest(request, response) {
      let bytes = 0;
      request.on("data", (chunk: Buffer) => (bytes += chunk.length));
      request.on("end", () => {
        // The first: more than the sockets' buffers hold.
        (response as ServerResponse).end(bytes === 0 ? Buffer.alloc(16 * 1024 * 1024) : `took ${bytes}`);
        answered.emit("answered");
      });
    },
  });
  const socket = connectTls({ port, host: "127.0.0.1", ...trusting() });
  cleanups.push(() => socket.destroy());
  await once(socket, "secureConnect");
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await once(answered, "answered");
  // A record holds 16,384 bytes at most.
  const head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 40000\r\n\r\n";
  socket.write(head + "x".repeat(40_000));
  let received = "";
  for await (const chunk of socket.setEncoding("latin1")) received += String(chunk);
  expect(received.match(/HTTP\/1\.1 [^\r]*/g)).toEqual(["HTTP/1.1 200 OK", "HTTP/1.1 200 OK"]);
  expect(received.endsWith("took 40000")).toBe(true);
});

test("a client that has no protocol of ours in its ALPN list is refused by an alert", async () => {
  const { port } = await start({});
  const socket = connectTls({ port, host: "127.0.0.1", ALPNProtocols: ["spdy/3"], ...trusting() });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException];
  expect(error.code).toMatch(/NO_APPLICATION_PROTOCOL/);
});

test("what speaks no TLS is cut off, told as an error of a connection, and the next client is served", async () => {
  const { port, errors } = await start({});
  const socket = await openTcp(port);
  socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  socket.resume();
  await once(socket, "close");
  expect(errors).toHaveLength(1);
  expect(await overHttp1(port)).toEqual(["1.1 /one", "true"]);
});

test("a handshake that does not end is cut off after the header timeout", async () => {
  const { port } = await start({ bounds: { headerTimeoutMs: 50 } });
  const socket = await openTcp(port);
  socket.resume();
  await once(socket, "close");
  expect(await overHttp1(port)).toEqual(["1.1 /one", "true"]);
});

test("handshakes beyond the bound are closed at accept, and there is room when one ends", async () => {
  const { port } = await start({ bounds: { maxHandshakes: 1 } });
  const first = await openTcp(port);
  const second = await openTcp(port);
  second.resume();
  await once(second, "close");
  first.destroy();
  await expect.poll(() => overHttp1(port).catch(() => "refused")).toEqual(["1.1 /one", "true"]);
});

test("drain ends a handshake that is under way at once, and a connection that is idle", async () => {
  const { listener, port } = await start({});
  const silent = await openTcp(port);
  silent.resume();
  const session = connectHttp2(`https://127.0.0.1:${port}`, trusting());
  cleanups.push(() => session.destroy());
  session.on("error", () => {});
  await once(session, "remoteSettings");
  const gone = once(silent, "close");
  const drained = listener.drain(60_000);
  await Promise.all([gone, once(session, "close"), drained]);
  expect(listener.http2?.connections()).toBe(0);
});
