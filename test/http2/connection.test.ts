import { afterEach, describe, expect, test, vi } from "vitest";
import { PreparedFields } from "../../src/http2/fields.ts";
import { ErrorCode, Flag, FrameType, PREFACE, Setting } from "../../src/http2/frames.ts";
import type { ServerStream, StreamSink } from "../../src/http2/stream.ts";
import {
  block,
  data,
  frame,
  frameBytes,
  goaway,
  headers,
  opening,
  padded,
  ping,
  type RawFrame,
  rstStream,
  settings,
  settingsAck,
  uint32,
  windowUpdate,
} from "./fuzz/frame-bytes.ts";
import { type MemoryWire, openWire, served, type WireOptions } from "./fuzz/memory-wire.ts";

const GET = [":method", "GET", ":scheme", "http", ":path", "/", ":authority", "x"];
const POST = [":method", "POST", ...GET.slice(2)];
const END = Flag.END_STREAM;
const OK = [":status", "200"];

let wires: MemoryWire[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const wire of wires) wire.engine.destroy();
  wires = [];
});

function wireFor(options: WireOptions): MemoryWire {
  const wire = openWire(options);
  wires.push(wire);
  return wire;
}

/** Answers a whole request with the length of its body. */
function echoLength(stream: ServerStream): void {
  let length = 0;
  stream.receive({
    onData: (bytes) => (length += bytes.length),
    onLast: (bytes) => {
      length += bytes.length;
      stream.answer({ head: OK, body: Buffer.from(String(length)), trailers: ["grpc-status", "0"] });
    },
    onAborted: () => stream.reset(ErrorCode.CANCEL),
  });
}

function answered(streamId: number, length: number): string[] {
  return [
    `HEADERS ${streamId} :status=200`,
    `DATA ${streamId} ${String(length).length}`,
    `HEADERS ${streamId} end grpc-status=0`,
  ];
}

/** Keeps what it is given, gives no credit, and answers when the test says so. */
function keepStreams(): { onStream: (stream: ServerStream) => void; kept: Kept[] } {
  const kept: Kept[] = [];
  return {
    kept,
    onStream(stream) {
      const of: Kept = { stream, heard: [] };
      kept.push(of);
      stream.receive(
        {
          onData: (bytes) => of.heard.push(`data ${bytes.length}`),
          onLast: (bytes) => of.heard.push(`last ${bytes.length}`),
          onAborted: (code) => of.heard.push(`aborted ${code}`),
          onDrained: () => of.heard.push("drained"),
        },
        { isPaced: true },
      );
    },
  };
}

interface Kept {
  readonly stream: ServerStream;
  readonly heard: string[];
}

/** A sink that hears nothing, but for what is given. */
function sink(given: Partial<StreamSink> = {}): StreamSink {
  return { onData() {}, onLast() {}, onAborted() {}, ...given };
}

