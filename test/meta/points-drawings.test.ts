import { readdirSync, readFileSync } from "node:fs";
import type { Redis } from "ioredis";
import { afterAll, beforeAll, expect, test } from "vitest";
import { drawPoints } from "../../scripts/points-drawings/draw-points.ts";
import { connectToTestRedis } from "../property/connect-to-test-redis.ts";
import { inRepository } from "../support/repository.ts";

let redis: Redis;
let drawn: ReadonlyMap<string, string>;

beforeAll(async () => {
  redis = await connectToTestRedis();
  await redis.flushdb();
  drawn = await drawPoints(redis);
});

afterAll(() => {
  redis.disconnect();
});

test("the drawings of docs/points.md show what Redis decides (else: npm run draw)", () => {
  const committed = readdirSync(inRepository("docs/points")).map((name) => `docs/points/${name}`);
  expect(new Map(committed.map((path) => [path, readFileSync(inRepository(path), "utf8")]))).toEqual(
    new Map(drawn),
  );
});

test("a script that admits one point too many draws something else", async () => {
  await redis.flushdb();
  const wrong = await drawPoints(redis, {
    edit: (source) => source.replaceAll("> limit.capacity", "> limit.capacity + limit.unit"),
  });
  expect([...wrong.keys()]).toEqual([...drawn.keys()]);
  expect([...wrong].filter(([path, svg]) => svg === drawn.get(path))).toEqual([]);
});

test("each drawing stands by itself: small, light and dark, and it loads and runs nothing", () => {
  for (const [path, svg] of drawn) {
    expect(Buffer.byteLength(svg), path).toBeLessThan(30_000);
    expect(svg, path).toContain("prefers-color-scheme:dark");
    expect(svg.replace('xmlns="http://www.w3.org/2000/svg"', ""), path).not.toMatch(
      /https?:|<script|<image|@import/,
    );
  }
});

test("each drawing stands in docs/points.md, with words for those who do not see it", () => {
  const page = readFileSync(inRepository("docs/points.md"), "utf8");
  const shown = [...page.matchAll(/!\[([^\]]{40,})\]\(([^)]+\.svg)\)/g)].map(([, , path]) => `docs/${path}`);
  expect(shown.sort()).toEqual([...drawn.keys()].sort());
});
