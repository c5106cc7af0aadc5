/** RFC 9113 6. */
export const FrameType = {
  DATA: 0x0,
  HEADERS: 0x1,
  RST_STREAM: 0x3,
  SETTINGS: 0x4,
  PUSH_PROMISE: 0x5,
  PING: 0x6,
  GOAWAY: 0x7,
  WINDOW_UPDATE: 0x8,
  CONTINUATION: 0x9,
};
export const Flag = { END_STREAM: 0x1, ACK: 0x1, END_HEADERS: 0x4, PADDED: 0x8, PRIORITY: 0x20 };
/** RFC 9113 6.5.2, with what holds until the peer says else. */
export const Setting = {
  HEADER_TABLE_SIZE: 0x1,
  ENABLE_PUSH: 0x2,
  MAX_CONCURRENT_STREAMS: 0x3,
  INITIAL_WINDOW_SIZE: 0x4,
};
export const defaultTableBytes = 4096;
export const defaultWindowBytes = 65_535;
export const defaultMaxFrameBytes = 16_384;
export const frameHeaderBytes = 9;
/** RFC 9113 3.4. */
export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** The payload stands in bytes[start, end). */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly start: number;
  readonly end: number;
}

/** RFC 9113 6.1 and 6.2. */
export function withoutPadding(bytes: Buffer, { flags, start, end }: Frame): { start: number; end: number } {
  if ((flags & Flag.PADDED) === 0) return { start, end };
  return { start: start + 1, end: end - (bytes[start] as number) };
}

/** The frame that begins at bytes[at]; undefined: it is not all there. */
export function frameAt(bytes: Buffer, at: number): Frame | undefined {
  const start = at + frameHeaderBytes;
  if (bytes.length < start) return undefined;
  const end = start + bytes.readUIntBE(at, 3);
  if (bytes.length < end) return undefined;
  const streamId = bytes.readUInt32BE(at + 5) & 0x7fffffff;
  return { type: bytes[at + 3] as number, flags: bytes[at + 4] as number, streamId, start, end };
}

/** Into out[at, …); answers where it ends. */
export function writeFrame(
  out: Buffer,
  at: number,
  frame: { type: number; flags: number; streamId: number; payload: Uint8Array },
): number {
  out.writeUIntBE(frame.payload.length, at, 3);
  out[at + 3] = frame.type;
  out[at + 4] = frame.flags;
  out.writeUInt32BE(frame.streamId, at + 5);
  out.set(frame.payload, at + frameHeaderBytes);
  return at + frameHeaderBytes + frame.payload.length;
}

/** Of the connection. */
function wholeFrame(type: number, payload: Uint8Array, flags = 0): Buffer {
  const out = Buffer.alloc(frameHeaderBytes + payload.length);
  writeFrame(out, 0, { type, flags, streamId: 0, payload });
  return out;
}

export function settingsFrame(settings: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(6 * settings.length);
  settings.forEach(([id, value], index) => {
    payload.writeUInt16BE(id, 6 * index);
    payload.writeUInt32BE(value, 6 * index + 2);
  });
  return wholeFrame(FrameType.SETTINGS, payload);
}

export const settingsAck = wholeFrame(FrameType.SETTINGS, Buffer.alloc(0), Flag.ACK);

export function pingAck(payload: Buffer): Buffer {
  return wholeFrame(FrameType.PING, payload, Flag.ACK);
}

export function windowUpdateFrame(bytes: number): Buffer {
  const payload = Buffer.alloc(4);
  payload.writeUInt32BE(bytes);
  return wholeFrame(FrameType.WINDOW_UPDATE, payload);
}
