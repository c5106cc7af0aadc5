import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, setPriority } from "node:os";
import { text } from "node:stream/consumers";
import { forgetProcess, reapProcess } from "./reaper.ts";
import { repositoryFolder } from "./repository.ts";

export interface RunProgramOptions {
  /** Then it is killed, and the run throws. */
  readonly timeoutMs: number;
  /** On top of our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** "background": others are served first, for what computes for minutes while tests run. */
  readonly priority?: "normal" | "background";
}

export interface FinishedRun {
  /** Null: a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program in the checkout to its end, however that is. Throws where it cannot start or takes too long;
 * then with all that it printed.
 */
export async function runProgram(
  program: string,
  args: readonly string[],
  options: RunProgramOptions,
): Promise<FinishedRun> {
  const child = spawn(program, args, {
    cwd: repositoryFolder,
    env: { ...process.env, ...options.env },
    stdio: "pipe",
    // A process group of its own, so that what it starts ends with it.
    detached: true,
  });
  await once(child, "spawn");
  const pid = child.pid as number;
  reapProcess(-pid, "SIGKILL");
  if (options.priority === "background") setPriority(pid, constants.priority.PRIORITY_LOW);
  // A program that ends without having read its input is no failure of ours.
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin ?? "");
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    process.kill(-pid, "SIGKILL");
  }, options.timeoutMs);
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "exit") as Promise<[number | null]>,
  ]);
  clearTimeout(timer);
  forgetProcess(-pid);
  if (isLate) {
    throw new Error(`${program} took more than ${options.timeoutMs} ms. It printed:\n${stdout}${stderr}`);
  }
  return { code, stdout, stderr };
}

/** What the program printed on stdout. Throws, with all that it printed, unless it ended with 0. */
export async function outputOf(
  program: string,
  args: readonly string[],
  options: RunProgramOptions,
): Promise<string> {
  const { code, stdout, stderr } = await runProgram(program, args, options);
  if (code !== 0) throw new Error(`${program} ended with ${code}. It printed:\n${stdout}${stderr}`);
  return stdout;
}
