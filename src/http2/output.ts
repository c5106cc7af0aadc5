import { FRAME_HEADER_BYTES } from "./frames.ts";

const FIRST_BYTES = 4096;
const MOST_KEPT_BYTES = 65_536;

/** Frames of one connection that are to be written together. */
export class Output {
  /** Valid until there is more room to make. */
  bytes: Buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Makes room for a frame and answers where its payload begins; nothing is there before `close`. */
  open(mostPayloadBytes: number): number {
    const start = this.#length + FRAME_HEADER_BYTES;
    const end = start + mostPayloadBytes;
    if (end > this.bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(end, this.bytes.length * 2));
      this.bytes.copy(grown, 0, 0, this.#length);
      this.bytes = grown;
    }
    return start;
  }

  /** The frame whose payload was written from where `open` said, up to `end`. */
  close(end: number, type: number, flags: number, streamId: number): void {
    const { bytes } = this;
    const start = this.#length;
    const payloadBytes = end - start - FRAME_HEADER_BYTES;
    bytes[start] = payloadBytes >>> 16;
    bytes[start + 1] = payloadBytes >>> 8;
    bytes[start + 2] = payloadBytes;
    bytes[start + 3] = type;
    bytes[start + 4] = flags;
    bytes[start + 5] = streamId >>> 24;
    bytes[start + 6] = streamId >>> 16;
    bytes[start + 7] = streamId >>> 8;
    bytes[start + 8] = streamId;
    this.#length = end;
  }

  /** All frames, in bytes of their own; nothing is left. */
  take(): Buffer {
    const taken = Buffer.from(this.bytes.subarray(0, this.#length));
    this.#length = 0;
    // Of one large answer; otherwise each connection would keep what its largest took.
    if (this.bytes.length > MOST_KEPT_BYTES) this.bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
    return taken;
  }
}
