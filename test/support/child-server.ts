import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { forgetProcess, reapProcess } from "./reaper.ts";

export interface ChildServerOptions {
  /** For messages. */
  name: string;
  command: string;
  args: readonly string[];
  /** All of the child's environment: nothing is inherited. */
  env: Readonly<Record<string, string>>;
  cwd?: string;
  uid?: number;
  gid?: number;
  /** A line of its output (either stream) that says that it serves. */
  ready: RegExp;
  readyTimeoutMs?: number;
  /** Ends the process at once and without damage to its data; for when the test process dies. */
  reapSignal?: NodeJS.Signals;
}

export interface ChildServer {
  readonly pid: number;
  readonly process: ChildProcess;
  /** The line that matched `ready`. */
  readonly readyLine: string;
  /** Both streams so far, the last 256 KiB of them. */
  output(): string;
  stdout(): string;
  /** Sends `signal` and waits for the process to be gone. Does nothing when it is gone already. */
  end(signal: NodeJS.Signals): Promise<void>;
  /** Settles when the process is gone. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

const keptOutput = 256 * 1024;

/**
 * Starts a server as a child and answers once it has printed its ready line.
 * Throws, with all that it printed, when it ends before or is not ready in time (default 30 s).
 */
export async function startChildServer(options: ChildServerOptions): Promise<ChildServer> {
  const child = spawn(options.command, options.args, {
    env: { ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  await once(child, "spawn");
  const pid = child.pid as number;
  reapProcess(pid, options.reapSignal ?? "SIGKILL");
  void exited.then(() => forgetProcess(pid));

  let output = "";
  let stdout = "";
  const readyLine = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) =>
      reject(new Error(`${options.name} ${why}. It printed:\n${output || "(nothing)"}`));
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      fail("was not ready in time");
    }, options.readyTimeoutMs ?? 30_000);
    for (const stream of [child.stdout, child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output = (output + chunk).slice(-keptOutput);
        if (stream === child.stdout) stdout = (stdout + chunk).slice(-keptOutput);
        const lines = (rest + chunk).split("\n");
        rest = lines.pop() ?? "";
        const line = lines.find((candidate) => options.ready.test(candidate));
        if (line !== undefined) {
          clearTimeout(timer);
          resolve(line);
        }
      });
    }
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      fail(`ended before it was ready (${signal ?? `exit code ${code}`})`);
    });
  });

  return {
    pid,
    process: child,
    readyLine,
    output: () => output,
    stdout: () => stdout,
    exited,
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await exited;
    },
  };
}
