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

/** What was last inserted, within a bound of bytes: RFC 7541 2.3.2 and 4. Names and values are latin1. */
export class DynamicTable {
  /** A ring of a power of two, so that places wrap by a mask. */
  readonly #names: string[];
  readonly #values: string[];
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
    this.#names = Array.from({ length: slots }, () => "");
    this.#values = Array.from({ length: slots }, () => "");
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

  /** `place` is below `count`; so with `valueAt`. */
  nameAt(place: number): string {
    return this.#names[(this.#next - 1 - place) & this.#mask] as string;
  }

  valueAt(place: number): string {
    return this.#values[(this.#next - 1 - place) & this.#mask] as string;
  }

  /** The place of the newest such entry, -1: none. */
  find(name: string, value: string): number {
    for (let place = 0; place < this.count; place++) {
      if (this.valueAt(place) === value && this.nameAt(place) === name) return place;
    }
    return -1;
  }

  /** An entry that is larger than the whole table empties it and is not kept: RFC 7541 4.4. */
  insert(name: string, value: string): void {
    const bytes = name.length + value.length + ENTRY_OVERHEAD_BYTES;
    this.#evictDownTo(this.#maxBytes - bytes);
    if (bytes > this.#maxBytes) return;
    this.#names[this.#next] = name;
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) & this.#mask;
    this.#bytes += bytes;
    this.count++;
  }

  #evictDownTo(bytes: number): void {
    while (this.#bytes > bytes && this.count > 0) {
      const slot = (this.#next - this.count) & this.#mask;
      const name = this.#names[slot] as string;
      const value = this.#values[slot] as string;
      this.#bytes -= name.length + value.length + ENTRY_OVERHEAD_BYTES;
      this.count--;
      this.#names[slot] = "";
      this.#values[slot] = "";
    }
  }
}
