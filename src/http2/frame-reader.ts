import {
  ConnectionError,
  DEFAULT_MAX_FRAME_BYTES,
  ErrorCode,
  FRAME_HEADER_BYTES,
  MAX_STREAM_ID,
  PREFACE,
} from "./frames.ts";

/** A frame without its type's meaning: RFC 9113 4.1. `start` and `end` are its payload's, within what was read. */
interface FrameAtHand {
  type: number;
  flags: number;
  streamId: number;
  bytes: Buffer;
  start: number;
  end: number;
}

export type Frame = Readonly<FrameAtHand>;

export interface FrameReaderOptions {
  /** The next frame comes in the same object. */
  onFrame(frame: Frame): void;
  /** Nothing more is to be read. */
  isOver(): boolean;
  readonly clock: { readonly nowMs: number };
}

const NO_BYTES = Buffer.alloc(0);

/** Cuts what a client sends, from the preface on, into frames, in place where they are whole. */
export class FrameReader {
  readonly #options: FrameReaderOptions;
  readonly #frame: FrameAtHand = { type: 0, flags: 0, streamId: 0, bytes: NO_BYTES, start: 0, end: 0 };
  #prefaceLeft = PREFACE.length;
  /** A frame that was not whole in what was read. */
  #partial: Buffer = NO_BYTES;
  #partialLength = 0;
  #partialSinceMs = 0;

  constructor(options: FrameReaderOptions) {
    this.#options = options;
  }

  /** Since when a frame has begun that is not whole; undefined: none has. */
  get waitingSinceMs(): number | undefined {
    return this.#partialLength > 0 ? this.#partialSinceMs : undefined;
  }

  /** Throws ConnectionErrors: no preface, a frame that is too long, and what `onFrame` throws. */
  read(chunk: Buffer): void {
    const { isOver } = this.#options;
    let offset = this.#prefaceLeft > 0 ? this.#readPreface(chunk) : 0;
    if (this.#partialLength > 0) offset = this.#completePartial(chunk, offset);
    while (chunk.length - offset >= FRAME_HEADER_BYTES && !isOver()) {
      const end = offset + FRAME_HEADER_BYTES + lengthOf(chunk, offset);
      if (end > chunk.length) break;
      this.#hand(chunk, offset, end);
      offset = end;
    }
    // What was read is not to be kept until there is more.
    this.#frame.bytes = NO_BYTES;
    if (offset < chunk.length && !isOver()) this.#keepPartial(chunk, offset);
  }

  #readPreface(chunk: Buffer): number {
    const at = PREFACE.length - this.#prefaceLeft;
    const length = Math.min(this.#prefaceLeft, chunk.length);
    if (PREFACE.compare(chunk, 0, length, at, at + length) !== 0) {
      throw new ConnectionError(ErrorCode.PROTOCOL_ERROR, "no preface");
    }
    this.#prefaceLeft -= length;
    return length;
  }

  #keepPartial(chunk: Buffer, from: number): void {
    const length = chunk.length - from;
    const whole =
      length < FRAME_HEADER_BYTES ? FRAME_HEADER_BYTES : FRAME_HEADER_BYTES + lengthOf(chunk, from);
    this.#partial = Buffer.allocUnsafeSlow(whole);
    this.#partialLength = chunk.copy(this.#partial, 0, from);
    this.#partialSinceMs = this.#options.clock.nowMs;
  }

  /** Adds to the frame that was not whole; answers how far the chunk was used for it. */
  #completePartial(chunk: Buffer, from: number): number {
    let offset = from;
    for (;;) {
      const missing = this.#partial.length - this.#partialLength;
      const copied = chunk.copy(this.#partial, this.#partialLength, offset, offset + missing);
      offset += copied;
      this.#partialLength += copied;
      if (this.#partialLength < this.#partial.length) return offset;
      const whole = FRAME_HEADER_BYTES + lengthOf(this.#partial, 0);
      if (whole === this.#partial.length) break;
      const header = this.#partial;
      this.#partial = Buffer.allocUnsafeSlow(whole);
      header.copy(this.#partial);
    }
    const frame = this.#partial;
    this.#partial = NO_BYTES;
    this.#partialLength = 0;
    this.#hand(frame, 0, frame.length);
    return offset;
  }

  #hand(bytes: Buffer, start: number, end: number): void {
    const frame = this.#frame;
    frame.type = bytes[start + 3] as number;
    frame.flags = bytes[start + 4] as number;
    frame.streamId = bytes.readUInt32BE(start + 5) & MAX_STREAM_ID;
    frame.bytes = bytes;
    frame.start = start + FRAME_HEADER_BYTES;
    frame.end = end;
    this.#options.onFrame(frame);
  }
}

/** A frame's payload length. */
function lengthOf(bytes: Buffer, offset: number): number {
  const length =
    ((bytes[offset] as number) << 16) | ((bytes[offset + 1] as number) << 8) | (bytes[offset + 2] as number);
  if (length > DEFAULT_MAX_FRAME_BYTES) {
    throw new ConnectionError(ErrorCode.FRAME_SIZE_ERROR, "a frame above 16,384 bytes");
  }
  return length;
}
