import { encodeHuffman, huffmanBytes } from "./hpack-huffman.ts";
import {
  DEFAULT_TABLE_BYTES,
  DynamicTable,
  ENTRY_OVERHEAD_BYTES,
  FIRST_DYNAMIC_INDEX,
  STATIC_NAMES,
  STATIC_VALUES,
  type TableEntry,
} from "./hpack-table.ts";

/** How an integer begins: the bits before it, and a one for each bit of that byte that is its own. */
interface Start {
  readonly bits: number;
  readonly prefix: number;
}

/** RFC 7541 6 and 5.2. */
const INDEXED: Start = { bits: 0x80, prefix: 0x7f };
const INSERTED: Start = { bits: 0x40, prefix: 0x3f };
const SIZE_UPDATE: Start = { bits: 0x20, prefix: 0x1f };
const NEVER_INDEXED: Start = { bits: 0x10, prefix: 0x0f };
const NOT_INDEXED: Start = { bits: 0x00, prefix: 0x0f };
const HUFFMAN_STRING: Start = { bits: 0x80, prefix: 0x7f };
const PLAIN_STRING: Start = { bits: 0x00, prefix: 0x7f };

/** No integer here, all below 2^32, takes more: RFC 7541 5.1. */
const MAX_INTEGER_BYTES = 6;

/** The lowest and the last one. */
export const MAX_SIZE_UPDATES_BYTES = 2 * MAX_INTEGER_BYTES;

/** Names whose values are few and come back in each answer; other values would only push these out. */
const INSERTED_NAMES = new Set([
  "content-type",
  "grpc-encoding",
  "grpc-accept-encoding",
  "grpc-status",
  "accept-encoding",
  "server",
]);
const MAX_INSERTED_VALUE_LENGTH = 64;

/** What no one on the way may keep in a table either: RFC 7541 7.1.3. */
const SECRET_NAMES = new Set(["authorization", "set-cookie"]);

/** Below, the bytes that Huffman coding saves are not worth the time that it takes. */
const MIN_HUFFMAN_LENGTH = 25;

/** A native call costs more than a loop over a string as short as this. */
const MAX_LOOP_LENGTH = 16;

/** Index of the first static entry with the name. Those with the same name follow on it. */
const staticIndexOf = new Map<string, number>();
for (let index = FIRST_DYNAMIC_INDEX - 1; index > 0; index--) {
  staticIndexOf.set(STATIC_NAMES[index] as string, index);
}

/** What `HpackEncoder.encode` may write for these fields at most. */
export function maxEncodedBytes(fields: readonly string[]): number {
  // For each field its index; a length and the bytes for each string.
  let bytes = MAX_SIZE_UPDATES_BYTES + (fields.length / 2) * MAX_INTEGER_BYTES;
  for (const text of fields) bytes += MAX_INTEGER_BYTES + text.length;
  return bytes;
}

/** Our compressor for one connection: RFC 7541. Blocks are to be sent in the order in which they are encoded. */
export class HpackEncoder {
  readonly #table = new DynamicTable<TableEntry>(DEFAULT_TABLE_BYTES);
  /** What the table may hold from the next block on, and the least it might have held since the last. */
  #maxTableBytes = DEFAULT_TABLE_BYTES;
  #lowestTableBytes = DEFAULT_TABLE_BYTES;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The next block tells the peer what comes of it; more than 4096 is not used. */
  setMaxTableBytes(bytes: number): void {
    this.#maxTableBytes = Math.min(bytes, DEFAULT_TABLE_BYTES);
    this.#lowestTableBytes = Math.min(this.#lowestTableBytes, this.#maxTableBytes);
  }

  /**
   * Writes the block of `fields` (names, lower case, and values in turn, all latin1) to `out` from `offset`
   * on, and answers the offset after it. `out` has room for `maxEncodedBytes(fields)`.
   */
  encode(fields: readonly string[], out: Buffer, offset: number): number {
    offset = this.encodeSizeUpdates(out, offset);
    for (let i = 0; i < fields.length; i += 2) {
      offset = this.#encodeField(fields[i] as string, fields[i + 1] as string, out, offset);
    }
    return offset;
  }

  /**
   * What the next block, whatever it holds, is to tell of the table's size: RFC 7541 4.2. `out` has room for
   * `MAX_SIZE_UPDATES_BYTES`.
   */
  encodeSizeUpdates(out: Buffer, offset: number): number {
    // If the size changed more than once, the lowest is told too, as it evicts.
    offset = this.#tellTableBytes(this.#lowestTableBytes, out, offset);
    offset = this.#tellTableBytes(this.#maxTableBytes, out, offset);
    this.#lowestTableBytes = this.#maxTableBytes;
    return offset;
  }

  #tellTableBytes(bytes: number, out: Buffer, offset: number): number {
    if (bytes === this.#table.maxBytes) return offset;
    this.#table.maxBytes = bytes;
    return writeInteger(SIZE_UPDATE, bytes, out, offset);
  }

  #encodeField(name: string, value: string, out: Buffer, offset: number): number {
    const nameIndex = staticIndexOf.get(name) ?? 0;
    if (nameIndex > 0) {
      for (let index = nameIndex; STATIC_NAMES[index] === name; index++) {
        if (STATIC_VALUES[index] === value) return writeInteger(INDEXED, index, out, offset);
      }
    }

    let start = NOT_INDEXED;
    if (INSERTED_NAMES.has(name)) {
      const place = this.#table.find(name, value);
      if (place >= 0) return writeInteger(INDEXED, FIRST_DYNAMIC_INDEX + place, out, offset);
      if (this.#isWorthInserting(name, value)) {
        this.#table.insert({ name, value });
        start = INSERTED;
      }
    } else if (SECRET_NAMES.has(name)) {
      start = NEVER_INDEXED;
    }
    offset = writeInteger(start, nameIndex, out, offset);
    if (nameIndex === 0) offset = writeString(name, out, offset);
    return writeString(value, out, offset);
  }

  #isWorthInserting(name: string, value: string): boolean {
    return (
      value.length <= MAX_INSERTED_VALUE_LENGTH &&
      name.length + value.length + ENTRY_OVERHEAD_BYTES <= this.#table.maxBytes
    );
  }
}

/** RFC 7541 5.1. */
function writeInteger({ bits, prefix }: Start, value: number, out: Buffer, offset: number): number {
  if (value < prefix) {
    out[offset++] = bits | value;
    return offset;
  }
  out[offset++] = bits | prefix;
  let rest = value - prefix;
  while (rest >= 0x80) {
    out[offset++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[offset++] = rest;
  return offset;
}

/** RFC 7541 5.2. */
function writeString(text: string, out: Buffer, offset: number): number {
  if (text.length >= MIN_HUFFMAN_LENGTH) {
    const bytes = huffmanBytes(text);
    if (bytes < text.length)
      return encodeHuffman(text, out, writeInteger(HUFFMAN_STRING, bytes, out, offset));
  }
  offset = writeInteger(PLAIN_STRING, text.length, out, offset);
  if (text.length > MAX_LOOP_LENGTH) return offset + out.write(text, offset, "latin1");
  for (let i = 0; i < text.length; i++) out[offset++] = text.charCodeAt(i);
  return offset;
}
