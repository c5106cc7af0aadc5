import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE, Setting } from "../../../src/http2/frames.ts";

const NO_BYTES = Buffer.alloc(0);

export interface RawFrame {
  readonly type: number;
  readonly flags?: number;
  readonly streamId?: number;
  readonly payload?: Uint8Array;
}

/** A frame as RFC 9113 4.1 lays it out, whatever its parts are. */
export function frame({ type, flags = 0, streamId = 0, payload = NO_BYTES }: RawFrame): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(streamId, 5);
  bytes.set(payload, FRAME_HEADER_BYTES);
  return bytes;
}

/** Pairs of a setting and its value. */
export function settings(...pairs: readonly (readonly [setting: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * pairs.length);
  for (const [index, [setting, value]] of pairs.entries()) {
    payload.writeUInt16BE(setting, 6 * index);
    payload.writeUInt32BE(value, 6 * index + 2);
  }
  return frame({ type: FrameType.SETTINGS, payload });
}

export const SETTINGS_ACK = frame({ type: FrameType.SETTINGS, flags: Flag.ACK });

/** A window for all answers together that is never in the way. */
const WIDE_CONNECTION = windowUpdate(0, 2 ** 30);

/** What a client sends that acknowledges settings before it has seen them, which are the first frame it will get. */
export const HELLO = Buffer.concat([PREFACE, settings(), WIDE_CONNECTION, SETTINGS_ACK]);

/** Frames of it that carry no request. */
export const HELLO_FRAMES = 3;

/** The same, with windows for answers of so many bytes. */
export function helloWithWindow(bytes: number): Buffer {
  const window = settings([Setting.INITIAL_WINDOW_SIZE, bytes]);
  return Buffer.concat([PREFACE, window, WIDE_CONNECTION, SETTINGS_ACK]);
}

export function headers(
  streamId: number,
  block: Uint8Array,
  { flags }: { readonly flags: number } = { flags: Flag.END_HEADERS },
): Buffer {
  return frame({ type: FrameType.HEADERS, flags, streamId, payload: block });
}

/** A whole request without a body. */
export function request(streamId: number, block: Uint8Array): Buffer {
  return headers(streamId, block, { flags: Flag.END_HEADERS | Flag.END_STREAM });
}

export function data(streamId: number, payload: Uint8Array, { flags = 0 } = {}): Buffer {
  return frame({ type: FrameType.DATA, flags, streamId, payload });
}

export function lastData(streamId: number, payload: Uint8Array): Buffer {
  return data(streamId, payload, { flags: Flag.END_STREAM });
}

export function continuation(streamId: number, block: Uint8Array, { flags = 0 } = {}): Buffer {
  return frame({ type: FrameType.CONTINUATION, flags, streamId, payload: block });
}

export function reset(streamId: number): Buffer {
  return frame({ type: FrameType.RST_STREAM, streamId, payload: uint32(8) });
}

export function windowUpdate(streamId: number, increment: number): Buffer {
  return frame({ type: FrameType.WINDOW_UPDATE, streamId, payload: uint32(increment) });
}

/** PRIORITY, as RFC 7540 5.3 had it. */
export function priority(streamId: number, dependsOn: number): Buffer {
  const payload = Buffer.concat([uint32(dependsOn), Buffer.from([15])]);
  return frame({ type: FrameType.PRIORITY, streamId, payload });
}

export function ping(text: string): Buffer {
  return frame({ type: FrameType.PING, payload: Buffer.from(text.padEnd(8).slice(0, 8)) });
}

export function goaway(lastStreamId: number): Buffer {
  return frame({ type: FrameType.GOAWAY, payload: Buffer.concat([uint32(lastStreamId), uint32(0)]) });
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A header block of literals that no table gets: RFC 7541 6.2.2. Names and values in turn, latin1, as they are. */
export function block(...fields: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  for (const [index, text] of fields.entries()) {
    if (index % 2 === 0) parts.push(Buffer.from([0]));
    parts.push(plainString(text));
  }
  return Buffer.concat(parts);
}

/** A literal that the table gets: RFC 7541 6.2.1. */
export function insertion(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), plainString(name), plainString(value)]);
}

/** RFC 7541 5.2, without Huffman coding. */
function plainString(text: string): Buffer {
  const bytes = Buffer.from(text, "latin1");
  const length: number[] = [];
  if (bytes.length < 0x7f) length.push(bytes.length);
  else {
    length.push(0x7f);
    let rest = bytes.length - 0x7f;
    for (; rest >= 0x80; rest >>>= 7) length.push((rest & 0x7f) | 0x80);
    length.push(rest);
  }
  return Buffer.concat([Buffer.from(length), bytes]);
}

/** The header block of a request to a path of the server that is attacked. */
export function requestTo(path: string, ...more: readonly string[]): Buffer {
  return block(":method", "POST", ":scheme", "http", ":path", path, ":authority", "attacked", ...more);
}
