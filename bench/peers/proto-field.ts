/** Protobuf's wire type of strings, bytes and messages. */
const lengthDelimited = 2;

/**
 * A field of a string, or of a message whose fields stand one after the other in `content`. For requests of
 * peers: two messages are not worth a compiler.
 */
export function protoField(number: number, ...content: readonly (string | Buffer)[]): Buffer {
  const bytes = Buffer.concat(content.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
  return Buffer.concat([varint((number << 3) | lengthDelimited), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
