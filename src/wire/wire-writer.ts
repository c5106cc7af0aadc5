/** A frame's head in gRPC: a byte that says whether it is compressed, and four of the message's length. */
export const PREFIX_BYTES = 5;

const VARINT = 0;
const FIXED64 = 1;
const LENGTH_DELIMITED = 2;

/** Up to this many characters a loop is faster than a call into Node: 50 ns against 55. */
const SHORT_LENGTH = 24;
const INITIAL_BYTES = 16 * 1024;
/** More is not kept for the next message. */
const KEPT_BYTES = 256 * 1024;
/** A tag, or a length, takes no more. */
const MAX_VARINT_BYTES = 5;

const sharedLists = new WeakMap<readonly string[], { readonly field: number; readonly written: string }>();

/**
 * Writes protobuf messages into one buffer, which all messages share. Fields are numbered below 16. Those of
 * a single value leave out what is the default, as proto3 does, but for the `…Always` ones: these are for
 * lists, oneofs and maps, where the default is a value like others.
 */
export class WireWriter {
  #bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
  #position = 0;

  /** Begins a gRPC frame of one message that is not compressed. */
  beginFrame(): void {
    if (this.#bytes.length > KEPT_BYTES) this.#bytes = Buffer.allocUnsafeSlow(INITIAL_BYTES);
    this.#position = PREFIX_BYTES;
  }

  /** The frame, in a buffer of its own. */
  endFrame(): Buffer {
    const frame = Buffer.allocUnsafe(this.#position);
    this.#bytes.copy(frame, 0, 0, this.#position);
    frame[0] = 0;
    frame.writeUInt32BE(this.#position - PREFIX_BYTES, 1);
    return frame;
  }

  /** Begins a message within the message, or a packed list. Answers what `end` needs. */
  begin(field: number): number {
    this.#reserve(2);
    this.#bytes[this.#position++] = (field << 3) | LENGTH_DELIMITED;
    return ++this.#position;
  }

  end(start: number): void {
    const length = this.#position - start;
    if (length < 0x80) this.#bytes[start - 1] = length;
    else {
      this.#move(start, varintBytes(length) - 1);
      this.#varintAt(start - 1, length);
    }
  }

  string(field: number, text: string): void {
    if (text !== "") this.stringAlways(field, text);
  }

  /** Throws for half a character, which UTF-8 cannot carry. */
  stringAlways(field: number, text: string): void {
    this.#reserve(1 + MAX_VARINT_BYTES + text.length * 3);
    const bytes = this.#bytes;
    bytes[this.#position++] = (field << 3) | LENGTH_DELIMITED;
    if (text.length <= SHORT_LENGTH) {
      let at = this.#position + 1;
      let all = 0;
      for (let index = 0; index < text.length; index++) {
        const code = text.charCodeAt(index);
        all |= code;
        bytes[at++] = code;
      }
      if (all < 0x80) {
        bytes[this.#position] = text.length;
        this.#position = at;
        return;
      }
    }
    this.#longString(text);
  }

  strings(field: number, texts: readonly string[]): void {
    for (const text of texts) this.stringAlways(field, text);
  }

  /** As `strings`, of a list that never changes and of which there are few: its bytes are kept as long as it is. */
  sharedStrings(field: number, texts: readonly string[]): void {
    const known = sharedLists.get(texts);
    if (known?.field === field) {
      this.raw(known.written);
      return;
    }
    const start = this.#position;
    this.strings(field, texts);
    sharedLists.set(texts, { field, written: this.writtenSince(start) });
  }

  /** Where the next field will be written. */
  get position(): number {
    return this.#position;
  }

  /** What was written from there on, byte by byte as characters, which take no more memory: for `raw`. */
  writtenSince(position: number): string {
    return this.#bytes.toString("latin1", position, this.#position);
  }

  /** Fields that were written before. */
  raw(written: string): void {
    this.#reserve(written.length);
    this.#position += this.#bytes.write(written, this.#position, "latin1");
  }

  bool(field: number, value: boolean): void {
    if (value) this.boolAlways(field, value);
  }

  boolAlways(field: number, value: boolean): void {
    this.#reserve(2);
    this.#bytes[this.#position++] = (field << 3) | VARINT;
    this.#bytes[this.#position++] = value ? 1 : 0;
  }

  /** Also for enums, and for what else is never negative. */
  uint32(field: number, value: number): void {
    if (value !== 0) this.uint32Always(field, value);
  }

  uint32Always(field: number, value: number): void {
    this.#reserve(1 + MAX_VARINT_BYTES);
    this.#bytes[this.#position++] = (field << 3) | VARINT;
    this.varint(value);
  }

  doubleAlways(field: number, value: number): void {
    this.#reserve(9);
    this.#bytes[this.#position++] = (field << 3) | FIXED64;
    this.#position = this.#bytes.writeDoubleLE(value, this.#position);
  }

  /** An integer alone, as in a packed list. Throws RangeError for what is no uint32. */
  varint(value: number): void {
    if (value >>> 0 !== value) throw new RangeError(`no uint32: ${value}`);
    this.#reserve(MAX_VARINT_BYTES);
    this.#position = this.#varintAt(this.#position, value);
  }

  /** Answers where it ends. */
  #varintAt(position: number, value: number): number {
    let at = position;
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[at++] = rest;
    return at;
  }

  /** Written where it belongs if it is ASCII, and moved if it turns out to need a longer length. */
  #longString(text: string): void {
    const lengthBytes = varintBytes(text.length);
    const start = this.#position + lengthBytes;
    const length = this.#bytes.write(text, start);
    if (length !== text.length && !isWellFormed(text)) throw new RangeError("a text is no Unicode");
    const at = this.#position;
    this.#position = start + length;
    if (varintBytes(length) !== lengthBytes) this.#move(start, varintBytes(length) - lengthBytes);
    this.#varintAt(at, length);
  }

  /** Makes room before what was written since `start`. */
  #move(start: number, by: number): void {
    this.#reserve(by);
    this.#bytes.copyWithin(start + by, start, this.#position);
    this.#position += by;
  }

  #reserve(length: number): void {
    if (this.#position + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(2 * (this.#position + length));
    this.#bytes.copy(larger, 0, 0, this.#position);
    this.#bytes = larger;
  }
}

function varintBytes(value: number): number {
  if (value < 2 ** 7) return 1;
  if (value < 2 ** 14) return 2;
  if (value < 2 ** 21) return 3;
  return value < 2 ** 28 ? 4 : 5;
}

function isWellFormed(text: string): boolean {
  try {
    encodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}
