/** RFC 7541 Appendix A: `:method: POST` and `:scheme: http`. */
const postOverHttp = Buffer.from([0x83, 0x86]);
/** RFC 7541 2.3.3: the newest entry of the dynamic table. */
const firstDynamicIndex = 62;
/** RFC 7541 4.1. */
const entryOverheadBytes = 32;

/** The header block of requests that are all alike, as clients of gRPC compress it. */
export interface RequestBlock {
  /** Of a connection's first request: puts each field into the peer's table. */
  readonly first: Buffer;
  /** Of all later ones: names the entries. */
  readonly later: Buffer;
  /** What the peer's table must hold (SETTINGS_HEADER_TABLE_SIZE). */
  readonly tableBytes: number;
}

/** A POST over http with these fields beside; names in lower case, pseudo fields first. */
export function requestBlock(fields: readonly (readonly [name: string, value: string])[]): RequestBlock {
  const newest = firstDynamicIndex + fields.length - 1;
  // Then an index is one byte: RFC 7541 5.1.
  if (newest >= 0x7f) throw new Error("more fields than a request's block can index in one byte each");
  return {
    first: Buffer.concat([postOverHttp, ...fields.flatMap(([name, value]) => inserted(name, value))]),
    later: Buffer.concat([postOverHttp, Buffer.from(fields.map((_, index) => 0x80 | (newest - index)))]),
    tableBytes: fields.reduce(
      (sum, [name, value]) => sum + name.length + value.length + entryOverheadBytes,
      0,
    ),
  };
}

/** RFC 7541 6.2.1, with a new name. */
function inserted(name: string, value: string): Buffer[] {
  return [Buffer.from([0x40]), ...literal(name), ...literal(value)];
}

/** RFC 7541 5.2, without Huffman coding. */
function literal(text: string): Buffer[] {
  const bytes = Buffer.from(text, "latin1");
  return [Buffer.from(lengthBytes(bytes.length)), bytes];
}

/** RFC 7541 5.1, of the seven bits that follow the Huffman flag. */
function lengthBytes(length: number): number[] {
  if (length < 0x7f) return [length];
  const bytes = [0x7f];
  let rest = length - 0x7f;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}
