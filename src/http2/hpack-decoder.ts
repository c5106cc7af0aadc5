import { decodeHuffman, maxDecodedBytes } from "./hpack-huffman.ts";
import {
  DEFAULT_TABLE_BYTES,
  DynamicTable,
  ENTRY_OVERHEAD_BYTES,
  FIRST_DYNAMIC_INDEX,
  STATIC_NAMES,
  STATIC_VALUES,
  type TableEntry,
} from "./hpack-table.ts";

/** A block that cannot be decoded. COMPRESSION_ERROR of the connection, whose table is lost: RFC 9113 4.3. */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

export interface HpackDecoderOptions {
  /** The SETTINGS_HEADER_TABLE_SIZE that we announced; 4096 if we announced none. Never lowered later. */
  readonly maxTableBytes?: number;
  /** Of a decoded list, as RFC 9113 6.5.2 counts: name, value and 32 for each field. */
  readonly maxListBytes: number;
  /** Whether a list may hold such a field; asked once of each literal, however often it is referred to. Left out: any. */
  readonly isSound?: (name: string, value: string) => boolean;
}

export interface HeaderBlock {
  /** Names and values in turn, in order, latin1. Where `isTooLarge`, the first of them only. */
  readonly fields: readonly string[];
  /** Of these, as RFC 9113 6.5.2 counts; the bound itself where `isTooLarge`. */
  readonly listBytes: number;
  /** The list was larger than the bound. The table is as the peer's all the same: go on with the next block. */
  readonly isTooLarge: boolean;
  /** `isSound` says so of all of them. */
  readonly isSound: boolean;
  /** Answered again, this very object, if the next block is of the same bytes. */
  readonly isRemembered: boolean;
}

/** RFC 7541 5.1 leaves the bound to us: no length, index or size in here comes near to it. */
const MAX_INTEGER = 2 ** 28;
const MAX_CONTINUATION_BYTES = 5;
/** A smallest and a last one, if the size changed more than once: RFC 7541 4.2. */
const MAX_SIZE_UPDATES = 2;
/** A longer block is not remembered, so that a connection holds little while it is idle. */
const MAX_REMEMBERED_BYTES = 256;

/** For what Huffman decoding yields until it is a string; of all decoders. As large as the largest block asks. */
let scratch = Buffer.allocUnsafeSlow(maxDecodedBytes(1024));

interface CheckedEntry extends TableEntry {
  readonly isSound: boolean;
}

/** The peer's compressor, mirrored: RFC 7541. Of one connection; its blocks are decoded in their order. */
export class HpackDecoder {
  readonly #table: DynamicTable<CheckedEntry>;
  readonly #maxTableBytes: number;
  readonly #maxListBytes: number;
  readonly #isSound: (name: string, value: string) => boolean;
  readonly #isStaticSound: readonly boolean[];
  /** Of the next byte in the block that is being decoded. */
  #position = 0;
  /** The last block, if it has left the table as it was: until that changes, the same bytes mean the same list. */
  #last: HeaderBlock | undefined;
  readonly #lastBytes = Buffer.allocUnsafeSlow(MAX_REMEMBERED_BYTES);
  #lastLength = 0;

