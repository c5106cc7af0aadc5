/** RFC 7541 Appendix A, from index 1 on. Literals, as comparing is cheapest among those. */
const STATIC_FIELDS: readonly (readonly [name: string, value: string])[] = [
  ["", ""],
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

export const STATIC_NAMES: readonly string[] = STATIC_FIELDS.map(([name]) => name);
/** "" where RFC 7541 has none. */
export const STATIC_VALUES: readonly string[] = STATIC_FIELDS.map(([, value]) => value);
/** The dynamic table's newest entry: RFC 7541 2.3.3. */
export const FIRST_DYNAMIC_INDEX = STATIC_NAMES.length;

/** SETTINGS_HEADER_TABLE_SIZE before any SETTINGS: RFC 9113 6.5.2. */
export const DEFAULT_TABLE_BYTES = 4096;

/** What an entry counts beside its name and value (RFC 7541 4.1), and a field in a list (RFC 9113 6.5.2). */
export const ENTRY_OVERHEAD_BYTES = 32;

/** Name and value are latin1. */
export interface TableEntry {
  readonly name: string;
  readonly value: string;
}

/** What was last inserted, within a bound of bytes: RFC 7541 2.3.2 and 4. */
export class DynamicTable<Entry extends TableEntry> {
  /** A ring of a power of two, so that places wrap by a mask. */
  readonly #entries: (Entry | undefined)[];
  readonly #mask: number;
  /** Slot of the next entry. */
  #next = 0;
  #bytes = 0;
  #maxBytes: number;
  /** Entries; the newest is at place 0. */
  count = 0;

  /** `highestMaxBytes`: what `maxBytes` is at first, and may be at most. */
  constructor(highestMaxBytes: number) {
    const slots = 2 ** Math.ceil(Math.log2(Math.max(1, highestMaxBytes / ENTRY_OVERHEAD_BYTES)));
    this.#entries = Array.from({ length: slots }, () => undefined);
    this.#mask = slots - 1;
    this.#maxBytes = highestMaxBytes;
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** Evicts what is beyond: RFC 7541 4.3. */
  set maxBytes(bytes: number) {
    this.#maxBytes = bytes;
    this.#evictDownTo(bytes);
  }

  /** `place` is below `count`. */
  at(place: number): Entry {
    return this.#entries[(this.#next - 1 - place) & this.#mask] as Entry;
  }

  /** The place of the newest such entry, -1: none. */
  find(name: string, value: string): number {
    for (let place = 0; place < this.count; place++) {
      const entry = this.at(place);
      if (entry.value === value && entry.name === name) return place;
    }
    return -1;
  }

  /** An entry that is larger than the whole table empties it and is not kept: RFC 7541 4.4. */
  insert(entry: Entry): void {
    const bytes = bytesOf(entry);
    this.#evictDownTo(this.#maxBytes - bytes);
    if (bytes > this.#maxBytes) return;
    this.#entries[this.#next] = entry;
    this.#next = (this.#next + 1) & this.#mask;
    this.#bytes += bytes;
    this.count++;
  }

  #evictDownTo(bytes: number): void {
    while (this.#bytes > bytes && this.count > 0) {
      const slot = (this.#next - this.count) & this.#mask;
      this.#bytes -= bytesOf(this.#entries[slot] as Entry);
      this.count--;
      this.#entries[slot] = undefined;
    }
  }
}

/** RFC 7541 4.1. */
function bytesOf({ name, value }: TableEntry): number {
  return name.length + value.length + ENTRY_OVERHEAD_BYTES;
}
