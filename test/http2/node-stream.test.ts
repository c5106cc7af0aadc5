import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterEach, expect, test } from "vitest";
import { ErrorCode, Flag, Setting } from "../../src/http2/frames.ts";
import { toNodeExchange } from "../../src/http2/node-stream.ts";
import { until } from "../support/until.ts";
import {
  data,
  headers,
  opening,
  padded,
  ping,
  rstStream,
  settings,
  windowUpdate,
} from "./fuzz/frame-bytes.ts";
import { type MemoryWire, openWire, served } from "./fuzz/memory-wire.ts";

const GET = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "x"];
const POST = [":method", "POST", ...GET.slice(2)];
const END = Flag.END_STREAM;

let wire: MemoryWire;
afterEach(() => wire.engine.destroy());

/** But for the date. */
const told = () => wire.told().map((each) => each.replace(/ date=\S+, .* GMT/, ""));

interface Seen {
  request: Http2ServerRequest;
  response: Http2ServerResponse;
  /** Of both, in order. */
  events: string[];
}

function start(onRequest: (seen: Seen) => unknown, bounds = {}): Seen[] {
  const all: Seen[] = [];
  wire = openWire({
    bounds,
    onStream(stream) {
      const seen: Seen = { ...toNodeExchange(stream), events: [] };
      for (const name of ["end", "aborted"]) seen.request.on(name, () => seen.events.push(`request ${name}`));
      for (const name of ["finish", "close"])
        seen.response.on(name, () => seen.events.push(`response ${name}`));
      for (const name of ["end", "close"])
        seen.request.stream.on(name, () => seen.events.push(`stream ${name}`));
      all.push(seen);
      onRequest(seen);
    },
  });
  return all;
}

test("a handler gets the method, the path, the fields as Node gives them, and who asks", async () => {
  const [seen] = await (async () => {
    const all = start(({ response }) => response.end());
    const more = [
      "x",
      "1",
      "cookie",
      "a=1",
      "x",
      "2",
      "cookie",
      "b=2",
      "authorization",
      "one",
      "authorization",
      "two",
    ];
    await wire.send(
      opening(
        headers(1, [":path", "/p?q", ":method", "PUT", ":scheme", "http", ":authority", "h", ...more], END),
      ),
    );
    return all;
  })();
  expect([seen?.request.method, seen?.request.url, seen?.request.authority]).toEqual(["PUT", "/p?q", "h"]);
  expect(seen?.request.headers).toMatchObject({ x: "1, 2", cookie: "a=1; b=2", authorization: "one" });
  expect(seen?.request.rawHeaders.filter((each) => each === "authorization").length).toBe(2);
  expect(seen?.request.socket.remoteAddress).toBe("192.0.2.1");
});

test("a body is read, an answer with trailers is written, and all of it closes", async () => {
  const all = start(async ({ request, response }) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    response.setHeader("content-type", "text/plain");
    response.addTrailers({ "x-sum": String(body.length) });
    response.end(body.toUpperCase());
  });
  await wire.send(
    opening(headers(1, POST), data(1, "ab")),
    data(1, padded(Buffer.from("cd"), 3), END | Flag.PADDED),
  );
  await until(() => wire.engine.streams() === 0);
  await served();
  expect(told()).toEqual([
    "HEADERS 1 :status=200 content-type=text/plain",
    "DATA 1 4",
    "HEADERS 1 end x-sum=4",
  ]);
  expect(all[0]?.events).toContain("response close");
  expect(all[0]?.request.stream.destroyed).toBe(true);
});

test.each([
  ["HEAD", [":scheme", "http", ":path", "/", ":method", "HEAD"], 200],
  ["204", GET, 204],
  ["304", GET, 304],
])("an answer to %s has no body, whatever is written", async (_name, fields, status) => {
  start(({ response }) => {
    response.writeHead(status);
    response.end("a body");
  });
  await wire.send(opening(headers(1, fields, END)));
  await until(() => wire.engine.streams() === 0);
  expect(told()).toEqual([`HEADERS 1 end :status=${status}`]);
});

