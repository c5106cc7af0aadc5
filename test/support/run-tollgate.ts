import { execFile } from "node:child_process";
import { inRepository, repositoryFolder } from "./repository.ts";

export interface FinishedProgram {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `tollgate` with these arguments to its end, in a minimal environment. Throws where it fails, unless
 * `mayFail`.
 */
export function runTollgate(
  args: readonly string[],
  options: { env?: Readonly<Record<string, string>>; stdin?: string; cwd?: string; mayFail?: boolean } = {},
): Promise<FinishedProgram> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.execPath,
      [inRepository("bin", "tollgate.js"), ...args],
      {
        env: { PATH: process.env["PATH"] ?? "", HOME: process.env["HOME"] ?? "", ...options.env },
        cwd: options.cwd ?? repositoryFolder,
        maxBuffer: 64 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : Number(error.code ?? 1);
        if (code === 0 || options.mayFail === true) resolve({ code, stdout, stderr });
        else reject(new Error(`tollgate ${args.join(" ")} ended with ${code}:\n${stdout}${stderr}`));
      },
    );
    child.stdin?.end(options.stdin ?? "");
  });
}
