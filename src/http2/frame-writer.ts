import { type Fields, PreparedFields } from "./fields.ts";
import { DEFAULT_MAX_FRAME_BYTES, Flag, FrameType } from "./frames.ts";
import { HpackEncoder, maxEncodedBytes } from "./hpack-encoder.ts";
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

  /** HEADERS, with CONTINUATION where one frame does not hold them. */
  fields(streamId: number, { fields, isEnd }: { fields: Fields | PreparedFields; isEnd: boolean }): void {
    const endFlag = isEnd ? Flag.END_STREAM : 0;
    const isPrepared = fields instanceof PreparedFields;
    const most = isPrepared ? maxEncodedBytes([]) + fields.bytes.length : maxEncodedBytes(fields);
    if (most > DEFAULT_MAX_FRAME_BYTES && !isPrepared) {
      this.#longFields(streamId, { fields, most, endFlag });
      return;
    }
    const output = this.#output;
    const start = output.open(most);
    let end: number;
    if (isPrepared) {
      // RFC 7541 4.2: a change of the table's size is told by the first block after it, whatever that holds.
      const from = this.#encoder.encode([], output.bytes, start);
      output.bytes.set(fields.bytes, from);
      end = from + fields.bytes.length;
    } else end = this.#encoder.encode(fields, output.bytes, start);
    output.close(end, FrameType.HEADERS, Flag.END_HEADERS | endFlag, streamId);
    this.#onWritten();
  }

  #longFields(streamId: number, of: { fields: Fields; most: number; endFlag: number }): void {
    const block = Buffer.allocUnsafeSlow(of.most);
    const length = this.#encoder.encode(of.fields, block, 0);
    for (let at = 0; at < length || at === 0; at += DEFAULT_MAX_FRAME_BYTES) {
      const part = block.subarray(at, Math.min(length, at + DEFAULT_MAX_FRAME_BYTES));
      const endHeaders = at + part.length >= length ? Flag.END_HEADERS : 0;
      if (at === 0) this.#frame(FrameType.HEADERS, endHeaders | of.endFlag, streamId, part);
      else this.#frame(FrameType.CONTINUATION, endHeaders, streamId, part);
    }
  }

  /** DATA; `bytes` fit into one frame. */
  data(streamId: number, { bytes, isEnd }: { bytes: Uint8Array; isEnd: boolean }): void {
    this.#frame(FrameType.DATA, isEnd ? Flag.END_STREAM : 0, streamId, bytes);
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
    this.#output.bytes.set(payload, start);
    this.#output.close(start + payload.length, type, flags, streamId);
    this.#onWritten();
  }
}
