/** Entries that are passed over for one that is dropped: so that no look-up ever waits until all were. */
const MAX_PASSED_OVER = 32;

/** What a map knows of an entry stands in the entry itself: to use it costs no more than to find it. */
export interface Chance {
  readonly id: string;
  /** What it counts against the bound. */
  readonly bytes: number;
  /** Since it was last passed over. */
  isUsed: boolean;
  /** The map's own. */
  slot: number;
}

export interface SecondChanceMapOptions<E> {
  /** At least 1. */
  readonly entries: number;
  readonly bytes: number;
  /** An entry has gone, for whatever reason, or another has come in its place. */
  readonly onDropped: (entry: E) => void;
}

/**
 * A bounded map by id that drops, nearly, what has not been used for longest: a hand goes round, passes over what was
 * used since it last came by, and drops the next ("clock", or second chance). A list in the order of use would have
 * to be changed at each use, which costs more than the look-up.
 */
export class SecondChanceMap<E extends Chance> {
  readonly #options: SecondChanceMapOptions<E>;
  readonly #byId = new Map<string, E>();
  /** Undefined: free. */
  readonly #slots: (E | undefined)[] = [];
  readonly #free: number[] = [];
  #hand = 0;
  #bytes = 0;

  constructor(options: SecondChanceMapOptions<E>) {
    this.#options = options;
  }

  get(id: string): E | undefined {
    const entry = this.#byId.get(id);
    if (entry !== undefined) entry.isUsed = true;
    return entry;
  }

  /** Answers whether it is kept: one that is larger than all that may be kept is not. */
  set(entry: E): boolean {
    this.delete(entry.id);
    const { entries, bytes } = this.#options;
    if (entry.bytes > bytes) return false;
    while (this.#byId.size >= entries || this.#bytes + entry.bytes > bytes) this.#dropOne();
    entry.slot = this.#free.pop() ?? this.#slots.length;
    this.#slots[entry.slot] = entry;
    this.#byId.set(entry.id, entry);
    this.#bytes += entry.bytes;
    return true;
  }

  delete(id: string): void {
    const entry = this.#byId.get(id);
    if (entry === undefined) return;
    this.#byId.delete(id);
    this.#slots[entry.slot] = undefined;
    this.#free.push(entry.slot);
    this.#bytes -= entry.bytes;
    this.#options.onDropped(entry);
  }

  /** Entries may be deleted meanwhile. */
  values(): IterableIterator<E> {
    return this.#byId.values();
  }

  clear(): void {
    for (const id of this.#byId.keys()) this.delete(id);
  }

  /** There is one. */
  #dropOne(): void {
    for (let passedOver = 0; ; this.#hand++) {
      if (this.#hand >= this.#slots.length) this.#hand = 0;
      const entry = this.#slots[this.#hand];
      if (entry === undefined) continue;
      if (!entry.isUsed || passedOver === MAX_PASSED_OVER) {
        this.delete(entry.id);
        return;
      }
      entry.isUsed = false;
      passedOver++;
    }
  }
}
