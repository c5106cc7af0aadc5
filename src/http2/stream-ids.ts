/** Gaps between ids, and resets of ours whose frames may still be on their way. */
const REMEMBERED = 1000;

/** What has become of the ids that a client opens streams with, each above the last: RFC 9113 5.1 and 5.1.1. */
export class StreamIds {
  /** The highest that was opened; 0: none was. */
  last = 0;
  /** Ids that were passed over, and so never were streams: the first of each gap, and the id that ended it. */
  readonly #gaps: Gap[] = [];
  /** Streams that we have reset: what their client had sent before it knew is nothing. */
  readonly #resetByUs = new Set<number>();

  /** `id` is odd, and above `last`. */
  open(id: number): void {
    const first = this.last === 0 ? 1 : this.last + 2;
    if (first < id && this.#gaps.push({ first, end: id }) > REMEMBERED) this.#gaps.shift();
    this.last = id;
  }

  /** It may still become a stream, or is not a client's to open. */
  isIdle(id: number): boolean {
    return id > this.last || id % 2 === 0;
  }

  /** It never was a stream, and is none any more. Known of the latest only. */
  isPassedOver(id: number): boolean {
    return this.#gaps.some(({ first, end }) => id >= first && id < end);
  }

  noteReset(id: number): void {
    this.#resetByUs.add(id);
    if (this.#resetByUs.size <= REMEMBERED) return;
    const [oldest] = this.#resetByUs;
    this.#resetByUs.delete(oldest as number);
  }

  /** Known of the latest only. */
  isResetByUs(id: number): boolean {
    return this.#resetByUs.has(id);
  }
}

interface Gap {
  readonly first: number;
  readonly end: number;
}
