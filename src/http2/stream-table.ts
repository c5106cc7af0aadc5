import type { StreamState } from "./stream.ts";

const FIRST_SLOTS = 64;

function emptySlots(count: number): (StreamState | undefined)[] {
  return Array.from({ length: count }, () => undefined);
}

/**
 * The open streams of a connection, by id. Ids of clients grow by two, so each mostly has a slot of its own; those that
 * share one are chained. A `Map` that streams come to and leave all the time makes new tables for ever, and V8
 * keeps what the old ones held through the next collections: it cost as much as the rest of the engine.
 */
export class StreamTable {
  #slots = emptySlots(FIRST_SLOTS);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(id: number): StreamState | undefined {
    let stream = this.#slots[this.#slotOf(id)];
    while (stream !== undefined && stream.id !== id) stream = stream.nextInSlot;
    return stream;
  }

  /** Of an id that is not in it. */
  add(stream: StreamState): void {
    if (this.#size === this.#slots.length) this.#grow();
    this.#put(stream);
    this.#size++;
  }

  /** Answers whether it was in it. */
  delete(stream: StreamState): boolean {
    const slot = this.#slotOf(stream.id);
    let before: StreamState | undefined;
    let found = this.#slots[slot];
    while (found !== undefined && found !== stream) {
      before = found;
      found = found.nextInSlot;
    }
    if (found === undefined) return false;
    if (before === undefined) this.#slots[slot] = stream.nextInSlot;
    else before.nextInSlot = stream.nextInSlot;
    stream.nextInSlot = undefined;
    this.#size--;
    return true;
  }

  /** Those of now. */
  all(): StreamState[] {
    const all: StreamState[] = [];
    for (const first of this.#slots) {
      for (let stream = first; stream !== undefined; stream = stream.nextInSlot) all.push(stream);
    }
    return all.sort((a, b) => a.id - b.id);
  }

  #slotOf(id: number): number {
    return (id >>> 1) & (this.#slots.length - 1);
  }

  #put(stream: StreamState): void {
    const slot = this.#slotOf(stream.id);
    stream.nextInSlot = this.#slots[slot];
    this.#slots[slot] = stream;
  }

  #grow(): void {
    const streams = this.all();
    this.#slots = emptySlots(this.#slots.length * 2);
    for (const stream of streams) this.#put(stream);
  }
}