describe("RFC 9113 3.4, the beginning", () => {
  test("is SETTINGS of ours, a larger window for the connection, and the client's SETTINGS acknowledged", async () => {
    const wire = wireFor({ onStream: echoLength });
    await wire.send(opening());
    const [ours, window, ack] = wire.frames();
    expect(ours).toMatchObject({ type: FrameType.SETTINGS, flags: 0, streamId: 0 });
    expect(ours?.payload).toEqual(
      settings(
        [Setting.MAX_CONCURRENT_STREAMS, 100],
        [Setting.INITIAL_WINDOW_SIZE, 65_535],
        [Setting.MAX_HEADER_LIST_SIZE, 16_384],
      ).payload,
    );
    expect(window).toEqual(windowUpdate(0, 1024 * 1024 - 65_535));
    expect(ack).toEqual(settingsAck);
    expect(wire.frames().length).toBe(3);
  });

  test.each([
    ["other than the preface", Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX")],
    ["a preface and PING", Buffer.concat([PREFACE, frameBytes(ping("early"))])],
    ["a preface and an acknowledgement", Buffer.concat([PREFACE, frameBytes(settingsAck)])],
  ])("%s ends the connection by PROTOCOL_ERROR", async (_name, bytes) => {
    const wire = wireFor({ onStream: echoLength });
    await wire.send(bytes);
    expect(wire.frames().at(-1)).toEqual(goaway(0, ErrorCode.PROTOCOL_ERROR));
    expect(wire.socket.writableEnded).toBe(true);
  });

  test("requests are served however their bytes are split", async () => {
    const bytes = opening(
      headers(1, POST),
      data(1, "hello"),
      data(1, padded(Buffer.from("padded"), 20), END | Flag.PADDED),
      headers(3, GET, END),
      ping("after"),
    );
    const wire = wireFor({ onStream: echoLength });
    for (const byte of bytes) await wire.send(Buffer.from([byte]));
    expect(wire.told()).toEqual([...answered(1, 11), ...answered(3, 0), "PING ack after"]);
  });
});

/** Frame by frame what ends the connection, and by which code. Stream 1 has ended, 3 is open, 5 half closed, 7 reset by us. */
const FATAL: readonly (readonly [name: string, code: keyof typeof ErrorCode, bytes: RawFrame])[] = [
  ["4.2 a frame above the maximum size", "FRAME_SIZE_ERROR", data(3, Buffer.alloc(16_385))],
  ["4.3 a block that HPACK cannot read", "COMPRESSION_ERROR", headerBytes(9, Buffer.from([0x80]))],
  [
    "4.3 trailers that HPACK cannot read",
    "COMPRESSION_ERROR",
    headerBytes(3, Buffer.from([0xff, 0xff]), END),
  ],
  ["4.3 a block on a closed stream is read, too", "COMPRESSION_ERROR", headerBytes(7, Buffer.from([0x80]))],
  ["5.1 DATA on an idle stream", "PROTOCOL_ERROR", data(9, "x")],
  ["5.1 RST_STREAM on an idle stream", "PROTOCOL_ERROR", rstStream(9, 8)],
  ["5.1 WINDOW_UPDATE on an idle stream", "PROTOCOL_ERROR", windowUpdate(9, 1)],
  ["5.1 HEADERS on a closed stream", "STREAM_CLOSED", headers(1, GET, END)],
  ["5.1.1 HEADERS on an even stream", "PROTOCOL_ERROR", headers(10, GET, END)],
  ["6.1 DATA on stream 0", "PROTOCOL_ERROR", data(0, "x")],
  ["6.1 padding as long as the frame", "PROTOCOL_ERROR", data(3, Buffer.from([5, 0, 0, 0, 0]), Flag.PADDED)],
  ["6.1 padding without its length", "PROTOCOL_ERROR", data(3, "", Flag.PADDED)],
  ["6.2 HEADERS on stream 0", "PROTOCOL_ERROR", headers(0, GET, END)],
  ["6.2 padding beyond the block", "PROTOCOL_ERROR", headerBytes(9, Buffer.from([9, 0x82]), Flag.PADDED)],
  ["6.2 HEADERS without their priority", "FRAME_SIZE_ERROR", headerBytes(9, Buffer.alloc(4), Flag.PRIORITY)],
  ["6.3 PRIORITY on stream 0", "PROTOCOL_ERROR", frame(FrameType.PRIORITY, { payload: Buffer.alloc(5) })],
  ["6.4 RST_STREAM on stream 0", "PROTOCOL_ERROR", rstStream(0, 8)],
  [
    "6.4 RST_STREAM of 3 bytes",
    "FRAME_SIZE_ERROR",
    frame(FrameType.RST_STREAM, { streamId: 3, payload: Buffer.alloc(3) }),
  ],
  ["6.5 SETTINGS on a stream", "PROTOCOL_ERROR", frame(FrameType.SETTINGS, { streamId: 3 })],
  ["6.5 half a setting", "FRAME_SIZE_ERROR", frame(FrameType.SETTINGS, { payload: Buffer.alloc(3) })],
  [
    "6.5 an acknowledgement with settings",
    "FRAME_SIZE_ERROR",
    frame(FrameType.SETTINGS, { flags: Flag.ACK, payload: Buffer.alloc(6) }),
  ],
  ["6.5.2 ENABLE_PUSH of 2", "PROTOCOL_ERROR", settings([Setting.ENABLE_PUSH, 2])],
  ["6.5.2 a window of 2^31", "FLOW_CONTROL_ERROR", settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 31])],
  ["6.5.2 frames of 16,383", "PROTOCOL_ERROR", settings([Setting.MAX_FRAME_SIZE, 16_383])],
  ["6.5.2 frames of 2^24", "PROTOCOL_ERROR", settings([Setting.MAX_FRAME_SIZE, 2 ** 24])],
  [
    "6.6 PUSH_PROMISE",
    "PROTOCOL_ERROR",
    frame(FrameType.PUSH_PROMISE, { streamId: 3, payload: Buffer.alloc(4) }),
  ],
  ["6.7 PING on a stream", "PROTOCOL_ERROR", { ...ping("x"), streamId: 3 }],
  ["6.7 PING of 7 bytes", "FRAME_SIZE_ERROR", frame(FrameType.PING, { payload: Buffer.alloc(7) })],
  ["6.8 GOAWAY on a stream", "PROTOCOL_ERROR", { ...goaway(0, 0), streamId: 3 }],
  ["6.8 GOAWAY of 7 bytes", "FRAME_SIZE_ERROR", frame(FrameType.GOAWAY, { payload: Buffer.alloc(7) })],
  ["6.9 WINDOW_UPDATE of 0", "PROTOCOL_ERROR", windowUpdate(0, 0)],
  [
    "6.9 WINDOW_UPDATE of 5 bytes",
    "FRAME_SIZE_ERROR",
    frame(FrameType.WINDOW_UPDATE, { payload: Buffer.alloc(5) }),
  ],
  ["6.9.1 a window above 2^31-1", "FLOW_CONTROL_ERROR", windowUpdate(0, 2 ** 31 - 1)],
  [
    "6.10 CONTINUATION of nothing",
    "PROTOCOL_ERROR",
    frame(FrameType.CONTINUATION, { streamId: 3, flags: 4 }),
  ],
];

function headerBytes(streamId: number, payload: Buffer, flags = 0): RawFrame {
  return frame(FrameType.HEADERS, { streamId, flags: Flag.END_HEADERS | flags, payload });
}

