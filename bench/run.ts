// npm run bench [-- --seconds 5 --rounds 3 --only tollgate,hello]: CPU and latency of a Check beside a bare
// hello on the same transport and beside a naive server, each a process of its own.
// npm run bench -- --envoy: what Tollgate adds to a request through Envoy, beside envoyproxy/ratelimit.
// npm run bench -- --points: what a limit costs in Redis, CPU and bytes, beside envoyproxy/ratelimit.
// docs/performance.md says how to read them.
import { parseArgs } from "node:util";
import type { BenchOptions } from "./bench-options.ts";
import { runCheckBench } from "./check-bench.ts";
import { runEnvoyBench } from "./envoy/envoy-bench.ts";
import { envoySubjects } from "./envoy/envoy-subjects.ts";
import { runPointsBench } from "./points/points-bench.ts";
import { pointsSubjects } from "./points/points-subjects.ts";
import { subjects } from "./subjects.ts";

const { values } = parseArgs({
  options: {
    envoy: { type: "boolean", default: false },
    points: { type: "boolean", default: false },
    seconds: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
    only: { type: "string" },
  },
});
const bench = values.points
  ? { run: runPointsBench, subjects: pointsSubjects }
  : values.envoy
    ? { run: runEnvoyBench, subjects: envoySubjects }
    : { run: runCheckBench, subjects };
const names = Object.keys(bench.subjects);
const options: BenchOptions = {
  seconds: positive("seconds", values.seconds),
  rounds: Math.ceil(positive("rounds", values.rounds)),
  only: values.only === undefined ? names : namesIn(values.only),
};
const isSound = await bench.run(options);
if (!isSound) process.exitCode = 1;

function namesIn(list: string): string[] {
  const only = list.split(",").map((name) => name.trim());
  const unknown = only.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new Error(`--only takes ${names.join(", ")}, not ${unknown.join(", ")}`);
  return only;
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3600)) throw new Error(`--${name} takes a number above 0, not ${text}`);
  return value;
}
