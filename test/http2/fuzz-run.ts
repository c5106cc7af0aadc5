// npm run fuzz [-- --seconds 60 --seed 1]: frames by chance against our HTTP/2 engine, half of the time; in the other half
// the same right traffic against Node's and ours. Prints the seeds that failed, each of which replays alone, and exits 1.
import { parseArgs } from "node:util";
import { compareEngines, startBothEngines } from "./fuzz/both-engines.ts";
import { type FuzzRun, fuzzRun } from "./fuzz/fuzz-run.ts";
import { fuzzFrames } from "./fuzz/random-frames.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 30)) },
  },
});
const seconds = Number(values.seconds);
const firstSeed = Number(values.seed);
if (!(seconds > 0) || !Number.isInteger(firstSeed)) throw new Error("--seconds and --seed take numbers");

process.on("uncaughtException", (error) => {
  process.stdout.write(`escaped: ${error.stack}\n`);
  process.exitCode = 1;
});
process.stdout.write(`${seconds} s from seed ${firstSeed} on\n`);
const both = await startBothEngines();
try {
  tell("frames by chance", await forHalf(async (seed) => void (await fuzzFrames(seed))));
  tell("right traffic against Node's engine", await forHalf((seed) => compareEngines(seed, both)));
} finally {
  await both.stop();
}

function forHalf(run: (seed: number) => Promise<void>): Promise<FuzzRun> {
  const untilMs = performance.now() + seconds * 500;
  return fuzzRun({ firstSeed, untilMs, runs: Number.POSITIVE_INFINITY, run });
}

function tell(name: string, { runs, failures }: FuzzRun): void {
  process.stdout.write(`${name}: ${runs} runs, ${failures.length} failures\n`);
  for (const failure of failures) process.stdout.write(`${failure}\n`);
  if (failures.length > 0) process.exitCode = 1;
}
