import { once } from "node:events";
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
  type ServerOptions,
} from "node:http2";
import { type AddressInfo, createServer as createRawServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { createGrpcLoadClient } from "../../bench/load/grpc-load-client.ts";
import type { LoadClient } from "../../bench/load/load-client.ts";

const okFrame = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01]);
const otherFrame = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x02]);

let server: Http2Server | undefined;
let client: LoadClient | undefined;

afterEach(async () => {
  client?.close();
  if (server === undefined) return;
  server.close();
  await once(server, "close");
});

test("a failed call is told from a success by grpc-status, wherever it stands, though HTTP says 200", async () => {
  const answers: ((stream: ServerHttp2Stream) => void)[] = [
    (stream) => answerUnary(stream, okFrame, "0"),
    (stream) => answerUnary(stream, Buffer.alloc(0), "8"),
    (stream) =>
      stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "16" },
        { endStream: true },
      ),
    (stream) => stream.respond({ ":status": 503 }, { endStream: true }),
    (stream) => stream.close(7),
  ];
  let calls = 0;
  const url = await listen((stream) => answers[calls++ % answers.length]?.(stream));
  const result = await runCalls(url, { calls: 50 });
  expect(result.statuses).toEqual({
    "0": 10,
    "8": 10,
    "16": 10,
    "http 503": 10,
    "stream reset 7": 10,
  });
  expect(result.calls).toBe(50);
});

test("an answer of status 0 with another message than expected is counted", async () => {
  let calls = 0;
  const url = await listen((stream) => answerUnary(stream, calls++ % 4 === 0 ? otherFrame : okFrame, "0"));
  const result = await runCalls(url, { calls: 40 });
  expect(result).toMatchObject({ statuses: { "0": 40 }, unexpected: 10 });
});

test("a run makes exactly as many calls as it may, and never has more in flight than it may", async () => {
  let calls = 0;
  let inFlight = 0;
  let most = 0;
  const url = await listen((stream) => {
    calls++;
    most = Math.max(most, ++inFlight);
    stream.once("close", () => inFlight--);
    setImmediate(() => answerUnary(stream, okFrame, "0"));
  });
  const result = await runCalls(url, { calls: 203 });
  expect({ calls, counted: result.calls }).toEqual({ calls: 203, counted: 203 });
  expect(most).toBe(8);
});

test("a run ends at its longest time, however few calls it has made", async () => {
  const url = await listen((stream) => answerUnary(stream, okFrame, "0"));
  client = await openClient(url);
  const result = await client.run({ minMs: 0, minCalls: 1_000_000, maxMs: 50, maxCalls: 1_000_000 });
  expect(result.calls).toBeLessThan(1_000_000);
});

test("messages are sent in turn, each framed as gRPC frames it", async () => {
  const received: string[] = [];
  const url = await listen((stream) => {
    const chunks: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("end", () => {
      received.push(Buffer.concat(chunks).toString("latin1"));
      answerUnary(stream, okFrame, "0");
    });
  });
  client = await createGrpcLoadClient({
    ...target(url),
    connections: 1,
    inFlight: 1,
    messages: [Buffer.from("a"), Buffer.from("bb")],
  });
  await client.run(exactly(3));
  expect(received).toEqual(["\0\0\0\0\x01a", "\0\0\0\0\x02bb", "\0\0\0\0\x01a"]);
});

test("a server that goes away ends the run with an error, not with fewer calls", async () => {
  // Not within the event itself: Node 22 aborts when bytes for the session are still being read then.
  const url = await listen((stream) => setImmediate(() => stream.session?.destroy()));
  client = await openClient(url);
  await expect(client.run(exactly(100))).rejects.toThrow(/closed the connection/);
});

test("a run with one in flight waits for each answer before the next call", async () => {
  let inFlight = 0;
  let most = 0;
  const url = await listen((stream) => {
    most = Math.max(most, ++inFlight);
    stream.once("close", () => inFlight--);
    setImmediate(() => answerUnary(stream, okFrame, "0"));
  });
  client = await openClient(url);
  const result = await client.run({ ...exactly(20), inFlight: 1 });
  expect({ most, calls: result.calls }).toEqual({ most: 1, calls: 20 });
});

test("a paced run begins calls that are due though none was answered, and keeps those that find no caller", async () => {
  const held: ServerHttp2Stream[] = [];
  const url = await listen((stream) => {
    held.push(stream);
    // As many as there are callers: a ninth would never come.
    if (held.length === 8) for (const each of held.splice(0)) answerUnary(each, okFrame, "0");
  });
  client = await openClient(url);
  const result = await client.run({ ...exactly(40), callsPerSecond: 100_000 });
  expect(result).toMatchObject({ calls: 40, statuses: { "0": 40 } });
});

test("a paced run of a server that goes away ends with an error", async () => {
  const url = await listen((stream) => setImmediate(() => stream.session?.destroy()));
  client = await openClient(url);
  await expect(client.run({ ...exactly(100), callsPerSecond: 1000 })).rejects.toThrow(
    /closed the connection/,
  );
});

