import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { HpackDecoder, type HpackDecoderOptions, HpackError } from "../../src/http2/hpack-decoder.ts";

const MAX_LIST_BYTES = 16_384;

function createDecoder(options: Partial<HpackDecoderOptions> = {}): HpackDecoder {
  return new HpackDecoder({ maxListBytes: MAX_LIST_BYTES, ...options });
}

function decode(decoder: HpackDecoder, hex: string) {
  const bytes = Buffer.from(hex.replaceAll(" ", ""), "hex");
  return decoder.decode(bytes, 0, bytes.length);
}

function listBytes(fields: readonly string[]): number {
  return fields.reduce((sum, text) => sum + text.length, (fields.length / 2) * 32);
}

/** The entries, newest first, asked for one after the other until there is none. A reference changes nothing. */
function tableOf(decoder: HpackDecoder): string[] {
  const entries: string[] = [];
  for (let index = 62; ; index++) {
    try {
      entries.push(...decoder.decode(Buffer.of(0x80 | index), 0, 1).fields);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      return entries;
    }
  }
}

const GET = [":method", "GET"];
const POST = [":method", "POST"];
const EXAMPLE = [":authority", "www.example.com"];
const NO_CACHE = ["cache-control", "no-cache"];
const CUSTOM = ["custom-key", "custom-value"];
const PRIVATE = ["cache-control", "private"];
const DATE_21 = ["date", "Mon, 21 Oct 2013 20:13:21 GMT"];
const DATE_22 = ["date", "Mon, 21 Oct 2013 20:13:22 GMT"];
const LOCATION = ["location", "https://www.example.com"];
const GZIP = ["content-encoding", "gzip"];
const COOKIE = ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"];
const STATUS_302 = [":status", "302"];
const STATUS_307 = [":status", "307"];

describe("RFC 7541 Appendix C", () => {
  test.each([
    { size: 10, hex: "2a" },
    { size: 1337, hex: "3f9a0a" },
  ])("C.1.1 and C.1.2: $size in five bits, as a table size", ({ size, hex }) => {
    expect(decode(createDecoder({ maxTableBytes: size }), hex).fields).toEqual([]);
    expect(() => decode(createDecoder({ maxTableBytes: size - 1 }), hex)).toThrow(HpackError);
  });

  test("C.1.3: 42 from a byte's start, as a string's length", () => {
    expect(decode(createDecoder(), `000161 2a ${"62".repeat(42)}`).fields).toEqual(["a", "b".repeat(42)]);
  });

  test.each([
    {
      example: "C.2.1",
      hex: "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
      field: ["custom-key", "custom-header"],
      table: ["custom-key", "custom-header"],
    },
    {
      example: "C.2.2",
      hex: "040c 2f73 616d 706c 652f 7061 7468",
      field: [":path", "/sample/path"],
      table: [],
    },
    {
      example: "C.2.3",
      hex: "1008 7061 7373 776f 7264 0673 6563 7265 74",
      field: ["password", "secret"],
      table: [],
    },
    { example: "C.2.4", hex: "82", field: GET, table: [] },
  ])("$example: $field and the table after it", ({ hex, field, table }) => {
    const decoder = createDecoder();
    expect(decode(decoder, hex)).toMatchObject({ fields: field, isTooLarge: false });
    expect(tableOf(decoder)).toEqual(table);
  });

  const requests = [
    {
      fields: [GET, [":scheme", "http"], [":path", "/"], EXAMPLE],
      table: [EXAMPLE],
      tableBytes: 57,
    },
    {
      fields: [GET, [":scheme", "http"], [":path", "/"], EXAMPLE, NO_CACHE],
      table: [NO_CACHE, EXAMPLE],
      tableBytes: 110,
    },
    {
      fields: [GET, [":scheme", "https"], [":path", "/index.html"], EXAMPLE, CUSTOM],
      table: [CUSTOM, NO_CACHE, EXAMPLE],
      tableBytes: 164,
    },
  ];
  const responses = [
    {
      fields: [STATUS_302, PRIVATE, DATE_21, LOCATION],
      table: [LOCATION, DATE_21, PRIVATE, STATUS_302],
      tableBytes: 222,
    },
    {
      fields: [STATUS_307, PRIVATE, DATE_21, LOCATION],
      table: [STATUS_307, LOCATION, DATE_21, PRIVATE],
      tableBytes: 222,
    },
    {
      fields: [[":status", "200"], PRIVATE, DATE_22, LOCATION, GZIP, COOKIE],
      table: [COOKIE, GZIP, DATE_22],
      tableBytes: 215,
    },
  ];

  test.each([
    {
      example: "C.3",
      maxTableBytes: 4096,
      lists: requests,
      blocks: [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
      ],
    },
    {
      example: "C.4",
      maxTableBytes: 4096,
      lists: requests,
      blocks: [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
      ],
    },
    {
      example: "C.5",
      maxTableBytes: 256,
      lists: responses,
      blocks: [
        `4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32
         3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d`,
        "4803 3330 37c1 c0bf",
        `88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970
         7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61
         6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31`,
      ],
    },
    {
      example: "C.6",
      maxTableBytes: 256,
      lists: responses,
      blocks: [
        `4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3`,
        "4883 640e ffc1 c0bf",
        `88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2
         e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07`,
      ],
    },
  ])("$example: each list of one connection, and the table after it", ({ maxTableBytes, lists, blocks }) => {
    const decoder = createDecoder({ maxTableBytes });
    const seen = blocks.map((block) => {
      const { fields } = decode(decoder, block.replaceAll(/\s/g, ""));
      const table = tableOf(decoder);
      return { fields, table, tableBytes: listBytes(table) };
    });
    expect(seen).toEqual(
      lists.map((list) => ({ ...list, fields: list.fields.flat(), table: list.table.flat() })),
    );
  });
});

