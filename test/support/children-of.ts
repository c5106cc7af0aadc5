import { execFileSync } from "node:child_process";

/** The processes that it has started, and that run. */
export function childrenOf(parent: number): number[] {
  const table = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  return table
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parentPid]) => parentPid === parent)
    .map(([pid]) => pid as number);
}
