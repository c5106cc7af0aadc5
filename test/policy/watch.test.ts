import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { createPolicySet, type PolicySet } from "../../src/core/policy-set.ts";
import { loadPolicies } from "../../src/policy/load.ts";
import { formatProblem } from "../../src/policy/problem.ts";
import { type PolicyWatch, watchPolicies } from "../../src/policy/watch.ts";
import { policyOf, SHOP, shopWith } from "./policy-text.ts";
import { temporaryFolder } from "./temporary-folder.ts";

// The file system's own, until a test has it fail.
vi.mock("node:fs/promises", { spy: true });
const { readdir: readFolder } = await vi.importActual<typeof import("node:fs/promises")>("node:fs/promises");

const CHANGED = shopWith(["points: 100", "points: 200"]);
const BAD = shopWith(["points: 100", "points: 0"]);

/** What a watch told, one thing at a time. */
interface Watched {
  readonly watch: PolicyWatch;
  /** The points of the next set that was told of, or the messages of what was wrong. */
  next(): Promise<number | readonly string[]>;
  /** What was told and not asked for yet. */
  readonly untold: readonly unknown[];
}

async function watched(folder: string, options: { pollMs?: number } = {}): Promise<Watched> {
  const loaded = await loadPolicies(folder);
  if ("errors" in loaded) throw new Error(loaded.errors.map(formatProblem).join("\n"));
  return startWatch(folder, { current: loaded.set, pollMs: options.pollMs ?? 20 });
}

/** A watch that begins with another policy in force than the folder's. */
function watchedFrom(folder: string, text: string): Watched {
  return startWatch(folder, { current: createPolicySet([policyOf(text)]), pollMs: 20 });
}

function startWatch(folder: string, options: { current: PolicySet; pollMs: number }): Watched {
  const told: (number | readonly string[])[] = [];
  const waiting: ((value: number | readonly string[]) => void)[] = [];
  const tell = (value: number | readonly string[]) => {
    const first = waiting.shift();
    if (first === undefined) told.push(value);
    else first(value);
  };
  const watch = watchPolicies(folder, {
    ...options,
    onChange: (set) => tell(pointsOf(set)),
    onError: (errors) => tell(errors.map(({ message }) => message)),
    settleMs: 10,
  });
  onTestFinished(() => watch.close());
  return {
    watch,
    untold: told,
    next: () => {
      const value = told.shift();
      return value === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(value);
    },
  };
}

/** Has a reading of the folder, the next being number 1, fail as no system does: without a code. */
function failReading(number: number): void {
  for (let good = 1; good < number; good++) vi.mocked(readdir).mockImplementationOnce(readFolder);
  vi.mocked(readdir).mockRejectedValueOnce(new Error("unforeseen"));
}

function pointsOf(set: PolicySet): number {
  return set.policies.get("shop")?.limits[0]?.points ?? -1;
}

test("a changed file is in force", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { next } = await watched(folder);
  writeFileSync(join(folder, "shop.yaml"), CHANGED);
  expect(await next()).toBe(200);
});

test("the system's notice alone is enough", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { next } = await watched(folder, { pollMs: 3_600_000 });
  writeFileSync(join(folder, "shop.yaml"), CHANGED);
  expect(await next()).toBe(200);
});

test("a file that an editor puts in place by renaming is in force", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { next } = await watched(folder);
  writeFileSync(join(folder, "shop.yaml~"), CHANGED);
  renameSync(join(folder, "shop.yaml~"), join(folder, "shop.yaml"));
  expect(await next()).toBe(200);
});

test("a swapped link is in force, as Kubernetes changes a mounted map", async () => {
  const folder = temporaryFolder();
  for (const [name, text] of [
    ["..1", SHOP],
    ["..2", CHANGED],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, "shop.yaml"), text);
  }
  symlinkSync("..1", join(folder, "..data"));
  symlinkSync("..data/shop.yaml", join(folder, "shop.yaml"));
  const { next } = await watched(folder);
  symlinkSync("..2", join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
  expect(await next()).toBe(200);
});

test("a folder that is replaced by another is looked at again", async () => {
  const parent = temporaryFolder();
  const folder = join(parent, "policies");
  mkdirSync(folder);
  writeFileSync(join(folder, "shop.yaml"), SHOP);
  const { next } = await watched(folder);
  mkdirSync(join(parent, "new"));
  writeFileSync(join(parent, "new", "shop.yaml"), CHANGED);
  renameSync(folder, join(parent, "old"));
  renameSync(join(parent, "new"), folder);
  // Between both renames there may have been no folder to be seen.
  const told = await next();
  expect(Array.isArray(told) ? await next() : told).toBe(200);
});