  constructor(options: HpackDecoderOptions) {
    this.#maxTableBytes = options.maxTableBytes ?? DEFAULT_TABLE_BYTES;
    this.#maxListBytes = options.maxListBytes;
    this.#isSound = options.isSound ?? (() => true);
    this.#isStaticSound = STATIC_NAMES.map((name, index) =>
      this.#isSound(name, STATIC_VALUES[index] as string),
    );
    this.#table = new DynamicTable(this.#maxTableBytes);
  }

  /**
   * Decodes one whole block, bytes[start, end): all its fragments joined. Throws HpackError, after which
   * this decoder is of no more use. Takes time in proportion to the block's bytes, and keeps no more than
   * the bound, however often they repeat what is in the table.
   */
  decode(bytes: Buffer, start: number, end: number): HeaderBlock {
    if (this.#last !== undefined && this.#isLast(bytes, start, end)) return this.#last;
    const table = this.#table;
    const fields: string[] = [];
    let isSound = true;
    let bytesLeft = this.#maxListBytes;
    this.#position = start;
    this.#readSizeUpdates(bytes, end);
    let isTableChanged = this.#position > start;

    while (this.#position < end) {
      const first = bytes[this.#position] as number;
      let name: string;
      let value: string;
      if (first >= 0x80) {
        // Indexed: RFC 7541 6.1.
        const index = this.#readInteger(bytes, end, 0x7f);
        if (index < FIRST_DYNAMIC_INDEX) {
          if (index === 0) throw new HpackError("index 0");
          name = STATIC_NAMES[index] as string;
          value = STATIC_VALUES[index] as string;
          isSound &&= this.#isStaticSound[index] as boolean;
        } else {
          const entry = table.at(this.#placeOf(index));
          name = entry.name;
          value = entry.value;
          isSound &&= entry.isSound;
        }
      } else if (first >= 0x40) {
        // Literal, to be inserted: RFC 7541 6.2.1.
        name = this.#readName(bytes, end, 0x3f);
        value = this.#readString(bytes, end);
        const entry = { name, value, isSound: this.#isSound(name, value) };
        table.insert(entry);
        isTableChanged = true;
        isSound &&= entry.isSound;
      } else if (first >= 0x20) {
        throw new HpackError("a table size update after a field");
      } else if (bytesLeft < 0) {
        this.#skipLiteral(bytes, end);
        continue;
      } else {
        // Literal, not indexed or never indexed: RFC 7541 6.2.2 and 6.2.3.
        name = this.#readName(bytes, end, 0x0f);
        value = this.#readString(bytes, end);
        isSound &&= this.#isSound(name, value);
      }

      bytesLeft -= name.length + value.length + ENTRY_OVERHEAD_BYTES;
      if (bytesLeft >= 0) fields.push(name, value);
    }

    const isRemembered = !isTableChanged && end - start <= MAX_REMEMBERED_BYTES;
    const listBytes = this.#maxListBytes - Math.max(bytesLeft, 0);
    const block = { fields, listBytes, isTooLarge: bytesLeft < 0, isSound, isRemembered };
    if (isRemembered) this.#lastLength = bytes.copy(this.#lastBytes, 0, start, end);
    this.#last = isRemembered ? block : undefined;
    return block;
  }

  /** Takes as long wherever they differ: what is compared may be a secret, and a guess at it. */
  #isLast(bytes: Buffer, start: number, end: number): boolean {
    if (end - start !== this.#lastLength) return false;
    let difference = 0;
    for (let at = 0; at < this.#lastLength; at++) {
      difference |= (bytes[start + at] as number) ^ (this.#lastBytes[at] as number);
    }
    return difference === 0;
  }

  /** RFC 7541 4.2 and 6.3. */
  #readSizeUpdates(bytes: Buffer, end: number): void {
    for (let updates = 0; this.#position < end; updates++) {
      if (((bytes[this.#position] as number) & 0xe0) !== 0x20) return;
      if (updates === MAX_SIZE_UPDATES) throw new HpackError("more than two table size updates");
      const size = this.#readInteger(bytes, end, 0x1f);
      if (size > this.#maxTableBytes) throw new HpackError("a table size above the one in SETTINGS");
      this.#table.maxBytes = size;
    }
  }

  #placeOf(index: number): number {
    const place = index - FIRST_DYNAMIC_INDEX;
    if (place >= this.#table.count) throw new HpackError("an index beyond the table");
    return place;
  }

  /** By index, or as a string where that is 0. */
  #readName(bytes: Buffer, end: number, prefix: number): string {
    const index = this.#readInteger(bytes, end, prefix);
    if (index === 0) return this.#readString(bytes, end);
    if (index < FIRST_DYNAMIC_INDEX) return STATIC_NAMES[index] as string;
    return this.#table.at(this.#placeOf(index)).name;
  }

  /** RFC 7541 5.1. `prefix` has a one for each bit of the first byte that is the integer's. */
  #readInteger(bytes: Buffer, end: number, prefix: number): number {
    if (this.#position >= end) throw new HpackError("the block ends within a field");
    let value = (bytes[this.#position++] as number) & prefix;
    if (value < prefix) return value;
    let weight = 1;
    for (let read = 0; read < MAX_CONTINUATION_BYTES; read++) {
      if (this.#position >= end) throw new HpackError("the block ends within an integer");
      const byte = bytes[this.#position++] as number;
      value += (byte & 0x7f) * weight;
      if (value > MAX_INTEGER) break;
      if (byte < 0x80) return value;
      weight *= 128;
    }
    throw new HpackError("an integer above the bound");
  }

  /** RFC 7541 5.2. */
  #readString(bytes: Buffer, end: number): string {
    const isHuffman = (bytes[this.#position] as number) >= 0x80;
    const length = this.#readStringLength(bytes, end);
    const start = this.#position;
    this.#position += length;
    if (!isHuffman) return bytes.toString("latin1", start, start + length);
    // In this order: decoding may exchange the scratch.
    const decodedBytes = decodeToScratch(bytes, start, start + length);
    return scratch.toString("latin1", 0, decodedBytes);
  }

  /** Of a literal that the table does not get: refuses what reading it would refuse, and makes no string. */
  #skipLiteral(bytes: Buffer, end: number): void {
    const index = this.#readInteger(bytes, end, 0x0f);
    if (index === 0) this.#skipString(bytes, end);
    else if (index >= FIRST_DYNAMIC_INDEX) this.#placeOf(index);
    this.#skipString(bytes, end);
  }

  #skipString(bytes: Buffer, end: number): void {
    const isHuffman = (bytes[this.#position] as number) >= 0x80;
    const length = this.#readStringLength(bytes, end);
    const start = this.#position;
    this.#position += length;
    if (isHuffman) decodeToScratch(bytes, start, start + length);
  }

  #readStringLength(bytes: Buffer, end: number): number {
    const length = this.#readInteger(bytes, end, 0x7f);
    if (length > end - this.#position) throw new HpackError("a string beyond the block's end");
    return length;
  }
}

/** Answers the length. */
function decodeToScratch(bytes: Buffer, start: number, end: number): number {
  const room = maxDecodedBytes(end - start);
  if (room > scratch.length) scratch = Buffer.allocUnsafeSlow(room);
  const length = decodeHuffman(bytes, start, end, scratch);
  if (length < 0) throw new HpackError("a string that is not of the Huffman code");
  return length;
}