describe("a block that cannot be decoded is refused, also behind a list that is already too large:", () => {
  test.each([
    ["index 0", "80"],
    ["an index beyond an empty table", "be"],
    ["an index beyond the table", "4001610162 bf"],
    ["a name's index beyond the table, to be inserted", "7e0161"],
    ["a name's index beyond the table, not to be inserted", "0f2f0161"],
    ["an index without its end", "ff"],
    ["an index without its end, further on", "ff80"],
    ["an integer above 2^28", "0f f2ffff7f 0161"],
    ["an integer above 2^28, in five bytes", "0f ffffffff7f 0161"],
    ["an integer of six bytes after the first", "0f 808080808000 0161"],
    ["an endless integer", `0f ${"80".repeat(100)}`],
    ["a table size update after a field", "82 20"],
    ["a table size update between fields", "82 20 84"],
    ["a string that goes on beyond the block, to be inserted", "4001610262"],
    ["a string that goes on beyond the block", "0001610262"],
    ["a name that goes on beyond the block", "007f8080"],
    ["no name, to be inserted", "40"],
    ["no name", "00"],
    ["no value, to be inserted", "400161"],
    ["no value", "000161"],
    ["no value, never to be indexed", "1f28"],
    ["EOS in a string, to be inserted", "400161 84fffffffc"],
    ["EOS in a string", "000161 84fffffffc"],
    ["EOS in a name", "0084fffffffc 0161"],
    ["a byte of padding", "000161 821fff"],
    ["a byte of padding, to be inserted", "400161 821fff"],
    ["padding that is not all ones", "000161 8100"],
    ["half a symbol", "000161 82fffe"],
  ])("%s", (_, hex) => {
    expect(() => decode(createDecoder(), hex)).toThrow(HpackError);
    const tooLarge = createDecoder({ maxListBytes: 100 });
    expect(() => decode(tooLarge, `828282 ${hex}`)).toThrow(HpackError);
  });

  test.each([
    ["a table size above the one in SETTINGS", "3fe21f"],
    ["a third table size update", "202020"],
    ["a table size without its end", "3f"],
  ])("%s", (_, hex) => {
    expect(() => decode(createDecoder(), hex)).toThrow(HpackError);
  });
});

describe("what RFC 7541 allows is taken:", () => {
  test.each([
    ["an empty block", "", []],
    ["an integer with zeros to spare", "0f8080808000 0161", ["accept-charset", "a"]],
    ["an empty value", "00016100", ["a", ""]],
    ["a Huffman string of 8000 bytes", `000161 ff8926 ${"00".repeat(5000)}`, ["a", "0".repeat(8000)]],
    ["an empty Huffman string", "00016180", ["a", ""]],
    ["all bytes", "000161 03000aff", ["a", "\x00\n\xff"]],
    ["no more than table size updates", "20 3fe11f", []],
    ["a list after two table size updates", "20 3fe11f 82", GET],
  ])("%s", (_, hex, fields) => {
    expect(decode(createDecoder(), hex)).toMatchObject({ fields, isTooLarge: false });
  });
});

