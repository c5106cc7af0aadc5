// npm run check: everything that can be said of the sources without running them. `npm run check -- types lint`
// runs only the named steps.
import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { styleText } from "node:util";
import { binary, root } from "./checkout.ts";

type Command = readonly [program: string, ...args: string[]];

/** Longest first, so that they overlap the others. */
const steps: Readonly<Record<string, Command>> = {
  generated: [binary("tsx"), "scripts/check-generated.ts"],
  unused: [binary("knip"), "--no-progress"],
  lint: [binary("oxlint"), "--deny-warnings"],
  types: [binary("tsc"), "-p", "."],
  "proto-breaking": [binary("tsx"), "scripts/check-breaking.ts"],
  format: [binary("biome"), "format"],
  "proto-lint": [binary("buf"), "lint"],
  "proto-format": [binary("buf"), "format", "--diff", "--exit-code", "--path", "proto/tollgate"],
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => steps[name] === undefined);
if (unknown.length > 0) {
  process.stderr.write(`no such step: ${unknown.join(", ")}; there are ${Object.keys(steps).join(", ")}\n`);
  process.exit(2);
}

const waiting = Object.entries(steps).filter(([name]) => asked.length === 0 || asked.includes(name));
const failed: string[] = [];
const startedAt = performance.now();
const workers = Math.min(4, Math.max(2, availableParallelism()));
await Promise.all(Array.from({ length: workers }, runWaiting));
const total = seconds(performance.now() - startedAt);
if (failed.length > 0) {
  process.stdout.write(`\ncheck failed after ${total}: ${failed.join(", ")}\n`);
  process.exitCode = 1;
} else {
  process.stdout.write(`\ncheck passed in ${total}\n`);
}

async function runWaiting(): Promise<void> {
  for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) await runStep(...step);
}

/** Prints the step's result, and its output when it failed. */
async function runStep(name: string, command: Command): Promise<void> {
  const begin = performance.now();
  const { passed, output } = await run(command);
  const line = `${passed ? "✓" : "✗"} ${name} (${seconds(performance.now() - begin)})`;
  process.stdout.write(`${process.stdout.isTTY ? styleText(passed ? "green" : "red", line) : line}\n`);
  if (passed) return;
  failed.push(name);
  process.stdout.write(`${output.trimEnd()}\n`);
}

function run([program, ...args]: Command): Promise<{ passed: boolean; output: string }> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd: root, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      const reason = error === null || typeof error.code === "number" ? "" : `${error.message}\n`;
      resolve({ passed: error === null, output: `${reason}${stdout}${stderr}` });
    });
  });
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
