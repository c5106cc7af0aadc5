import { readdir, readFile } from "node:fs/promises";
import { cpuSeconds, parseProcStat } from "../cpu-seconds.ts";

/** CPU time so far, user and system, in seconds; each thread's to 10 ms. */
export interface ThreadSeconds {
  /** Of the thread that runs the JavaScript: a process's first. */
  readonly main: number;
  /** Of V8's workers, which collect garbage and compile, and of Node's; without the profiler's own thread. */
  readonly others: number;
}

/** V8's name of the thread that writes down the samples. */
const profilerThread = "v8:ProfEvntProc";

/** Only Linux tells threads apart: elsewhere all is the main thread's. */
export async function threadSeconds(pid: number): Promise<ThreadSeconds> {
  if (process.platform !== "linux") return { main: await cpuSeconds(pid), others: 0 };
  const threads = await readdir(`/proc/${pid}/task`);
  return sumThreads(
    pid,
    await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, "utf8"))),
  );
}

/** `stats`: of proc(5), the text of each thread's `stat`. */
export function sumThreads(pid: number, stats: readonly string[]): ThreadSeconds {
  let main = 0;
  let others = 0;
  for (const stat of stats) {
    if (stat.startsWith(`${pid} `)) main += parseProcStat(stat);
    else if (!stat.includes(`(${profilerThread})`)) others += parseProcStat(stat);
  }
  return { main, others };
}
