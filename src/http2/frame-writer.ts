import { type Fields, PreparedFields } from "./fields.ts";
import { DEFAULT_MAX_FRAME_BYTES, Flag, FrameType } from "./frames.ts";
import { HpackEncoder, MAX_SIZE_UPDATES_BYTES, maxEncodedBytes } from "./hpack-encoder.ts";
import { Output } from "./output.ts";

/** Frames of one connection, gathered until they are taken to be written together: RFC 9113 6. */
export class FrameWriter {
  readonly #output = new Output();
  readonly #encoder = new HpackEncoder();
  readonly #onWritten: () => void;

  /** `onWritten` is told after each frame. */
  constructor(onWritten: () => void) {
    this.#onWritten = onWritten;
  }

  /** Bytes that were not taken. */
  get length(): number {
    return this.#output.length;
  }

  /** All frames; nothing is left. */
  take(): Buffer {
    return this.#output.take();
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  setMaxTableBytes(bytes: number): void {
    this.#encoder.setMaxTableBytes(bytes);
  }

  /** HEADERS, with CONTINUATION where one frame does not hold them. `flags`: END_STREAM, or none. */
  fields(streamId: number, flags: number, fields: Fields | PreparedFields): void {
    const isPrepared = fields instanceof PreparedFields;
    const most = isPrepared ? MAX_SIZE_UPDATES_BYTES + fields.bytes.length : maxEncodedBytes(fields);
    if (most > DEFAULT_MAX_FRAME_BYTES && !isPrepared) {
      this.#longFields(streamId, flags, fields);
      return;
    }
    const output = this.#output;
    const start = output.open(most);
    const end = isPrepared
      ? copyBytes(fields.bytes, output.bytes, this.#encoder.encodeSizeUpdates(output.bytes, start))
      : this.#encoder.encode(fields, output.bytes, start);
    output.close(end, FrameType.HEADERS, Flag.END_HEADERS | flags, streamId);
    this.#onWritten();
  }

  #longFields(streamId: number, flags: number, fields: Fields): void {
    const block = Buffer.allocUnsafeSlow(maxEncodedBytes(fields));
    const length = this.#encoder.encode(fields, block, 0);
    for (let at = 0; at < length || at === 0; at += DEFAULT_MAX_FRAME_BYTES) {
      const part = block.subarray(at, Math.min(length, at + DEFAULT_MAX_FRAME_BYTES));
      const endHeaders = at + part.length >= length ? Flag.END_HEADERS : 0;
      if (at === 0) this.#frame(FrameType.HEADERS, endHeaders | flags, streamId, part);
      else this.#frame(FrameType.CONTINUATION, endHeaders, streamId, part);
    }
  }

  /** DATA; `bytes` fit into one frame. `flags`: END_STREAM, or none. */
  data(streamId: number, flags: number, bytes: Uint8Array): void {
    this.#frame(FrameType.DATA, flags, streamId, bytes);
  }

  resetStream(streamId: number, code: number): void {
    this.#number(FrameType.RST_STREAM, streamId, code);
  }

  /** Of the connection where `streamId` is 0. */
  windowUpdate(streamId: number, increment: number): void {
    this.#number(FrameType.WINDOW_UPDATE, streamId, increment);
  }

  settings(settings: readonly (readonly [setting: number, value: number])[]): void {
    let at = this.#output.open(6 * settings.length);
    for (const [setting, value] of settings) {
      this.#output.bytes.writeUInt16BE(setting, at);
      this.#output.bytes.writeUInt32BE(value, at + 2);
      at += 6;
    }
    this.#output.close(at, FrameType.SETTINGS, 0, 0);
    this.#onWritten();
  }

  settingsAcknowledgement(): void {
    this.#output.close(this.#output.open(0), FrameType.SETTINGS, Flag.ACK, 0);
    this.#onWritten();
  }

  /** Eight bytes. */
  ping(bytes: Uint8Array): void {
    this.#frame(FrameType.PING, 0, 0, bytes);
  }

  pingAcknowledgement(bytes: Uint8Array): void {
    this.#frame(FrameType.PING, Flag.ACK, 0, bytes);
  }

  goaway(lastStreamId: number, code: number): void {
    const start = this.#output.open(8);
    this.#output.bytes.writeUInt32BE(lastStreamId, start);
    this.#output.bytes.writeUInt32BE(code, start + 4);
    this.#output.close(start + 8, FrameType.GOAWAY, 0, 0);
    this.#onWritten();
  }

  #number(type: number, streamId: number, value: number): void {
    const start = this.#output.open(4);
    this.#output.bytes.writeUInt32BE(value, start);
    this.#output.close(start + 4, type, 0, streamId);
    this.#onWritten();
  }

  #frame(type: number, flags: number, streamId: number, payload: Uint8Array): void {
    const start = this.#output.open(payload.length);
    this.#output.close(copyBytes(payload, this.#output.bytes, start), type, flags, streamId);
    this.#onWritten();
  }
}

/** Answers the offset after them. */
function copyBytes(bytes: Uint8Array, out: Buffer, offset: number): number {
  out.set(bytes, offset);
  return offset + bytes.length;
}
