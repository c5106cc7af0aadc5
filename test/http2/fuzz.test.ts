import { expect, test } from "vitest";
import { compareEngines, startBothEngines } from "./fuzz/both-engines.ts";
import { fuzzRun } from "./fuzz/fuzz-run.ts";
import { fuzzFrames } from "./fuzz/random-frames.ts";

// Other seeds each time: `npm run fuzz -- --seed N` goes on from the one that a failure names.
const FIRST_SEED = Math.floor(Math.random() * 2 ** 30);

test("whatever frames come: no fault of its own, no hang, nothing left behind", {
  timeout: 60_000,
}, async () => {
  const ended = { alive: 0, ended: 0 };
  const { failures } = await fuzzRun({
    firstSeed: FIRST_SEED,
    untilMs: performance.now() + 6000,
    runs: 1500,
    run: async (seed) => void ended[await fuzzFrames(seed)]++,
  });
  expect(failures).toEqual([]);
  // Both kinds are reached, or this would prove nothing.
  expect([ended.alive > 0, ended.ended > 0]).toEqual([true, true]);
});

test("what is right is answered as by Node's engine", { timeout: 60_000 }, async () => {
  const both = await startBothEngines();
  try {
    const { failures, runs } = await fuzzRun({
      firstSeed: FIRST_SEED,
      untilMs: performance.now() + 6000,
      runs: 500,
      run: (seed) => compareEngines(seed, both),
    });
    expect(failures).toEqual([]);
    expect(runs).toBeGreaterThan(0);
  } finally {
    await both.stop();
  }
});
