import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";

export interface TestProcess {
  readonly pid: number;
  /** The next line of its output; undefined: it has ended. */
  readLine(): Promise<string | undefined>;
  writeLine(line: string): void;
  kill(): Promise<void>;
}

/** Runs a TypeScript file of this folder in a process of its own, until the test ends. */
export function startProcess(file: string, ...args: readonly string[]): TestProcess {
  const script = fileURLToPath(new URL(file, import.meta.url));
  const child: ChildProcessWithoutNullStreams = spawn(process.execPath, ["--import", "tsx", script, ...args]);
  child.stderr.pipe(process.stderr, { end: false });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const exited = once(child, "exit");
  const kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  onTestFinished(kill);
  return {
    pid: child.pid ?? 0,
    async readLine() {
      const { done, value } = await lines.next();
      return done === true ? undefined : value;
    },
    writeLine: (line) => child.stdin.write(`${line}\n`),
    kill,
  };
}
