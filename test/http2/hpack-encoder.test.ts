import fc from "fast-check";
import { expect, test } from "vitest";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";
import { HpackEncoder, maxEncodedBytes } from "../../src/http2/hpack-encoder.ts";

function encode(encoder: HpackEncoder, fields: readonly string[]): Buffer {
  const out = Buffer.alloc(maxEncodedBytes(fields));
  return out.subarray(0, encoder.encode(fields, out, 0));
}

/** Of one block each, on one connection. */
function hexOf(lists: readonly (readonly string[])[]): string[] {
  const encoder = new HpackEncoder();
  return lists.map((fields) => encode(encoder, fields).toString("hex"));
}

const hexOfText = (text: string) => Buffer.from(text, "latin1").toString("hex");
const HEADERS = [":status", "200", "content-type", "application/grpc+proto"];
const TRAILERS = ["grpc-status", "0"];

/** Of Huffman coding no gain. */
const newlines = (length: number) => "\n".repeat(length);

test("an answer that has been given before is a byte a field", () => {
  expect(hexOf([HEADERS, TRAILERS, HEADERS, TRAILERS])).toEqual([
    `88 5f16${hexOfText("application/grpc+proto")}`.replace(" ", ""),
    `400b${hexOfText("grpc-status")}01${hexOfText("0")}`,
    "88bf",
    "be",
  ]);
});

test.each([
  { why: "a whole static entry", field: [":status", "404"], hex: "8d" },
  { why: "a whole static entry without a value", field: ["age", ""], hex: "95" },
  { why: "a static name, short index", field: [":status", "429"], hex: "0803343239" },
  { why: "a static name, long index", field: ["retry-after", "7"], hex: "0f260137" },
  { why: "no index", field: ["x-a", "b"], hex: "0003782d610162" },
  { why: "a length in one byte", field: ["x", newlines(126)], hex: `0001787e${"0a".repeat(126)}` },
  { why: "a length in two bytes", field: ["x", newlines(127)], hex: `0001787f00${"0a".repeat(127)}` },
  { why: "a length in three bytes", field: ["x", newlines(255)], hex: `0001787f8001${"0a".repeat(255)}` },
  { why: "never indexed, for secrets", field: ["set-cookie", "a=b"], hex: "1f2803613d62" },
  { why: "never indexed, for secrets", field: ["authorization", "b"], hex: "1f080162" },
  { why: "inserted, as its value comes again", field: ["server", "a"], hex: "760161" },
])("$field is written with $why", ({ field, hex }) => {
  expect(hexOf([field])).toEqual([hex]);
});

test("what is not inserted is written alike each time, so no value of it stays in a table", () => {
  const fields = ["set-cookie", "a=b", "x-request-id", "1", ":status", "429", "server", "s".repeat(65)];
  const [first, second] = hexOf([fields, fields]);
  expect(second).toBe(first);
});

test("a string is Huffman coded from 25 characters on, where that is shorter", () => {
  const lengthByteOf = (value: string) => Buffer.from(hexOf([["x", value]])[0] as string, "hex")[3] as number;
  expect(lengthByteOf("a".repeat(24))).toBe(24);
  expect(lengthByteOf("a".repeat(25))).toBe(0x80 | 16);
  expect(lengthByteOf(newlines(25))).toBe(25);
  // Codes of 8 bits.
  expect(lengthByteOf("&".repeat(25))).toBe(25);
});

test.each([
  { why: "the peer's is the default", sizes: [4096], hex: "" },
  { why: "the peer's is above the default", sizes: [65_536], hex: "" },
  { why: "the peer's is lower", sizes: [100], hex: "3f45" },
  { why: "the peer has none", sizes: [0], hex: "20" },
  { why: "it was lower between two blocks", sizes: [100, 4096], hex: "3f453fe11f" },
  { why: "it was higher between two blocks", sizes: [100, 4096, 200], hex: "3f453fa901" },
  { why: "it went down and down", sizes: [200, 100, 50], hex: "3f13" },
])("where $why, the next block begins with the size updates it takes, and the one after with none", (row) => {
  const encoder = new HpackEncoder();
  for (const size of row.sizes) encoder.setMaxTableBytes(size);
  expect(encode(encoder, [":status", "200"]).toString("hex")).toBe(`${row.hex}88`);
  expect(encode(encoder, [":status", "200"]).toString("hex")).toBe("88");
});

