// npm run bench [-- --seconds 5 --rounds 3 --only tollgate,hello]: what a Check costs beside what
// others ask of envoyproxy/ratelimit, OpenFGA and Cerbos, beside a naive server and beside bare hellos.
// npm run bench -- --envoy: what Tollgate adds to a request through Envoy, beside envoyproxy/ratelimit.
// npm run bench -- --points: what a limit costs in Redis, CPU and bytes, beside envoyproxy/ratelimit.
// npm run bench -- --scaling: how the CPU of a Check grows with keys, routes and connections.
// npm run bench -- --workers: what a second worker brings where there is processor for it (Linux, as root).
// docs/performance.md says how to read them.
import { parseArgs } from "node:util";
import type { BenchOptions } from "./bench-options.ts";
import { runCheckBench } from "./check-bench.ts";
import { runEnvoyBench } from "./envoy/envoy-bench.ts";
import { envoySubjects } from "./envoy/envoy-subjects.ts";
import { runPointsBench } from "./points/points-bench.ts";
import { pointsSubjects } from "./points/points-subjects.ts";
import { runScalingBench } from "./scaling/scaling-bench.ts";
import { scalings } from "./scaling/scalings.ts";
import { subjects } from "./subjects.ts";
import { runWorkersBench, workerCounts } from "./workers/workers-bench.ts";

const { values } = parseArgs({
  options: {
    envoy: { type: "boolean", default: false },
    points: { type: "boolean", default: false },
    scaling: { type: "boolean", default: false },
    workers: { type: "boolean", default: false },
    seconds: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
    only: { type: "string" },
  },
});
const bench = chosenBench();
const names = Object.keys(bench.subjects);
const options: BenchOptions = {
  seconds: positive("seconds", values.seconds),
  rounds: Math.ceil(positive("rounds", values.rounds)),
  only: values.only === undefined ? names : namesIn(values.only),
};
const isSound = await bench.run(options);
if (!isSound) process.exitCode = 1;

function chosenBench() {
  if (values.points) return { run: runPointsBench, subjects: pointsSubjects };
  if (values.envoy) return { run: runEnvoyBench, subjects: envoySubjects };
  if (values.workers) return { run: runWorkersBench, subjects: workerCounts };
  if (values.scaling) return { run: runScalingBench, subjects: scalings };
  return { run: runCheckBench, subjects };
}

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
