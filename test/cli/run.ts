import { Readable, Writable } from "node:stream";
import type { ProgramActions } from "../../src/cli/context.ts";
import { runProgram } from "../../src/cli/run-program.ts";
import { createTerminal } from "../../src/cli/terminal.ts";

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Whether stdin, stdout and stderr are terminals. */
  readonly onTerminal?: boolean;
  readonly actions?: Partial<ProgramActions>;
}

export interface RunResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line in this process, as bin/tollgate.js does in its own. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const written = { stdout: "", stderr: "" };
  const sink = (name: keyof typeof written) =>
    Object.assign(
      new Writable({
        write(chunk, _encoding, done) {
          written[name] += String(chunk);
          done();
        },
      }),
      { isTTY: options.onTerminal ?? false },
    );
  const terminal = createTerminal({
    // Apart from the checkout's own data folder, so that no token is found by chance.
    env: { TOLLGATE_DATA_DIR: "/nonexistent", ...options.env },
    stdin: Object.assign(Readable.from([options.stdin ?? ""]), { isTTY: options.onTerminal ?? false }),
    stdout: sink("stdout"),
    stderr: sink("stderr"),
  });
  const actions: ProgramActions = {
    serve: () => Promise.reject(new Error("serve was not expected")),
    init: () => Promise.reject(new Error("init was not expected")),
    migrate: () => Promise.reject(new Error("migrate was not expected")),
    ...options.actions,
  };
  const status = await runProgram(args, actions, terminal);
  return { status, ...written };
}