/** What resets one stream, and leaves the others. Streams as above. */
const RESETTING: readonly (readonly [
  name: string,
  code: keyof typeof ErrorCode,
  id: number,
  frames: RawFrame[],
])[] = [
  ["5.1 DATA after the end", "STREAM_CLOSED", 5, [data(5, "x")]],
  ["5.1 HEADERS after the end", "STREAM_CLOSED", 5, [headers(5, ["a", "b"], END)]],
  ["5.3.1 a stream that depends on itself", "PROTOCOL_ERROR", 9, [selfDependent(9)]],
  ["6.3 PRIORITY of 4 bytes", "FRAME_SIZE_ERROR", 3, [frame(2, { streamId: 3, payload: Buffer.alloc(4) })]],
  [
    "6.3 PRIORITY on itself",
    "PROTOCOL_ERROR",
    3,
    [frame(2, { streamId: 3, payload: Buffer.from([0, 0, 0, 3, 0]) })],
  ],
  ["6.9 WINDOW_UPDATE of 0", "PROTOCOL_ERROR", 3, [windowUpdate(3, 0)]],
  ["6.9.1 a window above 2^31-1", "FLOW_CONTROL_ERROR", 3, [windowUpdate(3, 2 ** 31 - 1)]],
  [
    "6.9.1 a body beyond its window",
    "FLOW_CONTROL_ERROR",
    9,
    [headers(9, POST), ...Array.from({ length: 5 }, () => data(9, Buffer.alloc(16_000)))],
  ],
  ["8.1 HEADERS in the middle", "PROTOCOL_ERROR", 3, [headers(3, ["a", "b"])]],
  ["8.1 trailers with a pseudo-field", "PROTOCOL_ERROR", 3, [headers(3, [":status", "200"], END)]],
  ["8.1.1 a body beyond its length", "PROTOCOL_ERROR", 9, [headers(9, sized("2")), data(9, "abc")]],
  ["8.1.1 a body below its length", "PROTOCOL_ERROR", 9, [headers(9, sized("4")), data(9, "abc", END)]],
  [
    "8.1.1 trailers before its length",
    "PROTOCOL_ERROR",
    9,
    [headers(9, sized("4")), data(9, "abc"), headers(9, ["a", "b"], END)],
  ],
  ["8.1.1 no body of a length", "PROTOCOL_ERROR", 9, [headers(9, sized("4"), END)]],
  ["8.1.1 a length that is none", "PROTOCOL_ERROR", 9, [headers(9, sized("-1"))]],
  ["8.2 an upper-case name", "PROTOCOL_ERROR", 9, [headers(9, [...GET, "A", "b"], END)]],
  [
    "8.2.2 a field of the connection",
    "PROTOCOL_ERROR",
    9,
    [headers(9, [...GET, "connection", "close"], END)],
  ],
  ["8.3.1 no path", "PROTOCOL_ERROR", 9, [headers(9, GET.slice(0, 4), END)]],
];

function sized(contentLength: string): string[] {
  return [...POST, "content-length", contentLength];
}

function selfDependent(streamId: number): RawFrame {
  const payload = Buffer.concat([uint32(streamId), Buffer.from([1]), block(GET)]);
  return headerBytes(streamId, payload, END | Flag.PRIORITY);
}

/** Stream 1 has ended, 3 waits for its body, 5 for its answer, and 7 was reset by us. */
async function wireInUse(): Promise<{ wire: MemoryWire; kept: Kept[]; before: number }> {
  const { onStream, kept } = keepStreams();
  const wire = wireFor({ onStream });
  await wire.send(opening(headers(1, GET, END), headers(3, POST), headers(5, GET, END), headers(7, POST)));
  kept[0]?.stream.answer({ head: OK, body: Buffer.alloc(0) });
  kept[3]?.stream.reset(ErrorCode.CANCEL);
  await served();
  expect(wire.told()).toEqual(["HEADERS 1 end :status=200", "RST_STREAM 7 CANCEL"]);
  return { wire, kept, before: wire.told().length };
}

describe("RFC 9113 8.2 and 8.3: of requests that name what a table holds", () => {
  const GET_BLOCK = "828684";
  const NEWEST = "be";
  const literal = (text: string) =>
    Buffer.from([text.length, ...Buffer.from(text, "latin1")]).toString("hex");
  const inserted = (name: string, value: string) => `40${literal(name)}${literal(value)}`;
  const request = (streamId: number, hex: string, flags: number = END) =>
    headerBytes(streamId, Buffer.from(hex, "hex"), flags);

  test.each([
    ["a name in upper case", inserted("A", "b")],
    ["a value with a line break", inserted("a", "b\r\nc: d")],
    ["a field of the connection", inserted("connection", "close")],
    ["te of more than trailers", inserted("te", "gzip")],
    ["a pseudo-field out of place", inserted(":path", "/")],
    ["a pseudo-field that is none", inserted(":a", "b")],
  ])("each is reset that has %s, and no other", async (_name, field) => {
    const wire = wireFor({ onStream: echoLength });
    await wire.send(opening(request(1, GET_BLOCK + field), request(3, GET_BLOCK)));
    await wire.send(...[5, 7, 9].map((id) => request(id, GET_BLOCK + NEWEST)), request(11, GET_BLOCK));
    const reset = (id: number) => `RST_STREAM ${id} PROTOCOL_ERROR`;
    expect(wire.told()).toEqual([reset(1), ...answered(3, 0), ...[5, 7, 9].map(reset), ...answered(11, 0)]);
  });

  test("the list is the same object while its block is repeated", async () => {
    const { onStream, kept } = keepStreams();
    const wire = wireFor({ onStream });
    const field = inserted("a", "b");
    await wire.send(opening(request(1, GET_BLOCK + field), request(3, GET_BLOCK + NEWEST)));
    await wire.send(request(5, GET_BLOCK + NEWEST), request(7, GET_BLOCK));
    const lists = kept.map(({ stream }) => stream.fields);
    expect(lists[2]).toBe(lists[1]);
    expect(lists.slice(1)).toEqual([lists[0], lists[0], lists[0]?.slice(0, -2)]);
  });

  test("each has the body that it declares, though all are of one block", async () => {
    const wire = wireFor({ onStream: echoLength });
    const block = `838684${inserted("content-length", "2")}`;
    await wire.send(opening(request(1, block, 0), data(1, "ab", END)));
    const again = `838684${NEWEST}`;
    await wire.send(
      request(3, again, 0),
      data(3, "a"),
      data(3, "b", END),
      request(5, again, 0),
      data(5, "abc"),
    );
    await wire.send(request(7, again), request(9, again, 0), data(9, "ab", END));
    expect(wire.told()).toEqual([
      ...answered(1, 2),
      ...answered(3, 2),
      "RST_STREAM 5 PROTOCOL_ERROR",
      "RST_STREAM 7 PROTOCOL_ERROR",
      ...answered(9, 2),
    ]);
  });

  test("a block is a request's head or trailers by where it stands", async () => {
    const wire = wireFor({ onStream: echoLength });
    const post = "838684";
    const trailers = `00${literal("a")}${literal("b")}`;
    await wire.send(opening(request(1, post, 0), request(1, trailers), request(3, trailers)));
    await wire.send(request(5, post, 0), request(5, post), request(7, post, 0), request(7, trailers));
    expect(wire.told()).toEqual([
      ...answered(1, 0),
      "RST_STREAM 3 PROTOCOL_ERROR",
      "RST_STREAM 5 PROTOCOL_ERROR",
      ...answered(7, 0),
    ]);
  });

  test("a list that is too large is refused each time", async () => {
    const wire = wireFor({ onStream: echoLength, bounds: { maxHeaderListBytes: 200 } });
    const long = GET_BLOCK + "84".repeat(10);
    await wire.send(opening(...[1, 3, 5].map((id) => request(id, long)), request(7, GET_BLOCK)));
    const refused = (id: number) => `HEADERS ${id} end :status=431`;
    expect(wire.told()).toEqual([...[1, 3, 5].map(refused), ...answered(7, 0)]);
  });
});

