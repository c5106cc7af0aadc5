import { ConnectionError, ErrorCode } from "./frames.ts";

/** Frames of one header block. */
const MAX_CONTINUATIONS = 64;

export interface OpenHeaderBlockOptions {
  readonly streamId: number;
  /** Of its first frame. */
  readonly flags: number;
  readonly sinceMs: number;
  /** Of all its frames. */
  readonly maxBytes: number;
}

/** A header block whose last frame has not come: RFC 9113 4.3 and 6.10. */
export class OpenHeaderBlock {
  readonly streamId: number;
  readonly flags: number;
  readonly sinceMs: number;
  readonly #maxBytes: number;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  constructor(options: OpenHeaderBlockOptions) {
    this.streamId = options.streamId;
    this.flags = options.flags;
    this.sinceMs = options.sinceMs;
    this.#maxBytes = options.maxBytes;
  }

  add(bytes: Buffer, start: number, end: number): void {
    this.#parts.push(Buffer.from(bytes.subarray(start, end)));
    this.#bytes += end - start;
    if (this.#parts.length > MAX_CONTINUATIONS || this.#bytes > this.#maxBytes) {
      throw new ConnectionError(ErrorCode.ENHANCE_YOUR_CALM, "a header block without end");
    }
  }

  /** All frames' parts, in one piece. */
  joined(): Buffer {
    return Buffer.concat(this.#parts);
  }
}
