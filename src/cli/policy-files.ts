import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { CompiledPolicy } from "../policy/compiled-policy.ts";
import { parsePolicy } from "../policy/parse.ts";
import { readPolicyFile } from "../policy/policy-files.ts";
import { formatProblem } from "../policy/problem.ts";
import { FailedError, UsageError } from "./exit.ts";

const testSuffix = /\.test(?=\.ya?ml$)/;

/**
 * The policy files that are meant by files and folders; a test file stands for the policy beside it.
 * Throws UsageError for what is not there, and for a folder without policies.
 */
export function policyFiles(paths: readonly string[]): string[] {
  const files = paths.flatMap((path) => {
    if (!existsSync(path)) throw new UsageError(`there is no file or folder ${path}`);
    if (!statSync(path).isDirectory()) return [path.replace(testSuffix, "")];
    const found = readdirSync(path)
      .filter((name) => /^[^.].*\.ya?ml$/.test(name) && !testSuffix.test(name))
      .sort()
      .map((name) => join(path, name));
    if (found.length === 0) throw new UsageError(`the folder ${path} holds no policies (*.yaml)`);
    return found;
  });
  return [...new Set(files)];
}

/** The test file beside a policy; undefined: it has none. */
export function testFileOf(policyFile: string): string | undefined {
  const file = policyFile.replace(/(\.ya?ml)$/, ".test$1");
  return existsSync(file) ? file : undefined;
}

/** The file's text. Throws UsageError when it cannot be read, FailedError when it is no text. */
export async function readPolicyText(file: string): Promise<string> {
  try {
    const read = await readPolicyFile({ path: file, version: "", size: statSync(file).size });
    if ("text" in read) return read.text;
    throw new FailedError(`${file}: ${read.fault}`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new UsageError(`cannot read ${file} (${code})`);
  }
}

/** The compiled policy of a file. Throws FailedError with all that is wrong, a line each. */
export async function requirePolicy(file: string): Promise<CompiledPolicy> {
  const parsed = parsePolicy(await readPolicyText(file), file);
  if ("policy" in parsed) return parsed.policy;
  throw new FailedError(`${file} is not valid:\n${parsed.problems.map(formatProblem).join("\n")}`);
}