test("later requests, which name the fields of the first by index, arrive with the same fields", async () => {
  const received: string[] = [];
  const authorization = `Bearer ${"x".repeat(300)}`;
  const url = await listen((stream, headers) => {
    const { ":method": method, ":path": path, ":scheme": scheme, ":authority": authority, te } = headers;
    received.push(
      [method, path, scheme, authority, te, headers["content-type"], headers.authorization].join(),
    );
    answerUnary(stream, okFrame, "0");
  });
  client = await createGrpcLoadClient({ ...target(url), headers: { authorization }, connections: 1 });
  await client.run(exactly(3));
  const fields = [
    "POST",
    "/test.Service/Call",
    "http",
    new URL(url).host,
    "trailers",
    "application/grpc+proto",
  ];
  const expected = [...fields, authorization].join();
  expect(received).toEqual([expected, expected, expected]);
});

test("more bytes than the server's windows hold are sent as it opens them", async () => {
  const message = Buffer.alloc(10_000, 1);
  const lengths: number[] = [];
  const url = await listen((stream) => {
    let length = 0;
    stream.on("data", (chunk: Buffer) => {
      length += chunk.length;
    });
    stream.on("end", () => {
      lengths.push(length);
      answerUnary(stream, okFrame, "0");
    });
  });
  client = await createGrpcLoadClient({ ...target(url), messages: [message], inFlight: 50 });
  const result = await client.run(exactly(200));
  expect(result.statuses).toEqual({ "0": 200 });
  expect(lengths).toEqual(lengths.map(() => 5 + message.length));
});

test("pings are answered, which some servers send to measure the path", async () => {
  const acknowledged: boolean[] = [];
  const url = await listen((stream) => {
    stream.session?.ping((error) => {
      acknowledged.push(error === null);
      answerUnary(stream, okFrame, "0");
    });
  });
  await runCalls(url, { calls: 4 });
  expect(acknowledged).toEqual([true, true, true, true]);
});

test("a server that takes fewer calls at once than are to be in flight is refused", async () => {
  const url = await listen(() => {}, { settings: { maxConcurrentStreams: 3 } });
  await expect(openClient(url)).rejects.toThrow(/takes 3 calls at once/);
});

test("an answer is read however its frames are cut, padded and continued", async () => {
  const answer = Buffer.concat([
    // HEADERS without END_HEADERS, padded, then two CONTINUATION: ":status: 200", "grpc-status: 0" in the trailers.
    frameOf({ type: 1, flags: 0x08, payload: [1, 0] }),
    frameOf({ type: 9, flags: 0, payload: [] }),
    frameOf({ type: 9, flags: 0x04, payload: [0x88] }),
    frameOf({ type: 0, flags: 0x08, payload: [3, 0, 0, 0, 0, 2, 0, 0, 0] }),
    frameOf({ type: 0, flags: 0, payload: [0x08, 0x01] }),
    frameOf({ type: 1, flags: 0x05, payload: [0, 11, ...Buffer.from("grpc-status"), 1, 0x30] }),
  ]);
  const raw = createRawServer((socket) => {
    socket.setNoDelay(true);
    socket.write(frameOf({ type: 4, flags: 0, payload: [], streamId: 0 }));
    let received = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      // The request's DATA with END_STREAM is its last frame.
      if (!received.includes("hello")) return;
      received = Buffer.alloc(0);
      for (const byte of answer) socket.write(Buffer.from([byte]));
    });
  });
  raw.listen(0, "127.0.0.1");
  await once(raw, "listening");
  const url = `http://127.0.0.1:${(raw.address() as AddressInfo).port}`;
  client = await createGrpcLoadClient({ ...target(url), connections: 1, inFlight: 1 });
  const result = await client.run(exactly(1));
  raw.close();
  expect(result).toMatchObject({ statuses: { "0": 1 }, unexpected: 0 });
});

/** An HTTP/2 frame: of the first stream unless it says else. */
function frameOf(frame: {
  type: number;
  flags: number;
  payload: readonly number[];
  streamId?: number;
}): Buffer {
  const { type, flags, payload, streamId = 1 } = frame;
  return Buffer.from([0, 0, payload.length, type, flags, 0, 0, 0, streamId, ...payload]);
}

async function listen(
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  options: ServerOptions = {},
): Promise<string> {
  server = createServer(options);
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    onStream(stream, headers);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function answerUnary(stream: ServerHttp2Stream, frame: Buffer, status: string): void {
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
  stream.end(frame);
}

function target(url: string) {
  return {
    url,
    path: "/test.Service/Call",
    headers: {},
    messages: [Buffer.from("hello")],
    expectedPrefix: Buffer.from([0x08, 0x01]),
    connections: 2,
    inFlight: 4,
  };
}

function openClient(url: string): Promise<LoadClient> {
  return createGrpcLoadClient(target(url));
}

async function runCalls(url: string, { calls }: { calls: number }) {
  client = await openClient(url);
  return client.run(exactly(calls));
}

function exactly(calls: number) {
  return { minMs: 0, minCalls: calls, maxMs: 20_000, maxCalls: calls };
}