describe("RFC 9113 5.4.1: the connection ends, and who serves its streams is told, by", () => {
  test.each(FATAL)("%s: %s", async (_name, code, bytes) => {
    const { wire, kept, before } = await wireInUse();
    await wire.send(bytes, ping("unread"));
    const last = wire.frames().at(-1);
    expect(last?.type).toBe(FrameType.GOAWAY);
    expect([last?.payload.readUInt32BE(0), last?.payload.readUInt32BE(4)]).toEqual([
      expect.toBeOneOf([7, 9]),
      ErrorCode[code],
    ]);
    expect(wire.told().length).toBe(before + 1);
    expect(wire.faults.map((fault) => fault.code)).toEqual([ErrorCode[code]]);
    expect(kept[1]?.heard.at(-1)).toBe(`aborted ${ErrorCode.CANCEL}`);
    expect(wire.socket.writableEnded).toBe(true);
    expect([wire.engine.streams(), wire.engine.queuedBytes()]).toEqual([0, 0]);
    await wire.close();
  });

  test.each([
    ["6.2 another frame within a header block", [{ ...headers(9, GET, END), flags: END }, ping("x")]],
    [
      "6.10 CONTINUATION of another stream",
      [{ ...headers(9, GET, END), flags: END }, frame(FrameType.CONTINUATION, { streamId: 11, flags: 4 })],
    ],
    ["5.1.1 HEADERS on a stream that was passed over", [headers(13, GET, END), headers(11, GET, END)]],
    [
      "6.3 PRIORITY of an idle stream on itself",
      [frame(2, { streamId: 9, payload: Buffer.from([0, 0, 0, 9, 0]) })],
    ],
  ])("%s: PROTOCOL_ERROR", async (_name, frames) => {
    const { wire } = await wireInUse();
    await wire.send(...frames);
    expect(wire.faults.map((fault) => fault.code)).toEqual([ErrorCode.PROTOCOL_ERROR]);
  });
});

describe("RFC 9113 5.4.2: one stream is reset, and the others live, by", () => {
  test.each(RESETTING)("%s: %s", async (_name, code, id, frames) => {
    const { wire, kept, before } = await wireInUse();
    await wire.send(...frames, ping("alive"));
    const told = wire.told().slice(before);
    expect(told.filter((each) => each.startsWith("RST_STREAM"))).toEqual([`RST_STREAM ${id} ${code}`]);
    expect(told.at(-1)).toBe("PING ack alive");
    const heard = kept.filter(({ stream }) => stream.id === id).map((each) => each.heard.at(-1));
    // None where it was refused at its head.
    expect(heard.filter((each) => each !== `aborted ${ErrorCode[code]}`)).toEqual([]);
    expect(wire.faults).toEqual([]);
    const other = kept.find(({ stream }) => stream.id === (id === 5 ? 3 : 5));
    other?.stream.answer({ head: OK, body: Buffer.from("x") });
    await served();
    expect(wire.told().at(-1)).toMatch(/^DATA . 1 end$/);
  });
});

