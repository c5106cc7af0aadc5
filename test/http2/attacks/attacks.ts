import { DEFAULT_MAX_FRAME_BYTES, ErrorCode, Flag, FrameType, Setting } from "../../../src/http2/frames.ts";
import { ATTACKED_BOUNDS } from "./attacked-bounds.ts";
import type { RawClient } from "./raw-client.ts";
import {
  block,
  continuation,
  data,
  frame,
  goaway,
  HELLO,
  headers,
  helloWithWindow,
  insertion,
  lastData,
  ping,
  priority,
  request,
  requestTo,
  reset,
  SETTINGS_ACK,
  settings,
  windowUpdate,
} from "./raw-frames.ts";

export interface Attack {
  readonly name: string;
  /** Of the GOAWAY that ends the connection: RFC 9113 7. */
  readonly code: ErrorCode;
  /** The connection has ended when the server has read so many. */
  readonly mostFrames: number;
  readonly hello?: Uint8Array;
  /** Sends `mostFrames` at most. */
  run(client: RawClient): Promise<void>;
}

const RESETS = ATTACKED_BOUNDS.resets.burst;
const CONTROL_FRAMES = ATTACKED_BOUNDS.controlFrames.burst;
/** One allowance or the other is taken for each stream: a refused one is no reset. */
const FAULTY_STREAMS = RESETS + CONTROL_FRAMES;
/** Frames of one header block: MAX_CONTINUATIONS of connection.ts, and the first. */
const BLOCK_FRAMES = 65;
/** What an answer earns: EARNED_BY_ANSWER of connection.ts. */
const EARNED = 8;
const NO_BYTES = Buffer.alloc(0);
const ONE_BYTE = Buffer.from("x");
const FULL_FRAME = Buffer.alloc(DEFAULT_MAX_FRAME_BYTES);
const SLOW = requestTo("/slow");
const LENGTH = requestTo("/length");
const LARGE = requestTo("/large");

/** Ids of a client's streams: 1, 3 and so on. */
function idOf(index: number): number {
  return 1 + 2 * index;
}

/** So many times the same, as fast as the server takes it. */
function times(count: number, framesOf: (index: number) => readonly Uint8Array[]): Attack["run"] {
  return async (client) => {
    for (let index = 0; index < count && !client.isEnded; ) {
      const some: Uint8Array[] = [];
      for (const end = Math.min(count, index + 20); index < end; index++) some.push(...framesOf(index));
      await client.send(...some);
    }
  };
}

function thenTimes(
  first: readonly Uint8Array[],
  count: number,
  framesOf: (index: number) => readonly Uint8Array[],
): Attack["run"] {
  return async (client) => {
    await client.send(...first);
    await times(count, framesOf)(client);
  };
}

/** Each stream is opened, and a fault of its own makes the server reset it: CVE-2025-8671. */
function madeYouReset(name: string, framesOf: (streamId: number) => readonly Uint8Array[]): Attack {
  const each = framesOf(1).length;
  return {
    name: `MadeYouReset by ${name}`,
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: each * FAULTY_STREAMS,
    run: times(FAULTY_STREAMS, (index) => framesOf(idOf(index))),
  };
}

/** Frames that carry no request, of which only so many may come. */
function controlFlood(
  name: string,
  framesOf: (index: number) => readonly Uint8Array[],
  first: readonly Uint8Array[] = [],
): Attack {
  return {
    name: `a flood of ${name}`,
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: first.length + framesOf(0).length * (CONTROL_FRAMES + EARNED),
    run: thenTimes(first, CONTROL_FRAMES + EARNED, framesOf),
  };
}

/** What lies half sent until its time is over. */
function halfSent(name: string, ...pieces: readonly Uint8Array[]): Attack {
  return {
    name: `${name} that does not go on`,
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: pieces.length,
    run: (client) => client.send(...pieces),
  };
}

/** A single fault that is the whole connection's. */
function fatal(name: string, code: ErrorCode, ...frames: readonly Uint8Array[]): Attack {
  return { name, code, mostFrames: frames.length, run: (client) => client.send(...frames) };
}

const PREFACE_AND_SETTINGS = HELLO.subarray(0, HELLO.length - SETTINGS_ACK.length);

