import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import {
  Agent,
  type ClientRequest,
  get as httpGet,
  request as httpRequest,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type IncomingHttpHeaders,
} from "node:http2";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { addressText, type ListenAddress } from "../../src/http2/listen-address.ts";
import { createListener, type Listener, type ListenerBounds } from "../../src/http2/listener.ts";

type Request = IncomingMessage | Http2ServerRequest;
type Response = ServerResponse | Http2ServerResponse;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

let used: "tollgate" | "node";

const LOCAL: ListenAddress = { kind: "tcp", host: "127.0.0.1", port: 0 };

function tellVersion(request: Request, response: Response): void {
  response.setHeader("content-type", "text/plain");
  (response as ServerResponse).end(`${request.httpVersion} ${request.method} ${request.url}`);
}

async function start(
  options: {
    onRequest?: (request: Request, response: Response) => void;
    bounds?: Partial<ListenerBounds>;
    address?: ListenAddress;
  } = {},
): Promise<{ listener: Listener; port: number; url: string }> {
  const listener = createListener({
    engine: used,
    onRequest: options.onRequest ?? tellVersion,
    ...(options.bounds === undefined ? {} : { bounds: options.bounds }),
  });
  cleanups.push(() => listener.drain(0));
  const bound = await listener.listen(options.address ?? LOCAL);
  const port = bound.kind === "tcp" ? bound.port : 0;
  return { listener, port, url: `http://127.0.0.1:${port}` };
}

function openHttp2(...target: Parameters<typeof connectHttp2>): ClientHttp2Session {
  const session = connectHttp2(...target);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return session;
}

async function getHttp2(session: ClientHttp2Session, path = "/"): Promise<string> {
  const stream = session.request({ ":path": path });
  let body = "";
  stream.setEncoding("utf8").on("data", (chunk) => (body += chunk));
  await once(stream, "close");
  return body;
}

function openRaw(port: number): Socket & { received: () => string } {
  const socket = connect({ port, host: "127.0.0.1" });
  let received = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (received += chunk));
  socket.on("error", () => {});
  cleanups.push(() => socket.destroy());
  return Object.assign(socket, { received: () => received });
}