describe("what is let pass", () => {
  test.each([
    ["5.5 an unknown frame", frame(0x42, { streamId: 3, flags: 0xff, payload: Buffer.alloc(100) })],
    ["5.5 an unknown setting", settings([0x99, 1])],
    ["5.1 frames of a stream that we have reset", data(7, "late")],
    ["5.1 trailers of a stream that we have reset", headers(7, ["a", "b"], END)],
    ["5.1 WINDOW_UPDATE of a stream that has ended", windowUpdate(1, 5)],
    ["5.1 RST_STREAM of a stream that has ended", rstStream(1, 8)],
    ["5.3 PRIORITY of an idle stream", frame(2, { streamId: 99, payload: Buffer.from([0, 0, 0, 1, 0]) })],
    ["4.1 the reserved bit", { ...ping("x"), streamId: 2 ** 31, payload: Buffer.alloc(8) }],
  ])("%s", async (_name, bytes) => {
    const { wire } = await wireInUse();
    await wire.send(bytes, ping("alive"));
    expect(wire.told().at(-1)).toBe("PING ack alive");
    expect(wire.told().filter((each) => each.startsWith("RST"))).toEqual(["RST_STREAM 7 CANCEL"]);
    expect(wire.faults).toEqual([]);
  });

  test("a block in 60 CONTINUATION frames, with padding and a priority, is one request", async () => {
    const wire = wireFor({ onStream: echoLength });
    const bytes = block([...GET, "x-long", "y".repeat(200)]);
    const first = padded(Buffer.concat([uint32(5), Buffer.from([1]), bytes.subarray(0, 10)]), 7);
    const step = Math.ceil((bytes.length - 10) / 60);
    const rest: RawFrame[] = [];
    for (let at = 10; at < bytes.length; at += step) {
      const flags = at + step >= bytes.length ? Flag.END_HEADERS : 0;
      rest.push(
        frame(FrameType.CONTINUATION, { streamId: 1, flags, payload: bytes.subarray(at, at + step) }),
      );
    }
    const flags = END | Flag.PADDED | Flag.PRIORITY;
    await wire.send(opening(frame(FrameType.HEADERS, { streamId: 1, flags, payload: first }), ...rest));
    expect(wire.told()).toEqual(answered(1, 0));
  });

  test("trailers of a request end its body", async () => {
    const wire = wireFor({ onStream: echoLength });
    await wire.send(opening(headers(1, POST), data(1, "four"), headers(1, ["x-sum", "1"], END)));
    expect(wire.told()).toEqual(answered(1, 4));
  });
});

describe("RFC 9113 5.1.2 and 6.8, refused", () => {
  test("one stream too many at once; one that was reset counts until whoever serves it is done", async () => {
    const { onStream, kept } = keepStreams();
    const wire = wireFor({ onStream, bounds: { maxConcurrentStreams: 2 } });
    await wire.send(opening(headers(1, GET, END), headers(3, GET, END), headers(5, GET, END)));
    expect(wire.told()).toEqual(["RST_STREAM 5 REFUSED_STREAM"]);
    await wire.send(rstStream(1, 8), headers(7, GET, END));
    expect(wire.told().at(-1)).toBe("RST_STREAM 7 REFUSED_STREAM");
    kept[0]?.stream.answer({ head: OK, body: Buffer.alloc(0) });
    await wire.send(headers(9, GET, END), headers(11, GET, END));
    expect(wire.told().at(-1)).toBe("RST_STREAM 11 REFUSED_STREAM");
    expect(kept.map(({ stream }) => stream.id)).toEqual([1, 3, 9]);
  });

  test("a header list that is too large is answered by 431, and the connection lives", async () => {
    const wire = wireFor({ onStream: echoLength });
    const large = Array.from({ length: 20 }, (_, index) => [`x-${index}`, "y".repeat(1000)]).flat();
    const bytes = block([...GET, ...large]);
    await wire.send(
      opening(
        frame(FrameType.HEADERS, { streamId: 1, flags: END, payload: bytes.subarray(0, 16_000) }),
        frame(FrameType.CONTINUATION, {
          streamId: 1,
          flags: Flag.END_HEADERS,
          payload: bytes.subarray(16_000),
        }),
        headers(3, GET, END),
      ),
    );
    expect(wire.told()).toEqual(["HEADERS 1 end :status=431", ...answered(3, 0)]);
    expect(wire.engine.streams()).toBe(0);
  });

  test("after GOAWAY the streams that are open are served, new ones refused, and its last id never grows", async () => {
    const { onStream, kept } = keepStreams();
    const wire = wireFor({ onStream });
    await wire.send(opening(headers(1, GET, END), goaway(0, 0), headers(3, GET, END)));
    expect(wire.told()).toEqual(["GOAWAY 1 NO_ERROR", "RST_STREAM 3 REFUSED_STREAM"]);
    await wire.send(headers(2, GET, END));
    expect(wire.told().at(-1)).toBe("GOAWAY 1 PROTOCOL_ERROR");
    expect(kept.length).toBe(1);
  });

  test("a drain tells twice, a round trip apart, and ends with the last stream", async () => {
    const { onStream, kept } = keepStreams();
    const wire = wireFor({ onStream });
    await wire.send(opening(headers(1, GET, END)));
    wire.engine.retire();
    await served();
    expect(wire.told()).toEqual(["GOAWAY 2147483647 NO_ERROR", "PING tollgate"]);
    await wire.send(headers(3, GET, END), ping("tollgate", Flag.ACK));
    expect(wire.told().at(-1)).toBe("GOAWAY 3 NO_ERROR");
    for (const { stream } of kept) stream.answer({ head: OK, body: Buffer.alloc(0) });
    await served();
    expect(wire.told().slice(-2)).toEqual(["HEADERS 1 end :status=200", "HEADERS 3 end :status=200"]);
    expect(wire.socket.writableEnded).toBe(true);
    expect(wire.faults).toEqual([]);
  });
});

