import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createHttpLoadClient } from "../../bench/load/http-load-client.ts";
import type { LoadClient } from "../../bench/load/load-client.ts";
import { until } from "../support/until.ts";

let server: Server | NetServer | undefined;
let client: LoadClient | undefined;

afterEach(async () => {
  client?.close();
  if (server === undefined) return;
  server.close();
  await once(server, "close");
});

test("answers are counted by their status code, and what is in them does not matter", async () => {
  const codes = [200, 429, 503, 200];
  let requests = 0;
  const url = await listen((response) => {
    response.writeHead(codes[requests++ % codes.length] as number, { "content-length": 4 }).end("\r\n\r\n");
  });
  const result = await runRequests(url, { requests: 40 });
  expect(result).toMatchObject({ calls: 40, statuses: { "200": 20, "429": 10, "503": 10 } });
});

test("an answer that comes byte by byte is one answer", async () => {
  const bytes = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
  let answered = 0;
  const url = await listenRaw((socket) => {
    answered++;
    void dribble(socket, bytes);
  });
  const result = await runRequests(url, { requests: 6 });
  expect(result).toMatchObject({ calls: 6, statuses: { "200": 6 } });
  expect(answered).toBe(6);
});

test("a run makes exactly as many requests as it may, and keeps one in flight on each connection", async () => {
  const connections = 3;
  let requests = 0;
  let most = 0;
  const waiting: ServerResponse[] = [];
  const answerAll = () => {
    most = Math.max(most, waiting.length);
    for (const response of waiting.splice(0)) response.writeHead(200, { "content-length": 0 }).end();
  };
  const url = await listen((response) => {
    requests++;
    // Nobody is answered before all wait; a turn later, so that one too many would wait with them.
    if (waiting.push(response) === connections) setImmediate(answerAll);
  });
  const result = await runRequests(url, { requests: 34 * connections, connections });
  expect({ requests, counted: result.calls }).toEqual({ requests: 102, counted: 102 });
  expect(most).toBe(connections);
});

test("a run ends at its longest time, however few requests it has made", async () => {
  const url = await listen((response) => response.writeHead(200, { "content-length": 0 }).end());
  client = await openClient(url);
  const result = await client.run({ minMs: 0, minCalls: 1_000_000, maxMs: 50, maxCalls: 1_000_000 });
  expect(result.calls).toBeLessThan(1_000_000);
});

test("requests are sent in turn, each with its own headers, over runs", async () => {
  const received: unknown[] = [];
  const url = await listen((response) => {
    const { method, url: path, headers } = response.req;
    received.push([method, path, headers.host, headers.authorization]);
    response.writeHead(200, { "content-length": 0 }).end();
  });
  client = await createHttpLoadClient({
    url,
    path: "/items",
    connections: 1,
    headers: ["a", "b"].map((key) => ({ host: "api.example.com", authorization: `Bearer ${key}` })),
  });
  await client.run(exactly(1));
  await client.run(exactly(2));
  expect(received).toEqual([
    ["GET", "/items", "api.example.com", "Bearer a"],
    ["GET", "/items", "api.example.com", "Bearer b"],
    ["GET", "/items", "api.example.com", "Bearer a"],
  ]);
});

test("a server that goes away ends the run with an error, not with fewer requests", async () => {
  const url = await listenRaw((socket) => socket.destroy());
  client = await openClient(url);
  await expect(client.run(exactly(100))).rejects.toThrow(/closed the connection|ECONNRESET/);
});

test("a connection that was closed between two runs fails the second", async () => {
  const url = await listen((response) => {
    response.writeHead(200, { "content-length": 0 }).end();
  });
  client = await openClient(url);
  await client.run(exactly(2));
  (server as Server).closeAllConnections();
  const failed = client.run(exactly(2));
  await expect(failed).rejects.toThrow(/closed the connection|ECONNRESET|EPIPE/);
});

test.each([
  ["no length", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", /without a content-length/],
  ["a length in the body", "HTTP/1.1 200 OK\r\n\r\n\r\ncontent-length: 0", /without a content-length/],
  ["more than it says", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab", /more than the answer/],
])(
  "an answer with %s ends the run with an error, since its end cannot be told",
  async (_, bytes, message) => {
    const url = await listenRaw((socket) => socket.write(bytes));
    client = await openClient(url);
    await expect(client.run(exactly(1))).rejects.toThrow(message);
  },
);

async function listen(onRequest: (response: ServerResponse) => void): Promise<string> {
  const created = createServer((request, response) => {
    request.resume();
    onRequest(response);
  });
  return urlOf(created);
}

/** Told of each request: its headers fit in one read. */
async function listenRaw(onRequest: (socket: Socket) => void): Promise<string> {
  const created = createNetServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => onRequest(socket));
  });
  return urlOf(created);
}

async function urlOf(created: Server | NetServer): Promise<string> {
  server = created;
  created.listen(0, "127.0.0.1");
  await once(created, "listening");
  return `http://127.0.0.1:${(created.address() as AddressInfo).port}`;
}

async function dribble(socket: Socket, bytes: string): Promise<void> {
  socket.setNoDelay(true);
  for (const byte of bytes) {
    let isSent = false;
    socket.write(byte, () => {
      isSent = true;
    });
    await until(() => isSent);
  }
}

function openClient(url: string, connections = 2): Promise<LoadClient> {
  const headers = [{ host: "api.example.com" }];
  return createHttpLoadClient({ url, path: "/items", headers, connections });
}

async function runRequests(url: string, options: { requests: number; connections?: number }) {
  client = await openClient(url, options.connections);
  return client.run(exactly(options.requests));
}

function exactly(requests: number) {
  return { minMs: 0, minCalls: requests, maxMs: 20_000, maxCalls: requests };
}
