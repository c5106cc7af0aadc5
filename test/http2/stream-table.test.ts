import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RequestHead } from "../../src/http2/fields.ts";
import { type StreamHost, StreamState } from "../../src/http2/stream.ts";
import { StreamTable } from "../../src/http2/stream-table.ts";

const head = new RequestHead({
  fields: [],
  isSound: true,
  isTooLarge: false,
  isRemembered: false,
  listBytes: 0,
});
const streamOf = (id: number) =>
  new StreamState({ id, connection: {} as StreamHost, head, sendBytes: 65_535, beganMs: 0 });

describe("the table of open streams", () => {
  test("finds the streams that it was given, as a Map would, whatever comes and goes", () => {
    const step = fc.record({
      kind: fc.constantFrom("add" as const, "add" as const, "delete" as const),
      // Few, so that they share slots; some far apart.
      number: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 2 ** 30 - 1 })),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const table = new StreamTable();
        const model = new Map<number, StreamState>();
        for (const { kind, number } of steps) {
          const id = 2 * number + 1;
          const known = model.get(id);
          expect(table.get(id)).toBe(known);
          if (kind === "add" && known === undefined) {
            const stream = streamOf(id);
            model.set(id, stream);
            table.add(stream);
          }
          if (kind === "delete" && known !== undefined) {
            model.delete(id);
            table.delete(known);
          }
          expect(table.get(id)).toBe(model.get(id));
          expect(table.size).toBe(model.size);
        }
        expect(table.all()).toEqual([...model.values()].sort((a, b) => a.id - b.id));
      }),
    );
  });

  test("does not take a stream for another of the same id", () => {
    const table = new StreamTable();
    table.add(streamOf(1));
    expect([table.delete(streamOf(1)), table.size]).toEqual([false, 1]);
    const [stream] = table.all();
    expect([table.delete(stream as StreamState), table.delete(stream as StreamState)]).toEqual([true, false]);
  });

  test("lists what there was when it was asked, in the order of their ids", () => {
    const table = new StreamTable();
    for (const id of [129, 1, 257, 3]) table.add(streamOf(id));
    const all = table.all();
    for (const stream of all) table.delete(stream);
    expect([all.map(({ id }) => id), table.size]).toEqual([[1, 3, 129, 257], 0]);
  });
});
