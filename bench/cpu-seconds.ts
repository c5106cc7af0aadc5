import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** The unit of /proc/PID/stat (`getconf CLK_TCK`): 100 on every Linux that Node runs on. */
const ticksPerSecond = 100;

/** CPU time of a process and all its threads so far, user and system, in seconds; to 10 ms. */
export async function cpuSeconds(pid: number): Promise<number> {
  if (process.platform === "linux") return parseProcStat(await readFile(`/proc/${pid}/stat`, "utf8"));
  const { stdout } = await promisify(execFile)("ps", ["-o", "time=", "-p", String(pid)]);
  return parsePsTime(stdout);
}

/** proc(5): the command's name, in parentheses, may hold anything; utime and stime are fields 14 and 15. */
export function parseProcStat(text: string): number {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** macOS prints minutes:seconds.hundredths, with hours and days before them when there are any. */
export function parsePsTime(text: string): number {
  const [, days, clock] = /^(?:(\d+)-)?([\d:.]+)$/.exec(text.trim()) ?? [];
  if (clock === undefined) throw new Error(`ps printed no CPU time: ${text}`);
  const seconds = clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  return Number(days ?? 0) * 86_400 + seconds;
}