describe("the dynamic table", () => {
  /** A literal to be inserted with this name of one byte, and a value of so many "v". */
  function insertion(name: string, valueBytes: number): string {
    const length = Buffer.of(0x7f, ((valueBytes - 0x7f) & 0x7f) | 0x80, (valueBytes - 0x7f) >> 7);
    const value = "v".repeat(valueBytes);
    return `4001${Buffer.concat([Buffer.from(name), length, Buffer.from(value)]).toString("hex")}`;
  }

  test("evicts the oldest as soon as its bytes are above the size, not before", () => {
    const decoder = createDecoder({ maxTableBytes: 3 * 233 });
    const names = () => tableOf(decoder).filter((_, index) => index % 2 === 0);
    decode(decoder, insertion("a", 200) + insertion("b", 200) + insertion("c", 200));
    expect(names()).toEqual(["c", "b", "a"]);
    decode(decoder, insertion("d", 200));
    expect(names()).toEqual(["d", "c", "b"]);
    decode(decoder, insertion("e", 201));
    expect(names()).toEqual(["e", "d"]);
  });

  test("is emptied by an entry larger than itself, which the list has all the same", () => {
    const decoder = createDecoder({ maxTableBytes: 232 });
    decode(decoder, insertion("a", 150));
    expect(decode(decoder, insertion("b", 200)).fields).toEqual(["b", "v".repeat(200)]);
    expect(tableOf(decoder)).toEqual([]);
  });

  test("lends a name to the entry whose insertion evicts it", () => {
    const decoder = createDecoder({ maxTableBytes: 233 });
    decode(decoder, insertion("a", 200));
    expect(decode(decoder, "7e0162").fields).toEqual(["a", "b"]);
    expect(tableOf(decoder)).toEqual(["a", "b"]);
    decode(decoder, insertion("a", 200));
    expect(tableOf(decoder)).toEqual(["a", "v".repeat(200)]);
  });

  test("evicts when its size is lowered, and has room again when it is raised", () => {
    const decoder = createDecoder();
    decode(decoder, insertion("a", 200) + insertion("b", 200));
    decode(decoder, "3fca01");
    expect(tableOf(decoder)).toEqual(["b", "v".repeat(200)]);
    decode(decoder, "3fc901");
    expect(tableOf(decoder)).toEqual([]);
    decode(decoder, `3fe11f ${insertion("c", 200)} ${insertion("d", 200)}`);
    expect(tableOf(decoder)).toHaveLength(4);
  });

  test("holds as many entries as its size allows, the smallest too, over any number of insertions", () => {
    const decoder = createDecoder({ maxTableBytes: 40 * 33 });
    const inserted: string[] = [];
    for (let code = 0; code < 256; code++) {
      inserted.unshift(String.fromCharCode(code), "");
      decode(decoder, `4001${Buffer.of(code).toString("hex")}00`);
      expect(tableOf(decoder)).toEqual(inserted.slice(0, 80));
    }
    const empty = createDecoder({ maxTableBytes: 40 * 32 });
    decode(empty, "400000".repeat(100));
    expect(tableOf(empty)).toHaveLength(80);
  });

  test("of size 0 keeps nothing", () => {
    const decoder = createDecoder({ maxTableBytes: 0 });
    expect(decode(decoder, "400000 4001610162").fields).toEqual(["", "", "a", "b"]);
    expect(tableOf(decoder)).toEqual([]);
  });
});

describe("a list above the bound", () => {
  const LIST = [GET, GET, POST].flat();
  const BLOCK = "828283";

  test("is told from one that just fits", () => {
    const fits = createDecoder({ maxListBytes: listBytes(LIST) });
    expect(decode(fits, BLOCK)).toMatchObject({ fields: LIST, isTooLarge: false });
    const tooSmall = createDecoder({ maxListBytes: listBytes(LIST) - 1 });
    expect(decode(tooSmall, BLOCK)).toMatchObject({ fields: [GET, GET].flat(), isTooLarge: true });
  });

  test("stays so, though later fields would fit", () => {
    const decoder = createDecoder({ maxListBytes: 100 });
    expect(decode(decoder, `8200016164${"62".repeat(100)}82`)).toMatchObject({
      fields: GET,
      isTooLarge: true,
    });
  });

  test("leaves the table as the peer has it, and the next list is decoded", () => {
    const decoder = createDecoder({ maxListBytes: 100 });
    // Two that fit, one that does not; one inserted, not inserted, never indexed, inserted by a name's index.
    expect(decode(decoder, "828283 4001610162 0001630164 1001650166 7e0167 be").isTooLarge).toBe(true);
    expect(tableOf(decoder)).toEqual(["a", "g", "a", "b"]);
    expect(decode(decoder, "82be")).toMatchObject({ fields: [...GET, "a", "g"], isTooLarge: false });
  });

  test("is not kept, however often it repeats one large entry", () => {
    const decoder = createDecoder();
    const value = "v".repeat(4000);
    const entry = `4001617fa11e${Buffer.from(value).toString("hex")}`;
    const { fields, isTooLarge } = decode(decoder, entry + "be".repeat(100_000));
    expect(isTooLarge).toBe(true);
    expect(fields).toEqual(Array.from({ length: 4 }, () => ["a", value]).flat());
  });
});

