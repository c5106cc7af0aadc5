import fc from "fast-check";
import { expect, test } from "vitest";
import {
  decodeHuffman,
  encodeHuffman,
  huffmanBytes,
  maxDecodedBytes,
} from "../../src/http2/hpack-huffman.ts";

const BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
const EOS_BITS = 30;

function encode(text: string): Buffer {
  const out = Buffer.alloc(huffmanBytes(text));
  expect(encodeHuffman(text, out, 0)).toBe(out.length);
  return out;
}

/** Undefined where the bytes are refused. */
function decode(bytes: Buffer): string | undefined {
  const out = Buffer.alloc(maxDecodedBytes(bytes.length));
  const length = decodeHuffman(bytes, 0, bytes.length, out);
  return length < 0 ? undefined : out.toString("latin1", 0, length);
}

/** Of a byte's code: eight of them end at a byte. */
function codeBits(byte: string): number {
  return huffmanBytes(byte.repeat(8));
}

test("the code is complete: no bits are left that begin no symbol", () => {
  const taken = BYTES.reduce((sum, byte) => sum + 2 ** (EOS_BITS - codeBits(byte)), 1);
  expect(taken).toBe(2 ** EOS_BITS);
});

test("no code begins with another: any two bytes in a row are told apart", () => {
  const pairs = BYTES.flatMap((first) => BYTES.map((second) => first + second));
  expect(pairs.filter((pair) => decode(encode(pair)) !== pair)).toEqual([]);
});

test("controls have codes of 28 bits, but for six", () => {
  const controls = [...BYTES.slice(0, 0x20), "\x7f"].map((byte) => [byte, codeBits(byte)]);
  expect(controls.filter(([, bits]) => bits !== 28)).toEqual([
    ["\0", 13],
    ["\x01", 23],
    ["\t", 24],
    ["\n", 30],
    ["\r", 30],
    ["\x16", 30],
  ]);
});

test.each([
  ["0", "00000"],
  ["t", "01001"],
  [" ", "010100"],
  ["u", "101101"],
  [":", "1011100"],
  ["&", "11111000"],
  ["Z", "11111101"],
  ["?", "1111111100"],
  ["#", "111111111010"],
  ["\x00", "1111111111000"],
  ["{", "111111111111110"],
  ["\\", "1111111111111110000"],
  ["\xd0", "1111111111111110010"],
  ["\xff", "11111111111111111111101110"],
  ["\xfe", "111111111111111111111110000"],
  ["\n", "111111111111111111111111111100"],
  ["\x16", "111111111111111111111111111110"],
])("%j has the code of RFC 7541 Appendix B", (byte, code) => {
  const bits = [...encode(byte)].map((part) => part.toString(2).padStart(8, "0")).join("");
  expect(bits).toBe(code.padEnd(bits.length, "1"));
  expect(codeBits(byte)).toBe(code.length);
});

test.each([
  ["www.example.com", "f1e3c2e5f23a6ba0ab90f4ff"],
  ["no-cache", "a8eb10649cbf"],
  ["custom-key", "25a849e95ba97d7f"],
  ["custom-value", "25a849e95bb8e8b4bf"],
  ["302", "6402"],
  ["307", "640eff"],
  ["private", "aec3771a4b"],
  ["gzip", "9bd9ab"],
  ["Mon, 21 Oct 2013 20:13:21 GMT", "d07abe941054d444a8200595040b8166e082a62d1bff"],
  ["https://www.example.com", "9d29ad171863c78f0b97c8e9ae82ae43d3"],
  [
    "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
  ],
])("%j is encoded and decoded as in RFC 7541 Appendix C", (text, hex) => {
  expect(encode(text).toString("hex")).toBe(hex);
  expect(decode(Buffer.from(hex, "hex"))).toBe(text);
});

test.each([
  ["eight bits of padding", "ff"],
  ["eight bits of padding after a symbol", "1fff"],
  ["thirty bits of padding, which are EOS", "ffffffff"],
  ["EOS and a symbol", "fffffffc"],
  ["EOS between symbols", "1fffffffffbf"],
  ["padding of zeros", "00"],
  ["padding that is not all ones", "1e"],
  ["half a symbol", "fffe"],
])("%s is refused", (_, hex) => {
  expect(decode(Buffer.from(hex, "hex"))).toBeUndefined();
});

test("every string comes back as it was, and from nothing but its own code", () => {
  const text = fc.string({ unit: fc.constantFrom(...BYTES), maxLength: 200 });
  fc.assert(
    fc.property(text, (text) => {
      expect(decode(encode(text))).toBe(text);
    }),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 6 }), (bytes) => {
      const text = decode(Buffer.from(bytes));
      expect(text === undefined || encode(text).equals(bytes)).toBe(true);
    }),
    { numRuns: 5_000 },
  );
});

test("what is decoded has room in what is asked for, however short its codes", () => {
  for (let length = 0; length < 64; length++) {
    const bytes = encode("0".repeat(length));
    const out = Buffer.alloc(maxDecodedBytes(bytes.length) + 8, 0xee);
    expect(decodeHuffman(bytes, 0, bytes.length, out)).toBe(length);
    expect(out.subarray(-8).equals(Buffer.alloc(8, 0xee))).toBe(true);
  }
});