describe("RFC 9113 6.9, flow control", () => {
  const answer = (bytes: number) => (stream: ServerStream) =>
    stream.receive(
      sink({ onLast: () => stream.answer({ head: OK, body: Buffer.alloc(bytes), trailers: ["x", "y"] }) }),
    );
  const bytesOf = (wire: MemoryWire, streamId: number) =>
    wire
      .frames()
      .filter((each) => each.type === FrameType.DATA && each.streamId === streamId)
      .reduce((sum, each) => sum + each.payload.length, 0);

  test("an answer waits for its stream's window, and its trailers for the answer", async () => {
    const wire = wireFor({ onStream: answer(1000) });
    await wire.send(opening(settings([Setting.INITIAL_WINDOW_SIZE, 10]), headers(1, GET, END)));
    expect(bytesOf(wire, 1)).toBe(10);
    await wire.send(windowUpdate(1, 989));
    expect(bytesOf(wire, 1)).toBe(999);
    expect(wire.engine.queuedBytes()).toBe(1);
    await wire.send(windowUpdate(1, 1));
    expect(wire.told().slice(-2)).toEqual(["DATA 1 1", "HEADERS 1 end x=y"]);
    expect([wire.engine.queuedBytes(), wire.engine.streams()]).toEqual([0, 0]);
  });

  test("SETTINGS may take a window below zero: nothing is sent until updates have paid for it", async () => {
    const wire = wireFor({ onStream: answer(1000) });
    await wire.send(opening(settings([Setting.INITIAL_WINDOW_SIZE, 500]), headers(1, GET, END)));
    await wire.send(settings([Setting.INITIAL_WINDOW_SIZE, 100]), windowUpdate(1, 400));
    expect(bytesOf(wire, 1)).toBe(500);
    await wire.send(windowUpdate(1, 1));
    expect(bytesOf(wire, 1)).toBe(501);
    await wire.send(settings([Setting.INITIAL_WINDOW_SIZE, 1000]));
    expect(bytesOf(wire, 1)).toBe(1000);
    expect(wire.told().at(-1)).toBe("HEADERS 1 end x=y");
  });

  test("SETTINGS that take the window of an open stream above 2^31-1 end the connection", async () => {
    const wire = wireFor({ onStream: answer(100_000) });
    await wire.send(opening(headers(1, GET, END), windowUpdate(1, 2 ** 31 - 1 - 65_535)));
    await wire.send(settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 31 - 1]));
    expect(wire.faults.map((fault) => fault.code)).toEqual([ErrorCode.FLOW_CONTROL_ERROR]);
  });

  test("two answers that wait for the connection's window get it in turn, however small its updates", async () => {
    const wire = wireFor({ onStream: answer(200_000) });
    await wire.send(
      opening(
        settings([Setting.INITIAL_WINDOW_SIZE, 1_000_000]),
        headers(1, GET, END),
        headers(3, GET, END),
        headers(5, GET, END),
      ),
    );
    const before = [1, 3, 5].map((id) => bytesOf(wire, id));
    for (let update = 0; update < 30; update++) await wire.send(windowUpdate(0, 1000));
    expect([1, 3, 5].map((id, index) => bytesOf(wire, id) - (before[index] as number))).toEqual([
      10_000, 10_000, 10_000,
    ]);
  });

  test("frames are of 16,384 bytes at most, also where the client takes more", async () => {
    const wire = wireFor({ onStream: answer(40_000) });
    await wire.send(opening(settings([Setting.MAX_FRAME_SIZE, 100_000]), headers(1, GET, END)));
    expect(wire.told().slice(2, -1)).toEqual(["DATA 1 16384", "DATA 1 16384", "DATA 1 7232"]);
  });

  test("the connection's window is given back for bodies of every fate", async () => {
    const fates: Record<string, RawFrame[]> = {
      "a body beyond its length": [headers(0, sized("1")), data(0, Buffer.alloc(9000))],
      "after the answer": [headers(0, [...POST, "x-now", "1"]), data(0, Buffer.alloc(9000), END)],
      "padding alone": [headers(0, POST), data(0, padded(Buffer.alloc(0), 255), END | Flag.PADDED)],
      "taken back": [headers(0, POST), data(0, Buffer.alloc(9000)), rstStream(0, 8)],
      "after the end": [headers(0, GET, END), data(0, Buffer.alloc(9000))],
      "after our reset": [
        headers(0, [...POST, "x-reset", "1"]),
        data(0, Buffer.alloc(9000)),
        data(0, "", END),
      ],
    };
    const onStream = (stream: ServerStream) => {
      const isPaced = stream.id % 4 === 1;
      stream.receive(
        sink({
          // A paced one never gives anything back by itself.
          onLast: () => stream.answer({ head: OK, body: Buffer.alloc(0) }),
          onAborted: () => stream.reset(ErrorCode.CANCEL),
        }),
        { isPaced },
      );
      if (stream.fields.includes("x-now")) stream.answer({ head: OK, body: Buffer.alloc(0) });
      if (stream.fields.includes("x-reset")) stream.reset(ErrorCode.CANCEL);
    };
    for (const frames of Object.values(fates)) {
      const wire = wireFor({ onStream, bounds: { connectionWindowBytes: 65_535 } });
      await wire.send(opening());
      for (let id = 1; id < 60; id += 2)
        await wire.send(...frames.map((each) => ({ ...each, streamId: id })));
      await wire.send(ping("alive"));
      expect(wire.told().at(-1)).toBe("PING ack alive");
      expect(wire.engine.streams()).toBe(0);
    }
  });
});