test("a bad file is told once and changes nothing; mended, it is in force", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { next, untold } = await watched(folder);
  writeFileSync(join(folder, "shop.yaml"), BAD);
  expect(await next()).toEqual([expect.stringContaining("a limit of less than 1 point")]);
  writeFileSync(join(folder, "shop.yaml"), SHOP);
  expect(await next()).toBe(100);
  expect(untold).toEqual([]);
});

test("one bad file keeps all others from changing", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { next } = await watched(folder);
  writeFileSync(join(folder, "other.yaml"), "api: [");
  expect(await next()).toEqual([expect.stringContaining("This is not YAML")]);
  writeFileSync(join(folder, "shop.yaml"), CHANGED);
  expect(await next()).toEqual([expect.stringContaining("This is not YAML")]);
  rmSync(join(folder, "other.yaml"));
  expect(await next()).toBe(200);
});

test("what means the same is not told of", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { next, untold } = await watched(folder);
  writeFileSync(join(folder, "shop.yaml"), `# The same.\n${SHOP}`);
  writeFileSync(join(folder, "shop.test.yaml"), "not: [a policy");
  // Another watch, to which the same text is news, tells when it has been there long enough to be read.
  const other = watchedFrom(folder, CHANGED);
  expect(await other.next()).toBe(100);
  writeFileSync(join(folder, "shop.yaml"), CHANGED);
  expect(await next()).toBe(200);
  expect(untold).toEqual([]);
});

test("notices that never cease keep no change from being read", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { next } = await watched(folder);
  const noise = setInterval(() => writeFileSync(join(folder, "noise.log"), String(Math.random())), 2);
  onTestFinished(() => clearInterval(noise));
  writeFileSync(join(folder, "shop.yaml"), CHANGED);
  expect(await next()).toBe(200);
});

test("what changed before the watch began is in force too", async () => {
  const folder = temporaryFolder({ "shop.yaml": CHANGED });
  expect(await watchedFrom(folder, SHOP).next()).toBe(200);
});

test("a reload tells its outcome when it returns, good or bad, changed or not", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { watch, next } = await watched(folder, { pollMs: 3_600_000 });
  await watch.reload();
  expect(await next()).toBe(100);
  rmSync(join(folder, "shop.yaml"));
  await watch.reload();
  expect(await next()).toEqual([expect.stringContaining("There is no policy in the folder")]);
});

test.each([
  ["the look at what is there", 1],
  ["the load", 2],
])(
  "a reload in which %s fails unforeseen tells that, and the next look tells what is there",
  async (_, number) => {
    const folder = temporaryFolder({ "shop.yaml": SHOP });
    const { watch, next, untold } = await watched(folder);
    failReading(number);
    await watch.reload();
    expect(untold).toEqual([[expect.stringContaining("unforeseen")]]);
    await next();
    expect(await next()).toBe(100);
  },
);

test.each([
  ["the look at what is there", 1],
  // Two looks go before it.
  ["the load", 3],
])(
  "a watch in which %s fails unforeseen tells that, and the next look tells what is there",
  async (_, number) => {
    const folder = temporaryFolder({ "shop.yaml": SHOP });
    const { next } = await watched(folder);
    failReading(number);
    expect(await next()).toEqual([expect.stringContaining("unforeseen")]);
    expect(await next()).toBe(100);
  },
);

test("a reload whose set is not taken tells why, and the next reload tells the set again", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const told: unknown[] = [];
  const watch = watchPolicies(folder, {
    current: createPolicySet([policyOf(SHOP)]),
    onChange(set) {
      told.push(pointsOf(set));
      if (told.length === 1) throw new Error("not taken");
    },
    onError: (errors) => told.push(errors.map(({ message }) => message)),
    pollMs: 3_600_000,
  });
  onTestFinished(() => watch.close());
  await watch.reload();
  await watch.reload();
  expect(told).toEqual([100, [expect.stringContaining("not taken")], 100]);
});

test("nothing is told once it is closed", async () => {
  const folder = temporaryFolder({ "shop.yaml": SHOP });
  const { watch, untold } = await watched(folder);
  writeFileSync(join(folder, "shop.yaml"), CHANGED);
  const reloading = watch.reload();
  watch.close();
  await reloading;
  await watch.reload();
  expect(untold).toEqual([]);
});