test("a size that was lower for no block long still evicts", () => {
  const encoder = new HpackEncoder();
  encode(encoder, TRAILERS);
  encoder.setMaxTableBytes(0);
  encoder.setMaxTableBytes(4096);
  const inserted = `400b${hexOfText("grpc-status")}0130`;
  expect(encode(encoder, TRAILERS).toString("hex")).toBe(`203fe11f${inserted}`);
});

test("nothing is inserted that the peer's table has no room for", () => {
  const encoder = new HpackEncoder();
  const bytes = "grpc-status".length + "0".length + 32;
  const literal = `${hexOfText("grpc-status")}0130`;
  encoder.setMaxTableBytes(bytes - 1);
  expect(encode(encoder, TRAILERS).toString("hex")).toBe(`3f0c000b${literal}`);
  encoder.setMaxTableBytes(bytes);
  expect(encode(encoder, TRAILERS).toString("hex")).toBe(`3f0d400b${literal}`);
  expect(encode(encoder, TRAILERS).toString("hex")).toBe("be");
});

test("a character that is not latin1 costs no other field", () => {
  const fields = ["x", "a\u0162", "y", `${"a".repeat(30)}\u0100`, "z", "z"];
  const decoder = new HpackDecoder({ maxListBytes: 1000 });
  const block = encode(new HpackEncoder(), fields);
  const expected = ["x", "ab", "y", `${"a".repeat(30)}\0`, "z", "z"];
  expect(decoder.decode(block, 0, block.length).fields).toEqual(expected);
});

test("every list comes out of a decoder as it went in, over blocks and table sizes, in the room asked for", () => {
  const latin1 = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));
  const text = fc.oneof(
    fc.constantFrom("0", "13", "200", "429", "gzip", "application/grpc+proto", "application/json", ""),
    fc.string({ unit: latin1, maxLength: 80 }),
    fc.string({ minLength: 20, maxLength: 70 }),
    fc.string({ unit: fc.constantFrom("a", "\n"), maxLength: 600 }),
  );
  const name = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("content-type", "grpc-status", "server", "grpc-encoding") },
    {
      weight: 2,
      arbitrary: fc.constantFrom(":status", ":path", "accept-encoding", "set-cookie", "date", "vary"),
    },
    { weight: 1, arbitrary: text },
  );
  const list = fc.array(fc.tuple(name, text), { maxLength: 12 }).map((fields) => fields.flat());
  const size = fc.oneof(fc.constantFrom(0, 64, 150, 4096, 2 ** 32 - 1), fc.integer({ min: 0, max: 5000 }));
  const block = fc.record({ sizes: fc.array(size, { maxLength: 2 }), list });
  fc.assert(
    fc.property(fc.array(block, { maxLength: 12 }), (blocks) => {
      const encoder = new HpackEncoder();
      const decoder = new HpackDecoder({ maxListBytes: 1_000_000 });
      for (const { sizes, list } of blocks) {
        for (const bytes of sizes) encoder.setMaxTableBytes(bytes);
        const room = maxEncodedBytes(list);
        const out = Buffer.alloc(8 + room + 8, 0xee);
        const end = encoder.encode(list, out, 8);
        expect(end - 8).toBeLessThanOrEqual(room);
        expect(decoder.decode(out, 8, end)).toMatchObject({ fields: list, isTooLarge: false });
        expect(out.subarray(0, 8).equals(Buffer.alloc(8, 0xee))).toBe(true);
        expect(out.subarray(end).equals(Buffer.alloc(out.length - end, 0xee))).toBe(true);
      }
    }),
    { numRuns: 1_000 },
  );
});
