import { expect, test } from "vitest";
import type { Charge } from "../../src/core/ports.ts";
import { createKeyNames } from "../../src/redis/key-names.ts";
import { chargeOf } from "../contract/bucket-store.ts";

test("a bucket has another name in each shape, window and shard, whichever was asked for before", () => {
  const bucket = "the same";
  const charges: Charge[] = [
    { ...chargeOf({ bucket, windowMs: 1000, shape: "sliding" }), shardBy: "one" },
    { ...chargeOf({ bucket, windowMs: 1000, shape: "fixed" }), shardBy: "one" },
    { ...chargeOf({ bucket, windowMs: 2000, shape: "sliding" }), shardBy: "one" },
    { ...chargeOf({ bucket, windowMs: 1000, shape: "sliding" }), shardBy: "another" },
  ];
  const alone = charges.map((charge) => createKeyNames({ shards: 1000 }).bucket(charge));
  expect(new Set(alone).size).toBe(4);
  const names = createKeyNames({ shards: 1000 });
  for (let round = 0; round < 3; round++) {
    expect(charges.map((charge) => names.bucket(charge))).toEqual(alone);
  }
});

test("a name is the same however many others were asked for since", () => {
  const names = createKeyNames({ shards: 64 });
  const charges = Array.from({ length: 40_000 }, (_, index) => chargeOf({ bucket: `bucket-${index}` }));
  const first = charges.map((charge) => names.bucket(charge));
  expect(new Set(first).size).toBe(40_000);
  expect(charges.map((charge) => names.bucket(charge))).toEqual(first);
});