describe("a field that is not sound", () => {
  const isSound = (name: string, value: string) => name !== "transfer-encoding" && value !== "bad";

  test.each([
    { how: "inserted", hex: "82 4001610362 6164 83" },
    { how: "not inserted", hex: "82 0001610362 6164" },
    { how: "never to be inserted", hex: "82 1001610362 6164" },
    { how: "of the static table", hex: "b9 82" },
  ])("$how, makes its list so", ({ hex }) => {
    expect(decode(createDecoder({ isSound }), hex).isSound).toBe(false);
    expect(decode(createDecoder(), hex).isSound).toBe(true);
  });

  test("makes each later list so that refers to it, and no other", () => {
    const decoder = createDecoder({ isSound });
    expect(decode(decoder, "82 4001610362 6164 40016201 63").isSound).toBe(false);
    expect(decode(decoder, "82 be").isSound).toBe(true);
    expect(decode(decoder, "82 be bf").isSound).toBe(false);
    // By its name alone.
    expect(decode(decoder, "7f000163").isSound).toBe(true);
  });

  test("is so where its list was too large, too", () => {
    const decoder = createDecoder({ isSound, maxListBytes: 50 });
    expect(decode(decoder, "8282 4001610362 6164").isTooLarge).toBe(true);
    expect(decode(decoder, "be").isSound).toBe(false);
  });

  test("is looked at once, however often it is referred to", () => {
    const asked: string[] = [];
    const decoder = createDecoder({ isSound: (name, value) => asked.push(`${name}=${value}`) > 0 });
    asked.length = 0;
    decode(decoder, "82 4001610162 86 be be");
    for (let block = 0; block < 3; block++) decode(decoder, "82 be 84 be");
    expect(asked).toEqual(["a=b"]);
  });
});

describe("a block that is repeated", () => {
  const INSERTED = "4001610162";
  const REPEATED = "82be 0001630164 1001650166";
  const LIST = [...GET, "a", "b", "c", "d", "e", "f"];

  test("is answered by the same object, as long as it comes", () => {
    const decoder = createDecoder();
    decode(decoder, INSERTED);
    const first = decode(decoder, REPEATED);
    expect(first).toMatchObject({ fields: LIST, listBytes: listBytes(LIST), isRemembered: true });
    expect(decode(decoder, REPEATED)).toBe(first);
    expect(decode(decoder, REPEATED)).toBe(first);
  });

  test.each([
    { change: "an insertion", hex: "4001780179", newest: ["x", "y"] },
    { change: "an insertion by the same bytes", hex: INSERTED, newest: ["a", "b"] },
    {
      change: "an insertion that evicts all",
      hex: `4001787f8120${"79".repeat(4224)} 4001780179`,
      newest: ["x", "y"],
    },
  ])("is decoded anew after $change", ({ hex, newest }) => {
    const decoder = createDecoder();
    decode(decoder, INSERTED);
    const first = decode(decoder, "be");
    expect(decode(decoder, hex).isRemembered).toBe(false);
    expect(decode(decoder, "be")).not.toBe(first);
    expect(decode(decoder, "be").fields).toEqual(newest);
  });

  test("is refused once its entry is evicted by a table size update", () => {
    const decoder = createDecoder();
    decode(decoder, INSERTED);
    decode(decoder, "be");
    expect(decode(decoder, "20").isRemembered).toBe(false);
    expect(() => decode(decoder, "be")).toThrow(HpackError);
  });

  test("does as it did where it changes the table itself", () => {
    const decoder = createDecoder();
    for (let times = 0; times < 3; times++) expect(decode(decoder, INSERTED).isRemembered).toBe(false);
    expect(tableOf(decoder)).toEqual(["a", "b", "a", "b", "a", "b"]);
  });

  test("is not told from another by its length, nor by its beginning", () => {
    const decoder = createDecoder();
    expect(decode(decoder, "8283").fields).toEqual([...GET, ...POST]);
    expect(decode(decoder, "8282").fields).toEqual([...GET, ...GET]);
    expect(decode(decoder, "82").fields).toEqual(GET);
    expect(decode(decoder, "").fields).toEqual([]);
  });

  test("is not remembered where it is long", () => {
    const decoder = createDecoder();
    expect(decode(decoder, "82".repeat(256)).isRemembered).toBe(true);
    const long = decode(decoder, "82".repeat(257));
    expect(long.isRemembered).toBe(false);
    expect(decode(decoder, "82".repeat(257))).toEqual(long);
  });
});