describe("a client that does not take its answers", () => {
  const flood = (stream: ServerStream) =>
    stream.receive(sink({ onLast: () => stream.answer({ head: OK, body: Buffer.alloc(60_000) }) }));
  const requests = (count: number) =>
    Array.from({ length: count }, (_, index) => headers(2 * index + 1, GET, END));

  test("is not read from until it has", async () => {
    const wire = wireFor({ onStream: flood });
    wire.socket.stall();
    await wire.send(opening(windowUpdate(0, 1_000_000), headers(1, GET, END)));
    await wire.send(headers(3, GET, END));
    expect(wire.socket.isPaused()).toBe(true);
    wire.socket.unstall();
    await served();
    expect(wire.told().filter((each) => each.endsWith("end"))).toHaveLength(2);
  });

  test("may leave so much lying, then its connection ends", async () => {
    const wire = wireFor({ onStream: flood, bounds: { maxQueuedBytes: 500_000 } });
    wire.socket.stall();
    await wire.send(opening(windowUpdate(0, 2_000_000), ...requests(20)));
    expect(wire.faults.map((fault) => fault.code)).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
    await served();
    expect([wire.engine.connections(), wire.engine.queuedBytes()]).toEqual([0, 0]);
  });

  test("holds back whoever streams to it, and he goes on when it takes them", async () => {
    const { onStream, kept } = keepStreams();
    const wire = wireFor({ onStream });
    wire.socket.stall();
    await wire.send(
      opening(
        windowUpdate(0, 2 ** 30),
        settings([Setting.INITIAL_WINDOW_SIZE, 2 ** 30]),
        headers(1, GET, END),
      ),
    );
    const { stream, heard } = kept[0] as Kept;
    stream.respond(OK);
    let sent = 0;
    while (stream.send(Buffer.alloc(50_000))) {
      sent += 50_000;
      await served();
    }
    expect(sent).toBeLessThan(1_000_000);
    wire.socket.unstall();
    await served();
    expect(heard).toContain("drained");
    stream.end();
    await served();
    expect(wire.told().at(-1)).toBe("DATA 1 0 end");
    expect(wire.faults).toEqual([]);
  });
});

describe("whoever serves a stream", () => {
  const acts: Record<string, (stream: ServerStream) => void> = {
    answers: (stream) => stream.answer({ head: OK, body: Buffer.from("x"), trailers: [] }),
    "resets it": (stream) => stream.reset(ErrorCode.CANCEL),
    "answers and resets it": (stream) => {
      stream.answer({ head: OK, body: Buffer.alloc(100_000) });
      stream.reset(ErrorCode.INTERNAL_ERROR);
    },
    "streams, ends and resets it": (stream) => {
      stream.respond(OK);
      stream.send(Buffer.alloc(100_000));
      stream.end(["x", "y"]);
      stream.reset(ErrorCode.INTERNAL_ERROR);
    },
    "answers twice": (stream) => {
      stream.answer({ head: OK, body: Buffer.alloc(0) });
      stream.answer({ head: OK, body: Buffer.from("again") });
      stream.reset(ErrorCode.CANCEL);
      stream.reset(ErrorCode.CANCEL);
    },
  };
  const moments = ["onStream", "onData", "onLast", "onAborted"] as const;
  const cases = Object.keys(acts).flatMap((act) => moments.map((moment) => [act, moment] as const));

  test.each(cases)("%s within %s, and nothing is left", async (name, moment) => {
    const act = acts[name] as (stream: ServerStream) => void;
    const onStream = (stream: ServerStream) => {
      stream.receive({
        ...sink({ onAborted: () => stream.reset(ErrorCode.CANCEL) }),
        [moment]: () => act(stream),
      });
      if (moment === "onStream") act(stream);
    };
    const wire = wireFor({ onStream, bounds: { maxConcurrentStreams: 1 } });
    await wire.send(opening(windowUpdate(0, 2 ** 30)));
    for (let id = 1; id < 20; id += 2) {
      await wire.send(headers(id, POST), data(id, "some"), data(id, "last", END));
      await wire.send(rstStream(id, 8));
    }
    await wire.send(ping("alive"));
    expect(wire.told().at(-1)).toBe("PING ack alive");
    expect(wire.told().filter((each) => each.endsWith("REFUSED_STREAM"))).toEqual([]);
    expect([wire.engine.streams(), wire.engine.queuedBytes()]).toEqual([0, 0]);
    await wire.close();
    expect(wire.faults).toEqual([]);
  });

  test.each(["onStream", "onData", "onLast"] as const)(
    "and throws in %s ends that connection",
    async (moment) => {
      const fails = () => {
        throw new Error("a fault of its own");
      };
      const onStream = (stream: ServerStream) => {
        stream.receive({ ...sink(), [moment]: fails });
        if (moment === "onStream") fails();
      };
      const wire = wireFor({ onStream });
      await wire.send(opening(headers(1, POST), data(1, "some"), data(1, "last", END)));
      expect(wire.frames().at(-1)).toEqual(goaway(1, ErrorCode.INTERNAL_ERROR));
      expect(wire.faults.map(({ cause }) => String(cause))).toEqual(["Error: a fault of its own"]);
      await wire.close();
      expect([wire.engine.streams(), wire.engine.connections()]).toEqual([0, 0]);
    },
  );

  test("and throws when its client is gone keeps nobody else from being told", async () => {
    const told: number[] = [];
    const wire = wireFor({
      onStream: (stream) =>
        stream.receive(
          sink({
            onAborted() {
              told.push(stream.id);
              throw new Error("a fault of its own");
            },
          }),
        ),
    });
    await wire.send(opening(headers(1, POST), headers(3, POST)));
    wire.socket.destroy();
    await served();
    expect(told).toEqual([1, 3]);
    expect(wire.faults.map(({ code }) => code)).toEqual([ErrorCode.INTERNAL_ERROR, ErrorCode.INTERNAL_ERROR]);
    expect([wire.engine.streams(), wire.engine.connections()]).toEqual([0, 0]);
  });
});

