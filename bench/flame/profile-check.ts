import { runBounds, warmUpBounds } from "../bench-options.ts";
import { startLoadProcess } from "../load/load-process.ts";
import { faultsOf, measure } from "../measure.ts";
import { say } from "../say.ts";
import { type Frame, frameTree } from "./frame-tree.ts";
import { startProfiledTollgate } from "./profiled-tollgate.ts";
import { threadSeconds } from "./thread-seconds.ts";

/** As the benchmark's load. */
const connections = 4;
const inFlight = 50;

/** Loads a profiled Tollgate for so many seconds, after a warm-up, and answers where the CPU time of a Check went. */
export async function profileCheck({ seconds }: { seconds: number }): Promise<Frame> {
  say("starting Tollgate under the profiler");
  const tollgate = await startProfiledTollgate();
  try {
    const load = await startLoadProcess({ protocol: "grpc", ...tollgate.job, connections, inFlight });
    try {
      const warm = await load.run(warmUpBounds);
      say(`warmed up with ${warm.calls} calls; loading it for ${seconds} s`);
      const fromUs = monotonicUs();
      const before = await threadSeconds(tollgate.pid);
      const phase = runBounds({ seconds, rounds: 1, only: [] });
      const measured = await measure(tollgate, { load, counter: undefined, phase });
      const after = await threadSeconds(tollgate.pid);
      const untilUs = monotonicUs();
      const faults = faultsOf(measured);
      if (faults.length > 0) throw new Error(faults.join("; "));
      const perCallUs = (seconds: number) => (seconds * 1e6) / measured.calls;
      say(`${measured.calls} calls`);
      return frameTree(await tollgate.endProfile(), {
        fromUs,
        untilUs,
        mainThreadUs: perCallUs(after.main - before.main),
        otherThreadsUs: perCallUs(after.others - before.others),
      });
    } finally {
      load.stop();
    }
  } finally {
    await tollgate.stop();
  }
}

/** The clock of V8's profiles. */
function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}