/** Each ends its connection. */
export const attacks: readonly Attack[] = [
  {
    name: "rapid reset: CVE-2023-44487",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: 3 * (RESETS + 1),
    run: times(RESETS + 1, (index) => [
      headers(idOf(index), SLOW),
      lastData(idOf(index), ONE_BYTE),
      reset(idOf(index)),
    ]),
  },
  {
    name: "resets of requests that are not whole",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: 2 * (RESETS + 1),
    run: times(RESETS + 1, (index) => [headers(idOf(index), SLOW), reset(idOf(index))]),
  },
  {
    name: "resets of one stream again and again",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: 1 + RESETS + 1,
    run: thenTimes([headers(1, SLOW)], RESETS + 1, () => [reset(1)]),
  },
  madeYouReset("a window update of 0", (id) => [headers(id, SLOW), windowUpdate(id, 0)]),
  madeYouReset("a window above its bound", (id) => [headers(id, SLOW), windowUpdate(id, 2 ** 31 - 1)]),
  madeYouReset("a stream that depends on itself", (id) => [headers(id, SLOW), priority(id, id)]),
  madeYouReset("a PRIORITY of four bytes", (id) => [
    headers(id, SLOW),
    frame({ type: FrameType.PRIORITY, streamId: id, payload: Buffer.alloc(4) }),
  ]),
  madeYouReset("DATA after the end of a stream", (id) => [
    request(id, SLOW),
    data(id, FULL_FRAME.subarray(0, 300)),
  ]),
  madeYouReset("HEADERS after the end of a stream", (id) => [request(id, SLOW), request(id, block())]),
  madeYouReset("a body longer than its content-length", (id) => [
    headers(id, requestTo("/slow", "content-length", "2")),
    lastData(id, Buffer.from("abc")),
  ]),
  madeYouReset("a body shorter than its content-length", (id) => [
    headers(id, requestTo("/slow", "content-length", "2")),
    lastData(id, ONE_BYTE),
  ]),
  madeYouReset("DATA beyond a stream's window", (id) => [
    headers(id, requestTo("/node")),
    // The handler does not read: what is sent stays.
    ...Array.from({ length: 5 }, () => data(id, FULL_FRAME)),
  ]),
  madeYouReset("HEADERS in the middle of a body", (id) => [headers(id, SLOW), headers(id, block())]),
  madeYouReset("a field name in upper case", (id) => [request(id, requestTo("/slow", "X-Upper", "1"))]),
  madeYouReset("a header list without a path", (id) => [
    request(id, block(":method", "GET", ":scheme", "http")),
  ]),
  {
    name: "streams above the most at once, as fast as it goes",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: ATTACKED_BOUNDS.maxConcurrentStreams + CONTROL_FRAMES,
    run: times(ATTACKED_BOUNDS.maxConcurrentStreams + CONTROL_FRAMES, (index) => [
      headers(idOf(index), SLOW),
    ]),
  },
  {
    name: "a header block without end, in empty frames: CVE-2024-27316",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: BLOCK_FRAMES,
    run: thenTimes([headers(1, NO_BYTES, { flags: 0 })], BLOCK_FRAMES - 1, () => [continuation(1, NO_BYTES)]),
  },
  {
    name: "a header block without end, in full frames",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: 5,
    run: thenTimes([headers(1, SLOW, { flags: 0 })], 4, () => [
      continuation(1, block("x", "y".repeat(DEFAULT_MAX_FRAME_BYTES - 10))),
    ]),
  },
  controlFlood("header blocks in many frames", (index) => [
    headers(idOf(index), NO_BYTES, { flags: Flag.END_STREAM }),
    continuation(idOf(index), requestTo("/slow"), { flags: Flag.END_HEADERS }),
    reset(idOf(index)),
  ]),
  controlFlood("SETTINGS", () => [settings()]),
  controlFlood("acknowledgements of SETTINGS", () => [SETTINGS_ACK]),
  controlFlood("PING", () => [ping("x")]),
  controlFlood("PING that are answers to nothing", () => [
    frame({ type: FrameType.PING, flags: Flag.ACK, payload: Buffer.alloc(8) }),
  ]),
  controlFlood("PRIORITY", (index) => [priority(idOf(index), 0)]),
  controlFlood("WINDOW_UPDATE of the connection", () => [windowUpdate(0, 1)]),
  controlFlood("WINDOW_UPDATE of a stream that is closed", () => [windowUpdate(1, 1)], [request(1, LENGTH)]),
  controlFlood("frames of an unknown type", () => [frame({ type: 0x55, payload: Buffer.alloc(100) })]),
  controlFlood("empty DATA", () => [data(1, NO_BYTES)], [headers(1, LENGTH)]),
  controlFlood("DATA of one byte", () => [data(1, ONE_BYTE)], [headers(1, LENGTH)]),
  controlFlood(
    "DATA of padding",
    () => [data(1, Buffer.from([255, ...Buffer.alloc(255)]), { flags: Flag.PADDED })],
    [headers(1, LENGTH)],
  ),
  controlFlood("DATA on a stream that the server has reset", () => [data(1, FULL_FRAME)], [
    headers(1, LENGTH),
    windowUpdate(1, 0),
  ]),
  controlFlood("HEADERS on a stream that the server has reset", () => [request(1, LENGTH)], [
    headers(1, LENGTH),
    windowUpdate(1, 0),
  ]),
  {
    name: "DATA on a stream that was answered",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: 2 + CONTROL_FRAMES + EARNED,
    run: thenTimes([request(1, LENGTH), data(1, ONE_BYTE)], CONTROL_FRAMES + EARNED, () => [
      data(1, FULL_FRAME),
    ]),
  },
  {
    name: "one SETTINGS frame of 2,700 settings",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: 1,
    run: (client) =>
      client.send(settings(...Array.from({ length: 2700 }, (_, index) => [0x4, index % 2] as const))),
  },
  {
    name: "windows that grow by one byte for each of many answers",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    hello: helloWithWindow(0),
    // Of the hundred streams each counts.
    mostFrames: 100 + CONTROL_FRAMES / 100 + 1,
    run: thenTimes(
      Array.from({ length: 100 }, (_, index) => request(idOf(index), LARGE)),
      CONTROL_FRAMES / 100 + 1,
      (index) => [settings([Setting.INITIAL_WINDOW_SIZE, index + 1])],
    ),
  },
  {
    name: "a window that grows by one byte at a time",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    hello: helloWithWindow(0),
    mostFrames: 1 + CONTROL_FRAMES,
    run: thenTimes([request(1, LARGE)], CONTROL_FRAMES, () => [windowUpdate(1, 1)]),
  },
  halfSent("a header block", headers(1, SLOW, { flags: 0 })),
  halfSent("a frame's header", ping("x").subarray(0, 5)),
  halfSent("a frame", data(1, FULL_FRAME).subarray(0, 100)),
  {
    name: "a header block that goes on byte by byte",
    code: ErrorCode.ENHANCE_YOUR_CALM,
    mostFrames: BLOCK_FRAMES,
    async run(client) {
      await client.send(headers(1, NO_BYTES, { flags: 0 }));
      for (let sent = 1; sent < BLOCK_FRAMES && !client.isEnded; sent++) {
        await client.send(continuation(1, ONE_BYTE));
        await Promise.race([client.ended, new Promise((resolve) => setTimeout(resolve, 50))]);
      }
    },
  },
  {
    name: "SETTINGS that are never acknowledged",
    code: ErrorCode.SETTINGS_TIMEOUT,
    hello: PREFACE_AND_SETTINGS,
    mostFrames: 0,
    run: async () => {},
  },
  {
    name: "the preface and nothing else",
    code: ErrorCode.SETTINGS_TIMEOUT,
    hello: HELLO.subarray(0, 24),
    mostFrames: 0,
    run: async () => {},
  },
  fatal("DATA beyond the connection's window", ErrorCode.FLOW_CONTROL_ERROR, ...beyondTheConnectionsWindow()),
  fatal("a connection's window above its bound", ErrorCode.FLOW_CONTROL_ERROR, windowUpdate(0, 2 ** 31 - 1)),
  fatal(
    "a PRIORITY of four bytes on an idle stream",
    ErrorCode.FRAME_SIZE_ERROR,
    frame({ type: FrameType.PRIORITY, streamId: 5, payload: Buffer.alloc(4) }),
  ),
  fatal("an idle stream that depends on itself", ErrorCode.PROTOCOL_ERROR, priority(5, 5)),
  fatal("a reset of an idle stream", ErrorCode.PROTOCOL_ERROR, reset(5)),
  fatal(
    "a stream that was passed over",
    ErrorCode.PROTOCOL_ERROR,
    request(2001, LENGTH),
    request(999, LENGTH),
  ),
  fatal("a frame above 16,384 bytes", ErrorCode.FRAME_SIZE_ERROR, data(1, Buffer.alloc(16_385))),
  fatal(
    "a table size above the one that was announced",
    ErrorCode.COMPRESSION_ERROR,
    request(1, Buffer.from([0x3f, 0xe2, 0x1f])),
  ),
  fatal("requests after a GOAWAY", ErrorCode.NO_ERROR, goaway(0), request(1, LENGTH), request(3, LENGTH)),
  fatal(
    "a second value in a header table that is none's",
    ErrorCode.COMPRESSION_ERROR,
    request(1, Buffer.concat([LENGTH, insertion("a", "b"), Buffer.from([0xbf])])),
  ),
];

/** More streams than their windows in all may be filled; none of the bodies is read. */
function beyondTheConnectionsWindow(): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let index = 0; index < 17; index++) {
    frames.push(headers(idOf(index), requestTo("/node")));
    for (let part = 0; part < 3; part++) frames.push(data(idOf(index), FULL_FRAME));
    frames.push(data(idOf(index), FULL_FRAME.subarray(0, 16_383)));
  }
  return frames;
}