describe("in time", () => {
  /** Timers and performance.now are the test's. */
  async function pass(ms: number): Promise<void> {
    await vi.advanceTimersByTimeAsync(ms);
  }
  function startClock(): void {
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
    });
  }

  test.each([
    ["SETTINGS that are not acknowledged", [settings()], ErrorCode.SETTINGS_TIMEOUT],
    ["half a frame", [settings(), settingsAck, Buffer.from([0, 0, 5])], ErrorCode.ENHANCE_YOUR_CALM],
    [
      "half a header block",
      [settings(), settingsAck, { ...headers(1, GET, END), flags: END }],
      ErrorCode.ENHANCE_YOUR_CALM,
    ],
  ])("%s end the connection", async (_name, parts, code) => {
    startClock();
    const wire = wireFor({ onStream: echoLength, bounds: { headerTimeoutMs: 4000 } });
    await wire.send(PREFACE, ...parts);
    await pass(3000);
    expect(wire.faults).toEqual([]);
    await pass(4000);
    expect(wire.faults.map((fault) => fault.code)).toEqual([code]);
  });

  test("a body that is late is told to whoever serves it, and let go without an error once it is answered", async () => {
    startClock();
    const wire = wireFor({
      onStream: (stream) =>
        stream.receive(
          sink({ onLate: () => stream.answer({ head: [":status", "408"], body: Buffer.alloc(0) }) }),
        ),
      bounds: { bodyTimeoutMs: 4000 },
    });
    await wire.send(opening(headers(1, POST), data(1, "some")));
    await pass(3000);
    expect(wire.told()).toEqual([]);
    await pass(4000);
    await served();
    expect(wire.told()).toEqual(["HEADERS 1 end :status=408", "RST_STREAM 1 NO_ERROR"]);
    expect(wire.engine.streams()).toBe(0);
  });

  test("a sink that throws when it is late ends its connection, and the sweep goes on", async () => {
    startClock();
    const wire = wireFor({
      onStream: (stream) =>
        stream.receive(
          sink({
            onLate() {
              throw new Error("a fault of its own");
            },
          }),
        ),
      bounds: { bodyTimeoutMs: 4000 },
    });
    await wire.send(opening(headers(1, POST)));
    await pass(8000);
    expect(wire.faults.map(({ cause }) => String(cause))).toEqual(["Error: a fault of its own"]);
    expect([wire.engine.streams(), wire.engine.connections()]).toEqual([0, 0]);
  });

  test("an answer that is not taken is given up", async () => {
    startClock();
    const wire = wireFor({
      onStream: (stream) =>
        stream.receive(sink({ onLast: () => stream.answer({ head: OK, body: Buffer.alloc(10) }) })),
      bounds: { bodyTimeoutMs: 4000 },
    });
    await wire.send(opening(settings([Setting.INITIAL_WINDOW_SIZE, 1]), headers(1, GET, END)));
    await pass(8000);
    await served();
    expect(wire.told().at(-1)).toBe("RST_STREAM 1 CANCEL");
    expect([wire.engine.streams(), wire.engine.queuedBytes()]).toEqual([0, 0]);
  });

  test.each([
    ["without a stream", { idleTimeoutMs: 4000 }],
    ["of its greatest age", { maxAgeMs: 4000 }],
  ])("a connection %s is retired", async (_name, bounds) => {
    startClock();
    const wire = wireFor({ onStream: echoLength, bounds });
    await wire.send(opening());
    await pass(2900);
    expect(wire.told()).toEqual([]);
    await pass(3500);
    await served();
    expect(wire.told()).toEqual(["GOAWAY 2147483647 NO_ERROR", "PING tollgate", "GOAWAY 0 NO_ERROR"]);
    expect(wire.faults).toEqual([]);
    await pass(2000);
    expect(wire.engine.connections()).toBe(0);
  });
});

test("RFC 7541 4.2: a change of the table's size is told also by an answer that was prepared", async () => {
  const head = new PreparedFields(OK);
  const wire = wireFor({
    onStream: (stream) =>
      stream.receive(sink({ onLast: () => stream.answer({ head, body: Buffer.alloc(0) }) })),
  });
  await wire.send(
    opening(settings([Setting.HEADER_TABLE_SIZE, 0]), headers(1, GET, END), headers(3, GET, END)),
  );
  const blocks = wire.frames().filter((each) => each.type === FrameType.HEADERS);
  expect(blocks.map(({ payload }) => payload.toString("hex"))).toEqual(["2088", "88"]);
});

test("an answer's header list beyond a frame goes on in CONTINUATION frames", async () => {
  const value = "\u00ff".repeat(20_000);
  const wire = wireFor({
    onStream: (stream) =>
      stream.receive(
        sink({ onLast: () => stream.answer({ head: [...OK, "x", value], body: Buffer.alloc(0) }) }),
      ),
  });
  await wire.send(opening(headers(1, GET, END)));
  const sent = wire.frames().slice(3);
  expect(sent.map(({ type, flags, payload }) => [type, flags, payload.length <= 16_384])).toEqual([
    [FrameType.HEADERS, END, true],
    [FrameType.CONTINUATION, Flag.END_HEADERS, true],
  ]);
  expect(Buffer.concat(sent.map(({ payload }) => payload)).toString("latin1")).toContain(value);
});
