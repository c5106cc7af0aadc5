import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** Memory that a process holds now (its resident set), in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  if (process.platform === "linux") return parseProcStatus(await readFile(`/proc/${pid}/status`, "utf8"));
  const { stdout } = await promisify(execFile)("ps", ["-o", "rss=", "-p", String(pid)]);
  return Number(stdout) * 1024;
}

/** proc(5). */
export function parseProcStatus(text: string): number {
  const [, kilobytes] = /^VmRSS:\s*(\d+) kB$/m.exec(text) ?? [];
  if (kilobytes === undefined) throw new Error(`/proc says nothing of resident memory: ${text}`);
  return Number(kilobytes) * 1024;
}
