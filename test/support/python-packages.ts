import { cachedFolder } from "./program-cache.ts";
import { outputOf, type RunProgramOptions } from "./run-program.ts";

const INSTALL_TIMEOUT_MS = 10 * 60_000;

export interface PythonPackages {
  /** What a program printed that ran with these packages. Throws unless it ended with 0. */
  run(args: readonly string[], options: RunProgramOptions & { folders?: readonly string[] }): Promise<string>;
}

/** Packages for Python in a folder of their own, named after the first of them. Never skips. */
export async function pythonPackages(
  requirements: readonly [first: string, ...others: string[]],
): Promise<PythonPackages> {
  const folder = await install(requirements).catch((cause: unknown) => {
    const what = requirements.join(", ");
    throw new Error(`${what} could not be brought: python3 with pip, and its package index, are needed`, {
      cause,
    });
  });
  return {
    run: (args, { folders = [], ...options }) =>
      outputOf("python3", args, {
        ...options,
        env: { ...options.env, PYTHONPATH: [folder, ...folders].join(":"), PYTHONDONTWRITEBYTECODE: "1" },
      }),
  };
}

async function install(requirements: readonly [first: string, ...others: string[]]): Promise<string> {
  // Wheels are of one minor version of Python.
  const tell = 'import sys; print("python%d.%d" % sys.version_info[:2], end="")';
  const python = await outputOf("python3", ["-c", tell], { timeoutMs: 30_000 });
  return cachedFolder(`${python}-${requirements[0].replace("==", "-")}`, async (fresh) => {
    const options = ["--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--target", fresh];
    await outputOf("python3", ["-m", "pip", "install", ...options, ...requirements], {
      timeoutMs: INSTALL_TIMEOUT_MS,
      priority: "background",
    });
  });
}
