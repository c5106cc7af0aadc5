import { MAX_WINDOW_BYTES } from "./frames.ts";

/** What we may send, on a stream or a connection: RFC 9113 6.9. Below 0 after the peer has lowered it. */
export class SendWindow {
  available: number;

  constructor(bytes: number) {
    this.available = bytes;
  }

  /** False: more than RFC 9113 6.9.1 allows. */
  grow(bytes: number): boolean {
    this.available += bytes;
    return this.available <= MAX_WINDOW_BYTES;
  }
}

/** What the peer may still send to us. It is given back as it is consumed, half a window at a time. */
export class ReceiveWindow {
  readonly #size: number;
  #available: number;
  #consumed = 0;

  constructor(bytes: number) {
    this.#size = bytes;
    this.#available = bytes;
  }

  /** False: the peer has sent more than it may. */
  take(bytes: number): boolean {
    this.#available -= bytes;
    return this.#available >= 0;
  }

  /** Answers the increment to tell the peer now; 0: none yet. */
  consume(bytes: number): number {
    this.#consumed += bytes;
    if (this.#consumed * 2 < this.#size) return 0;
    const increment = this.#consumed;
    this.#available += increment;
    this.#consumed = 0;
    return increment;
  }
}