describe("whatever the bytes", () => {
  /** Bytes of which many are a step of a real block. */
  const piece = fc.oneof(
    fc.integer({ min: 0x80, max: 0xff }).map((byte) => [byte]),
    fc.constantFrom([0x20], [0x3f, 0xe1, 0x1f], [0x3f, 0x45], [0x40, 0, 0], [0x7e, 0], [0xbe], [0xff, 0x00]),
    fc
      .record({
        first: fc.constantFrom(0x00, 0x10, 0x40, 0x41, 0x0f, 0x4f, 0x7e),
        string: fc.uint8Array({ maxLength: 60 }),
        huffman: fc.constantFrom(0x00, 0x80),
      })
      .map(({ first, string, huffman }) => [first, huffman | string.length, ...string]),
    fc.uint8Array({ maxLength: 8 }).map((bytes) => [...bytes]),
  );
  const block = fc.array(piece, { maxLength: 30 }).map((pieces) => Buffer.from(pieces.flat()));

  /** What comes of it, in a form to compare. */
  function outcome(decoder: HpackDecoder, bytes: Buffer, start: number, end: number) {
    try {
      return decoder.decode(bytes, start, end);
    } catch (error) {
      if (!(error instanceof HpackError)) throw error;
      return error.message;
    }
  }

  test("a block is decoded within the bound or refused with HpackError, and nothing outside of it is read", () => {
    let decoded = 0;
    fc.assert(
      fc.property(
        fc.array(block, { maxLength: 5 }),
        fc.integer({ min: 0, max: 400 }),
        fc.uint8Array({ minLength: 8, maxLength: 8 }),
        (blocks, maxListBytes, around) => {
          const alone = createDecoder({ maxListBytes });
          const within = createDecoder({ maxListBytes });
          for (const bytes of blocks) {
            const result = outcome(alone, bytes, 0, bytes.length);
            const surrounded = Buffer.concat([around, bytes, around]);
            expect(outcome(within, surrounded, 8, 8 + bytes.length)).toEqual(result);
            if (typeof result === "string") return;
            decoded++;
            expect(listBytes(result.fields)).toBeLessThanOrEqual(maxListBytes);
            expect(result.fields.every((text) => typeof text === "string")).toBe(true);
            expect(listBytes(tableOf(alone))).toBeLessThanOrEqual(4096);
          }
        },
      ),
      { numRuns: 5_000 },
    );
    // So that the test is not one of refusals only.
    expect(decoded).toBeGreaterThan(500);
  });

  test("a block that is remembered is answered as one that is decoded", () => {
    const sound = fc.constantFrom(
      "82",
      "86",
      "be",
      "bf",
      "4001610162",
      "4001610163",
      "0001640165",
      "7e0166",
      "1001640165",
    );
    const blocks = fc.array(
      fc.oneof(
        { weight: 9, arbitrary: fc.array(sound, { maxLength: 4 }).map((pieces) => pieces.join("")) },
        { weight: 1, arbitrary: fc.constantFrom("20", "3f45", "20 3fe11f") },
      ),
      { minLength: 1, maxLength: 4 },
    );
    const order = fc.array(fc.nat({ max: 3 }), { minLength: 2, maxLength: 20 });
    let repeated = 0;
    fc.assert(
      fc.property(blocks, order, (of, order) => {
        const remembering = createDecoder();
        const forgetful = createDecoder();
        decode(remembering, "4001610162 4001620163");
        decode(forgetful, "4001610162 4001620163");
        let last: unknown;
        for (const index of order) {
          const bytes = Buffer.from((of[index % of.length] as string).replaceAll(" ", ""), "hex");
          // Which changes nothing but what was last.
          decode(forgetful, "84");
          const result = outcome(remembering, bytes, 0, bytes.length);
          expect(result).toEqual(outcome(forgetful, bytes, 0, bytes.length));
          if (typeof result === "string") return;
          if (result === last) repeated++;
          last = result;
        }
      }),
      { numRuns: 2_000 },
    );
    expect(repeated).toBeGreaterThan(500);
  });
});
