import { once } from "node:events";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import type { LoadClient } from "../../bench/load/closed-loop.ts";
import { createLoadClient } from "../../bench/load/load-client.ts";

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
    "stream ERR_HTTP2_STREAM_ERROR": 10,
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
  client = await createLoadClient({
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

async function listen(onStream: (stream: ServerHttp2Stream) => void): Promise<string> {
  server = createServer();
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    onStream(stream);
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
  return createLoadClient(target(url));
}

async function runCalls(url: string, { calls }: { calls: number }) {
  client = await openClient(url);
  return client.run(exactly(calls));
}

function exactly(calls: number) {
  return { minMs: 0, minCalls: calls, maxMs: 20_000, maxCalls: calls };
}
