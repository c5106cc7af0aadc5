import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Chance, SecondChanceMap } from "../../src/replica/second-chance-map.ts";

function startMap(bounds: { entries?: number; bytes?: number }) {
  const dropped: string[] = [];
  const map = new SecondChanceMap<Chance>({
    entries: bounds.entries ?? 1000,
    bytes: bounds.bytes ?? 1_000_000,
    onDropped: ({ id }) => void dropped.push(id),
  });
  const set = (id: string, bytes = 1) => map.set({ id, bytes, isUsed: false, slot: 0 });
  const ids = () => [...map.values()].map(({ id }) => id).sort();
  return { map, set, ids, dropped };
}

describe("a second-chance map", () => {
  test("drops what was not used, and keeps what was", () => {
    const { map, set, ids, dropped } = startMap({ entries: 3 });
    for (const id of ["a", "b", "c"]) set(id);
    map.get("a");
    map.get("c");
    set("d");
    expect([ids(), dropped]).toEqual([["a", "c", "d"], ["b"]]);
  });

  test("drops what was used long ago", () => {
    const { map, set, ids } = startMap({ entries: 3 });
    for (const id of ["a", "b", "c"]) set(id);
    map.get("a");
    for (const id of ["d", "e", "f", "g"]) {
      set(id);
      map.get(id);
    }
    expect(ids()).not.toContain("a");
  });

  test("has room for one more even if all were used a moment ago, and passes over few to find it", () => {
    const { map, set, ids } = startMap({ entries: 100 });
    const entries = Array.from({ length: 100 }, (_, index) => ({
      id: `old ${index}`,
      bytes: 1,
      isUsed: true,
      slot: 0,
    }));
    for (const entry of entries) map.set(entry);
    set("new");
    expect(ids()).toHaveLength(100);
    expect(ids()).toContain("new");
    expect(entries.filter(({ isUsed }) => !isUsed).length).toBeLessThanOrEqual(32);
  });

  test("keeps no more bytes than the bound, and nothing that is larger", () => {
    const { set, ids, dropped } = startMap({ bytes: 10 });
    expect([set("a", 4), set("b", 4), set("c", 11)]).toEqual([true, true, false]);
    expect(ids()).toEqual(["a", "b"]);
    expect(set("d", 9)).toBe(true);
    expect([ids(), dropped.sort()]).toEqual([["d"], ["a", "b"]]);
  });

  test("tells of one that another replaces, also by one that is too large", () => {
    const { map, set, dropped } = startMap({ bytes: 10 });
    set("a", 4);
    set("a", 5);
    expect([dropped, map.get("a")?.bytes]).toEqual([["a"], 5]);
    set("a", 11);
    expect([dropped, map.get("a")]).toEqual([["a", "a"], undefined]);
  });

  test("keeps its bounds and loses nobody, whatever is done with it", () => {
    const id = fc.integer({ min: 0, max: 30 }).map(String);
    const step = fc.oneof(
      fc.record({ kind: fc.constant("set" as const), id, bytes: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ kind: fc.constant("get" as const), id }),
      fc.record({ kind: fc.constant("delete" as const), id }),
      fc.record({ kind: fc.constant("clear" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
        const { map, dropped } = startMap({ entries: 8, bytes: 40 });
        let setCount = 0;
        for (const each of steps) {
          if (each.kind === "set" && map.set({ ...each, isUsed: false, slot: 0 })) setCount++;
          if (each.kind === "get") map.get(each.id);
          if (each.kind === "delete") map.delete(each.id);
          if (each.kind === "clear") map.clear();
          const all = [...map.values()];
          expect(all.length).toBeLessThanOrEqual(8);
          expect(all.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(40);
          expect(dropped.length + all.length).toBe(setCount);
        }
      }),
    );
  });
});