async function readAll(socket: ReturnType<typeof openRaw>): Promise<string> {
  if (!socket.closed) await once(socket, "close");
  return socket.received();
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

describe.each(["tollgate", "node"] as const)("with the HTTP/2 of %s", (engine) => {
  beforeEach(() => {
    used = engine;
  });

  test("one port answers HTTP/1.1 and HTTP/2 with prior knowledge", async () => {
    const { url } = await start();
    const http1 = await fetch(`${url}/a`);
    expect(await http1.text()).toBe("1.1 GET /a");
    expect(await getHttp2(openHttp2(url), "/b")).toBe("2.0 GET /b");
  });

  test("an upgrade to h2c is not taken: the request is answered as HTTP/1.1", async () => {
    const { port } = await start();
    const socket = openRaw(port);
    socket.write(
      "GET /c HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    await until(() => socket.received().includes("1.1 GET /c"));
    expect(socket.received()).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("a preface that comes byte by byte is still HTTP/2", async () => {
    const { port } = await start();
    const slow = openRaw(port);
    await once(slow, "connect");
    slow.setNoDelay(true);
    for (const byte of Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")) {
      await new Promise<void>((resolve) => slow.write(Buffer.of(byte), () => resolve()));
    }
    slow.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    // A SETTINGS frame (type 4) comes first from an HTTP/2 server.
    await until(() => slow.received().length >= 9);
    expect(slow.received().charCodeAt(3)).toBe(4);
  });

  test("what begins like the preface and then is not gets an HTTP/1.1 answer", async () => {
    const { port } = await start();
    const socket = openRaw(port);
    socket.write("PRI * HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 400 /);
  });

  test.each([
    ["zeros", Buffer.alloc(64)],
    ["a TLS hello", Buffer.from("160301020001000001fc0303", "hex")],
    ["text", Buffer.from("hello?\r\n\r\n")],
  ])("junk (%s) is cut off, and the next client is served", async (_name, junk) => {
    const { port, url } = await start();
    const socket = openRaw(port);
    socket.write(junk);
    expect(await readAll(socket)).toBe("");
    expect((await fetch(url)).status).toBe(200);
  });

  test("a client that stays silent, or stops within the preface, is cut off after the header timeout", async () => {
    const { port } = await start({ bounds: { headerTimeoutMs: 50 } });
    const silent = openRaw(port);
    const half = openRaw(port);
    half.write("PRI * HT");
    expect(await readAll(silent)).toBe("");
    expect(await readAll(half)).toBe("");
  });

  test("an HTTP/1.1 request whose headers never end is cut off with 408", async () => {
    const { port } = await start({ bounds: { headerTimeoutMs: 50 } });
    const socket = openRaw(port);
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nX-More:");
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 408 /);
  });

  test("a client that ends its side after the request still gets the answer", async () => {
    const { port } = await start();
    const socket = openRaw(port);
    socket.end("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(await readAll(socket)).toContain("1.1 GET /half");
  });

  test.each<[string, (body: AsyncIterator<unknown>) => Promise<unknown>]>([
    ["stops reading midway", async (body) => (await body.next(), await body.return?.())],
    ["answers while it waits for more", async (body) => (await body.next(), void body.next())],
  ])("an HTTP/1.1 connection serves the next request after one whose handler %s", async (_, read) => {
    const connections = new Set<Socket>();
    const { port } = await start({
      async onRequest(request, response) {
        connections.add(request.socket);
        await read(request[Symbol.asyncIterator]());
        tellVersion(request, response);
      },
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    cleanups.push(() => agent.destroy());
    const post = async (path: string, bytes: number) => {
      const request = httpRequest({ port, host: "127.0.0.1", path, method: "POST", agent });
      request.end(Buffer.alloc(bytes));
      const [response] = (await once(request, "response")) as [IncomingMessage];
      await once(response.resume(), "end");
      return response.statusCode;
    };
    // More than the sockets' buffers hold.
    expect(await post("/large", 16 * 1024 * 1024)).toBe(200);
    expect(await post("/next", 1)).toBe(200);
    expect(connections.size).toBe(1);
  });

  test("a header list above the bound is refused on both protocols", async () => {
    const { port, url } = await start({ bounds: { maxHeaderListBytes: 4096 } });
    const socket = openRaw(port);
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\nX-Big: ${"a".repeat(5000)}\r\n\r\n`);
    expect(await readAll(socket)).toMatch(/^HTTP\/1\.1 431 /);

    const session = openHttp2(url);
    await once(session, "remoteSettings");
    expect(session.remoteSettings.maxHeaderListSize).toBe(4096);
    const stream = session.request({ ":path": "/", "x-big": "a".repeat(5000) });
    const answered = once(stream, "response").then(
      ([headers]) => (headers as IncomingHttpHeaders)[":status"],
    );
    const outcome = await answered.catch((error: Error) => error.message);
    expect(String(outcome)).toMatch(engine === "node" ? "NGHTTP2_ENHANCE_YOUR_CALM" : "431");
    expect((await fetch(url)).status).toBe(200);
  });

  test("connections above the bound are closed at once, and room is made when one ends", async () => {
    const { port } = await start({ bounds: { maxConnections: 1 } });
    const first = openRaw(port);
    await once(first, "connect");
    first.write("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
    await until(() => first.received().includes("1.1 GET /1"));
    expect(await readAll(openRaw(port))).toBe("");
    first.destroy();
    await until(() => first.closed);
    let answer = "";
    while (answer === "") {
      const next = openRaw(port);
      next.write("GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      answer = await readAll(next);
    }
    expect(answer).toContain("1.1 GET /2");
  });

  test("the bound address has the real port, and a port in use is named", async () => {
    const { port } = await start();
    expect(port).toBeGreaterThan(0);
    const second = createListener({ engine, onRequest: tellVersion });
    await expect(second.listen({ kind: "tcp", host: "127.0.0.1", port })).rejects.toThrow(
      `cannot listen on 127.0.0.1:${port}: another process listens there`,
    );
  });

  test("addresses are written as people write them", () => {
    expect(addressText({ kind: "tcp", host: "::1", port: 80 })).toBe("[::1]:80");
    expect(addressText({ kind: "unix", path: "/run/t.sock" })).toBe("unix:/run/t.sock");
  });

  async function socketFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "tollgate-listener-"));
    cleanups.push(() => rm(folder, { recursive: true }));
    return folder;
  }

  test("a Unix socket serves both protocols, for owner and group only, and goes when the listener does", async () => {
    const path = join(await socketFolder(), "t.sock");
    const { listener } = await start({ address: { kind: "unix", path } });
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    expect(
      await getHttp2(openHttp2("http://localhost", { createConnection: () => connect(path) }), "/u"),
    ).toBe("2.0 GET /u");
    const [response] = (await once(httpGet({ socketPath: path, path: "/v" }), "response")) as [
      IncomingMessage,
    ];
    expect(response.statusCode).toBe(200);
    response.resume();
    await listener.drain(0);
    await expect(stat(path)).rejects.toThrow("ENOENT");
  });

  test("the Unix socket of a dead process is taken over; a live one's and a plain file are not", async () => {
    const folder = await socketFolder();
    const stale = join(folder, "stale.sock");
    // A child that is killed leaves its socket's file.
    const child = spawn(process.execPath, [
      "-e",
      `require("node:net").createServer().listen(${JSON.stringify(stale)}, () => console.log("up"))`,
    ]);
    await once(child.stdout, "data");
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    expect((await stat(stale)).isSocket()).toBe(true);
    await start({ address: { kind: "unix", path: stale } });

    const live = join(folder, "live.sock");
    const owner = createServer().listen(live);
    await once(owner, "listening");
    cleanups.push(() => owner.close());
    await expect(start({ address: { kind: "unix", path: live } })).rejects.toThrow(
      "another process listens there",
    );

    const file = join(folder, "file");
    await writeFile(file, "precious");
    await expect(start({ address: { kind: "unix", path: file } })).rejects.toThrow("is not a socket");
    expect((await stat(file)).size).toBe(8);
  });

  /** A handler whose answers wait until they are let go. */
  function held() {
    const waiting: (() => void)[] = [];
    return {
      waiting,
      onRequest(request: Request, response: Response) {
        waiting.push(() => tellVersion(request, response));
      },
    };
  }

  test("drain on HTTP/2: two GOAWAYs, the first refusing nothing; the request in flight is answered", async () => {
    const { waiting, onRequest } = held();
    const { listener, url } = await start({ onRequest });
    const session = openHttp2(url);
    const goaways: [code: number, lastStreamId: number][] = [];
    session.on("goaway", (code, lastStreamId) => goaways.push([code, lastStreamId]));
    const answer = getHttp2(session, "/slow");
    await until(() => waiting.length === 1);

    const drained = listener.drain(600_000);
    await until(() => goaways.length === 2);
    expect(goaways).toEqual([
      [0, 2 ** 31 - 1],
      [0, 1],
    ]);
    waiting[0]?.();
    expect(await answer).toBe("2.0 GET /slow");
    await drained;
  });

  test("drain on HTTP/1.1: the request in flight is answered with connection: close, idle connections end", async () => {
    const { waiting, onRequest } = held();
    const { listener, port } = await start({ onRequest });
    const agent = new Agent({ keepAlive: true });
    cleanups.push(() => agent.destroy());
    const idle = openRaw(port);
    idle.write("GET /idle HTTP/1.1\r\nHost: x\r\n\r\n");
    await until(() => waiting.length === 1);
    waiting[0]?.();
    await until(() => idle.received().includes("GET /idle"));
    const busy: ClientRequest = httpGet({ port, host: "127.0.0.1", path: "/busy", agent });
    const response = once(busy, "response") as Promise<[IncomingMessage]>;
    await until(() => waiting.length === 2);

    const drained = listener.drain(600_000);
    await readAll(idle);
    waiting[1]?.();
    const [answer] = await response;
    answer.resume();
    expect(answer.statusCode).toBe(200);
    expect(answer.headers.connection).toBe("close");
    await drained;
  });

  test("drain refuses new connections, cuts off what outlasts the grace, and joins a second call", async () => {
    const { waiting, onRequest } = held();
    const { listener, port, url } = await start({ onRequest });
    const undecided = openRaw(port);
    await once(undecided, "connect");
    const http2 = getHttp2(openHttp2(url), "/never");
    const http1 = fetch(url).catch(() => "cut off");
    await until(() => waiting.length === 2);

    const drained = listener.drain(50);
    expect(listener.drain(600_000)).toBe(drained);
    await readAll(undecided);
    await expect(fetch(url)).rejects.toThrow("fetch failed");
    await drained;
    expect(await http2).toBe("");
    expect(await http1).toBe("cut off");
  });

  test("an idle HTTP/2 connection is told to go away after the idle timeout", async () => {
    const { url } = await start({ bounds: { idleTimeoutMs: 50 } });
    const session = openHttp2(url);
    const [code] = (await once(session, "goaway")) as [number];
    expect(code).toBe(0);
    await once(session, "close");
  });
});
