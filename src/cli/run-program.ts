import { processEnvironment } from "../config.ts";
import type { ProgramActions } from "./context.ts";
import { type ExitStatus, exitStatus, reportError } from "./exit.ts";
import { createProgram } from "./program.ts";
import { createTerminal, type Terminal } from "./terminal.ts";

/**
 * Runs one command line (without the program's name) and answers the process's exit status. Never
 * throws: errors are told on the terminal's stderr.
 */
export async function runProgram(
  args: readonly string[],
  actions: ProgramActions,
  terminal: Terminal = processTerminal(),
): Promise<ExitStatus> {
  let status: ExitStatus = exitStatus.ok;
  const finish = (wanted: ExitStatus) => {
    status = wanted;
  };
  try {
    await createProgram({ terminal, actions, finish }).parseAsync(args, { from: "user" });
    return status;
  } catch (error) {
    return reportError(error, terminal, { asJson: args.includes("--json") });
  }
}

/** This process's own streams. A reader that goes away (`| head`) ends the program quietly. */
function processTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(exitStatus.ok);
  });
  return createTerminal({ env: processEnvironment, stdin, stdout, stderr });
}
