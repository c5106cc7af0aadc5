import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE } from "../../../src/http2/frames.ts";
import { HpackEncoder, maxEncodedBytes } from "../../../src/http2/hpack-encoder.ts";

/** As it is on the wire: RFC 9113 4.1. */
export interface RawFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

const NO_BYTES = Buffer.alloc(0);

export function frame(
  type: number,
  { flags = 0, streamId = 0, payload = NO_BYTES }: Partial<Omit<RawFrame, "type">>,
): RawFrame {
  return { type, flags, streamId, payload };
}

export function frameBytes({ type, flags, streamId, payload }: RawFrame): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes.writeUInt8(type, 3);
  bytes.writeUInt8(flags, 4);
  bytes.writeUInt32BE(streamId, 5);
  payload.copy(bytes, FRAME_HEADER_BYTES);
  return bytes;
}

/** All whole frames, and how many bytes they take. */
export function framesIn(bytes: Buffer): { readonly frames: RawFrame[]; readonly end: number } {
  const frames: RawFrame[] = [];
  let at = 0;
  while (bytes.length - at >= FRAME_HEADER_BYTES) {
    const end = at + FRAME_HEADER_BYTES + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    frames.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      streamId: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + FRAME_HEADER_BYTES, end),
    });
    at = end;
  }
  return { frames, end: at };
}

/** A header block that needs no table. */
export function block(fields: readonly string[]): Buffer {
  const encoder = new HpackEncoder();
  encoder.setMaxTableBytes(0);
  const bytes = Buffer.alloc(maxEncodedBytes(fields) + 8);
  const updateEnd = encoder.encode([], bytes, 0);
  return bytes.subarray(updateEnd, encoder.encode(fields, bytes, updateEnd));
}

/** With its padding, where there is some to be: RFC 9113 6.1. */
export function padded(payload: Buffer, paddingBytes: number): Buffer {
  return Buffer.concat([Buffer.from([paddingBytes]), payload, Buffer.alloc(paddingBytes)]);
}

export function settings(...entries: readonly (readonly [setting: number, value: number])[]): RawFrame {
  const payload = Buffer.alloc(6 * entries.length);
  entries.forEach(([setting, value], index) => {
    payload.writeUInt16BE(setting, 6 * index);
    payload.writeUInt32BE(value, 6 * index + 2);
  });
  return frame(FrameType.SETTINGS, { payload });
}

export const settingsAck = frame(FrameType.SETTINGS, { flags: Flag.ACK });

/** A whole header block; flags on top of END_HEADERS. */
export function headers(streamId: number, fields: readonly string[], flags = 0): RawFrame {
  return frame(FrameType.HEADERS, { streamId, flags: Flag.END_HEADERS | flags, payload: block(fields) });
}

export function data(streamId: number, payload: Buffer | string, flags = 0): RawFrame {
  return frame(FrameType.DATA, { streamId, flags, payload: Buffer.from(payload as string) });
}

export function windowUpdate(streamId: number, increment: number): RawFrame {
  return frame(FrameType.WINDOW_UPDATE, { streamId, payload: uint32(increment) });
}

export function rstStream(streamId: number, code: number): RawFrame {
  return frame(FrameType.RST_STREAM, { streamId, payload: uint32(code) });
}

export function ping(text: string, flags = 0): RawFrame {
  return frame(FrameType.PING, { flags, payload: Buffer.from(text.padEnd(8).slice(0, 8)) });
}

export function goaway(lastStreamId: number, code: number): RawFrame {
  return frame(FrameType.GOAWAY, { payload: Buffer.concat([uint32(lastStreamId), uint32(code)]) });
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** What a client begins with. */
export function opening(...frames: readonly RawFrame[]): Buffer {
  return Buffer.concat([PREFACE, ...[settings(), settingsAck, ...frames].map(frameBytes)]);
}