test("a body that nobody reads is not waited for: the stream is let go without an error, and closes", async () => {
  const all = start(({ response }) => {
    response.writeHead(404);
    response.end("no");
  });
  await wire.send(opening());
  for (let id = 1; id < 200; id += 2) {
    await wire.send(headers(id, POST), ...[1, 2, 3].map(() => data(id, Buffer.alloc(16_000))));
    await wire.send(data(id, "", END));
  }
  await wire.send(ping("alive"));
  expect(told().at(-1)).toBe("PING ack alive");
  expect(told().filter((each) => each === "DATA 1 0 end" || each === "RST_STREAM 1 NO_ERROR")).toHaveLength(
    2,
  );
  await until(() => all.every(({ request }) => request.stream.destroyed));
  expect(wire.engine.streams()).toBe(0);
});

test("what comes after the answer is read on by whoever reads, to its end", async () => {
  let length = 0;
  const all = start(({ request, response }) => {
    request.on("data", (chunk: Buffer) => (length += chunk.length));
    response.end("early");
  });
  await wire.send(opening(headers(1, POST), data(1, "first")));
  await wire.send(data(1, Buffer.alloc(16_000)), data(1, "last", END));
  await until(() => all[0]?.events.includes("response close") === true);
  expect([length, all[0]?.events.includes("request end"), wire.engine.streams()]).toEqual([16_009, true, 0]);
});

test("a body beyond the window waits until it is read, and then goes on", async () => {
  const all = start(() => {});
  await wire.send(opening(headers(1, POST)));
  for (let sent = 0; sent < 65_535; sent += 13_107) await wire.send(data(1, Buffer.alloc(13_107)));
  expect(told()).toEqual([]);
  all[0]?.request.resume();
  await until(() => wire.told().some((each) => each.startsWith("WINDOW_UPDATE 1 ")));
  await wire.send(data(1, Buffer.alloc(16_000), END));
  await until(() => all[0]?.events.includes("request end") === true);
  expect(wire.faults).toEqual([]);
});

test("a stream that its client takes back is aborted, and does not end", async () => {
  const all = start(() => {});
  await wire.send(opening(headers(1, POST), data(1, "half")), rstStream(1, ErrorCode.CANCEL));
  await until(() => all[0]?.events.includes("response close") === true);
  expect(all[0]?.events).toContain("request aborted");
  // Node's own request tells an end all the same.
  expect(all[0]?.events).not.toContain("stream end");
  expect(all[0]?.request.stream).toMatchObject({ aborted: true, destroyed: true, rstCode: ErrorCode.CANCEL });
});

test("a handler that destroys its stream resets it", async () => {
  start(({ request }) => request.stream.destroy());
  await wire.send(opening(headers(1, POST), data(1, "half")));
  expect(told()).toEqual(["RST_STREAM 1 CANCEL"]);
  expect(wire.engine.streams()).toBe(0);
});

test("a long answer waits for the client's window, and for the client", async () => {
  let taken = 0;
  start(({ response }) =>
    pipeline(
      Readable.from(
        (function* () {
          for (; taken < 100; taken++) yield Buffer.alloc(100_000);
        })(),
      ),
      response,
    ),
  );
  await wire.send(opening(settings([Setting.INITIAL_WINDOW_SIZE, 1000]), headers(1, GET, END)));
  await served();
  expect(taken).toBeLessThan(20);
  wire.socket.stall();
  await wire.send(windowUpdate(0, 2 ** 30), windowUpdate(1, 2 ** 30));
  await served();
  expect(taken).toBeLessThan(40);
  expect(wire.engine.queuedBytes()).toBeLessThan(2_000_000);
  wire.socket.unstall();
  await until(() => wire.engine.streams() === 0);
  expect(wire.socket.writtenBytes).toBeGreaterThan(10_000_000);
  expect(wire.faults).toEqual([]);
});

test("an exchange that is made when the body is whole closes like others", async () => {
  let closed = false;
  wire = openWire({
    onStream: (stream) =>
      stream.receive({
        onData() {},
        onLast() {
          const { response } = toNodeExchange(stream);
          response.on("close", () => (closed = true));
          response.end("late");
        },
        onAborted() {},
      }),
  });
  await wire.send(opening(headers(1, POST), data(1, "whole", END)));
  await until(() => closed);
  expect(told()).toEqual(["HEADERS 1 :status=200", "DATA 1 4", "DATA 1 0 end"]);
});
