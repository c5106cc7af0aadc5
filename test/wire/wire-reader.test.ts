import { BinaryReader } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WireReader } from "../../src/wire/wire-reader.ts";

/** Undefined: refused, by us or by protobuf-es. */
function read<T>(bytes: Uint8Array, one: (reader: WireReader) => T): T | undefined {
  const reader = new WireReader();
  reader.begin(Buffer.from(bytes), 0);
  const value = one(reader);
  return reader.finish() ? value : undefined;
}

function readByOthers<T>(bytes: Uint8Array, one: (reader: BinaryReader) => T): T | undefined {
  try {
    const reader = new BinaryReader(bytes);
    const value = one(reader);
    return reader.pos === reader.len ? value : undefined;
  } catch {
    return undefined;
  }
}

const byte = fc.oneof(fc.integer({ min: 0x80, max: 0xff }), fc.integer({ min: 0, max: 0x7f }));
const varint = fc
  .tuple(fc.array(byte, { maxLength: 10 }), fc.array(byte, { maxLength: 1 }))
  .map(([most, last]) => [...most, ...last]);

describe("an integer of any bytes", () => {
  it("is read as protobuf-es reads it, or refused", () => {
    let plain = 0;
    fc.assert(
      fc.property(varint, (bytes) => {
        const message = Uint8Array.from([0x08, ...bytes]);
        const value = read(message, (reader) => [reader.field(), reader.uint32()]);
        if (value === undefined) return;
        plain++;
        expect(value).toEqual(readByOthers(message, (reader) => [reader.tag()[0], reader.uint32()]));
      }),
      { numRuns: 2000 },
    );
    expect(plain).toBeGreaterThan(100);
  });

  it("is passed over where protobuf-es can read one of 64 bits, and only there", () => {
    fc.assert(
      fc.property(varint, (bytes) => {
        const message = Uint8Array.from([0x08, ...bytes]);
        const isRead = read(message, (reader) => (reader.expect(1), reader.skipInteger(), true));
        expect(isRead).toBe(readByOthers(message, (reader) => (reader.tag(), reader.int64(), true)));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a text of any bytes", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.string({ unit: "binary", maxLength: 40 }).map((text) => Uint8Array.from(Buffer.from(text))),
    fc.string({ maxLength: 40 }).map((text) => Uint8Array.from(Buffer.from(text))),
  );

  it("is read as protobuf-es reads it, or refused; and passed over only if it can be read", () => {
    fc.assert(
      fc.property(bytes, (text) => {
        const message = Uint8Array.from([0x0a, text.length, ...text]);
        const value = read(message, (reader) => (reader.expect(1), reader.string()));
        const byOthers = readByOthers(message, (reader) => (reader.tag(), reader.string(true)));
        expect(value).toBe(byOthers?.includes("\ufffd") ? undefined : byOthers);
        const isSkipped = read(message, (reader) => (reader.expect(1), reader.skipString(), true));
        expect(isSkipped).toBe(value === undefined ? undefined : true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("a message within a message", () => {
  it.each([
    ["ends after the outer one", [0x0a, 0x03, 0x12, 0x02, 0x61]],
    ["ends where its field is not whole", [0x0a, 0x02, 0x12, 0x01, 0x61]],
    ["ends after a tag", [0x0a, 0x01, 0x12]],
    ["has no length", [0x0a]],
    ["has a length beyond all bytes", [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])("that %s is refused", (_, bytes) => {
    const value = read(Uint8Array.from(bytes), (reader) => {
      reader.expect(1);
      const outerEnd = reader.enter();
      reader.expect(2);
      const text = reader.string();
      reader.leave(outerEnd);
      return text;
    });
    expect(value).toBeUndefined();
  });

  it("has nothing more to read once something was refused, on any level", () => {
    const reader = new WireReader();
    reader.begin(Buffer.from([0x0a, 0x04, 0x12, 0x01, 0x61, 0x18, 0x0a, 0x00]), 0);
    reader.expect(1);
    const outerEnd = reader.enter();
    reader.refuse();
    expect(reader.hasMore()).toBe(false);
    reader.leave(outerEnd);
    expect(reader.hasMore()).toBe(false);
    expect(reader.finish()).toBe(false);
  });
});
