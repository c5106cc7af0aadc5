import { BinaryReader } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import { PREFIX_BYTES, WireWriter } from "../../src/wire/wire-writer.ts";

function written(write: (writer: WireWriter) => void, writer = new WireWriter()): Buffer {
  writer.beginFrame();
  write(writer);
  return writer.endFrame();
}

const messageOf = (frame: Buffer) => new BinaryReader(Uint8Array.from(frame.subarray(PREFIX_BYTES)));

describe("a text", () => {
  // Lengths around those where another way of writing begins, or the length takes one byte more.
  const lengths = [
    1, 23, 24, 25, 42, 43, 63, 64, 65, 126, 127, 128, 129, 5461, 5462, 8191, 8192, 16_383, 16_384, 70_000,
  ];

  it.each(["a", "é", "€", "𝄞"].flatMap((character) => lengths.map((length) => [character, length] as const)))(
    "of %s, %d times, is read as it was written",
    (character, length) => {
      const text = character.repeat(length);
      const frame = written((writer) => {
        writer.string(1, text);
        writer.uint32(2, 7);
      });
      const reader = messageOf(frame);
      expect(reader.tag()).toEqual([1, 2]);
      expect(reader.string(true)).toBe(text);
      expect(reader.tag()).toEqual([2, 0]);
      expect(reader.uint32()).toBe(7);
      expect(reader.pos).toBe(reader.len);
      expect(frame.readUInt32BE(1)).toBe(frame.length - PREFIX_BYTES);
    },
  );

  it.each([
    ["short", "a\ud800"],
    ["long", `${"a".repeat(200)}\udc00`],
  ])("that holds half a character, and is %s, is refused", (_, text) => {
    expect(() => written((writer) => writer.string(1, text))).toThrow(RangeError);
  });
});

describe("a message within a message", () => {
  it.each([0, 1, 123, 124, 125, 126, 127, 128, 16_379, 16_380, 16_381, 16_382, 16_384, 40_000])(
    "of a text of %d bytes is read as it was written, on two levels",
    (length) => {
      const frame = written((writer) => {
        const outer = writer.begin(1);
        const inner = writer.begin(2);
        writer.string(3, "x".repeat(length));
        writer.end(inner);
        writer.uint32(4, 300);
        writer.end(outer);
        writer.bool(5, true);
      });
      const reader = messageOf(frame);
      reader.tag();
      const outer = new BinaryReader(reader.bytes());
      outer.tag();
      const inner = new BinaryReader(outer.bytes());
      const text = inner.len === 0 ? "" : (inner.tag(), inner.string());
      expect(text.length).toBe(length);
      expect(outer.tag()).toEqual([4, 0]);
      expect(outer.uint32()).toBe(300);
      expect(outer.pos).toBe(outer.len);
      expect(reader.tag()).toEqual([5, 0]);
      expect(reader.bool()).toBe(true);
      expect(reader.pos).toBe(reader.len);
    },
  );
});

describe("a number", () => {
  it.each([
    1,
    127,
    128,
    16_383,
    16_384,
    2_097_151,
    2_097_152,
    268_435_455,
    268_435_456,
    2 ** 31,
    2 ** 32 - 1,
  ])("of %d is read as it was written", (value) => {
    const reader = messageOf(written((writer) => writer.uint32(1, value)));
    reader.tag();
    expect(reader.uint32()).toBe(value);
    expect(reader.pos).toBe(reader.len);
  });

  it.each([-1, 1.5, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY])("of %d is refused", (value) => {
    expect(() => written((writer) => writer.uint32(1, value))).toThrow(RangeError);
  });
});

describe("what is the default", () => {
  it("is left out of a single value, and written in a list", () => {
    const single = written((writer) => {
      writer.string(1, "");
      writer.uint32(2, 0);
      writer.bool(3, false);
    });
    expect(single.length).toBe(PREFIX_BYTES);
    const always = written((writer) => {
      writer.strings(1, [""]);
      writer.uint32Always(2, 0);
      writer.boolAlways(3, false);
      writer.doubleAlways(4, 0);
    });
    expect([...always.subarray(PREFIX_BYTES)]).toEqual([10, 0, 16, 0, 24, 0, 33, 0, 0, 0, 0, 0, 0, 0, 0]);
  });
});

describe("a frame", () => {
  it("is not touched by the next, nor by one that failed before it", () => {
    const writer = new WireWriter();
    const first = written((each) => each.string(1, "first"), writer);
    expect(() => written((each) => each.string(1, "\ud800"), writer)).toThrow(RangeError);
    const second = written((each) => each.string(1, "later"), writer);
    expect(first.toString("latin1", 7)).toBe("first");
    expect(second.toString("latin1", 7)).toBe("later");
  });

  it("that was large leaves room for small ones that are right", () => {
    const writer = new WireWriter();
    const large = written((each) => each.string(1, "x".repeat(1_000_000)), writer);
    expect(large.length).toBe(PREFIX_BYTES + 1 + 3 + 1_000_000);
    expect([...written((each) => each.string(1, "a"), writer)]).toEqual([0, 0, 0, 0, 3, 10, 1, 97]);
  });
});

describe("what was written once", () => {
  it.each([0, 1, 300, 20_000])(
    "is written again as it was, also where the buffer grows: %d characters",
    (length) => {
      const text = "aé\u0000€".repeat(length);
      const writer = new WireWriter();
      let kept = "";
      const first = written((into) => {
        into.uint32(1, 5);
        const start = into.position;
        into.string(2, text);
        kept = into.writtenSince(start);
      }, writer);
      const again = written((into) => {
        into.uint32(1, 5);
        into.raw(kept);
      }, writer);
      expect(again.equals(first)).toBe(true);
    },
  );
});

describe("a shared list", () => {
  it("is written as any other, each time and under each number", () => {
    const texts = ["items.read", "é".repeat(200), ""];
    for (const field of [3, 3, 4, 3]) {
      const shared = written((writer) => writer.sharedStrings(field, texts));
      expect(shared.equals(written((writer) => writer.strings(field, texts)))).toBe(true);
    }
  });
});
