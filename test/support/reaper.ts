import { spawn } from "node:child_process";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";

let reaperInput: Writable | undefined;

/** Have `pid` ended with `signal` when this process is gone, however it goes. */
export function reapProcess(pid: number, signal: NodeJS.Signals): void {
  tell({ pid, signal });
}

/** `pid` has ended: its number may belong to another process by now. */
export function forgetProcess(pid: number): void {
  tell({ forget: pid });
}

/** Have `folder` removed when this process is gone. */
export function reapFolder(folder: string): void {
  tell({ folder });
}

function tell(message: object): void {
  reaperInput ??= startReaper();
  reaperInput.write(`${JSON.stringify(message)}\n`);
}

function startReaper(): Writable {
  const script = fileURLToPath(new URL("reaper.js", import.meta.url));
  // A session of its own: Ctrl-C at the terminal must not end it before it has done its work.
  const child = spawn(process.execPath, [script], { detached: true, stdio: ["pipe", "ignore", "inherit"] });
  child.unref();
  // Neither the child nor its pipe keeps this process alive.
  (child.stdin as Writable & { unref(): void }).unref();
  return child.stdin;
}
