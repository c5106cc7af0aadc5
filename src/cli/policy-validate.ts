import { statSync } from "node:fs";
import type { Command } from "commander";
import type { CompiledPolicy } from "../policy/compiled-policy.ts";
import { loadPolicies } from "../policy/load.ts";
import { parsePolicy } from "../policy/parse.ts";
import { type FileProblem, formatProblem } from "../policy/problem.ts";
import type { AddCommand } from "./context.ts";
import { exitStatus } from "./exit.ts";
import { policyFiles, readPolicyText } from "./policy-files.ts";
import { isJson } from "./session.ts";
import type { Terminal } from "./terminal.ts";

interface Verdict {
  readonly file: string;
  readonly policy: CompiledPolicy | undefined;
  readonly problems: readonly FileProblem[];
}

export const addPolicyValidate: AddCommand = (group, { terminal, finish }) => {
  group
    .command("validate <path...>")
    .description("check policy files, or all of a folder, and name all that is wrong, by line and column")
    .action(async (paths: string[], _options: object, command: Command) => {
      const verdicts = await Promise.all(policyFiles(paths).map(judge));
      const conflicts = await conflictsIn(
        paths,
        verdicts.flatMap(({ problems }) => problems.map(formatProblem)),
      );
      const all = verdicts.map((verdict) => ({
        ...verdict,
        problems: [...verdict.problems, ...conflicts.filter(({ file }) => file === verdict.file)],
      }));
      for (const verdict of all) {
        if (isJson(command)) terminal.print(verdictJson(verdict));
        else printVerdict(terminal, verdict);
      }
      finish(all.every(({ problems }) => problems.length === 0) ? exitStatus.ok : exitStatus.failed);
    });
};

async function judge(file: string): Promise<Verdict> {
  const parsed = parsePolicy(await readPolicyText(file), file);
  if ("policy" in parsed) return { file, policy: parsed.policy, problems: [] };
  return { file, policy: undefined, problems: parsed.problems };
}

/** What only shows when the files of a folder are taken together, such as two policies of one api. */
async function conflictsIn(
  paths: readonly string[],
  known: readonly string[],
): Promise<readonly FileProblem[]> {
  const folders = paths.filter((path) => statSync(path).isDirectory());
  const loads = await Promise.all(folders.map(loadPolicies));
  return loads
    .flatMap((load) => ("errors" in load ? load.errors : []))
    .filter((problem) => !known.includes(formatProblem(problem)));
}

function verdictJson({ file, policy, problems }: Verdict): string {
  return JSON.stringify({
    file,
    valid: problems.length === 0,
    api: policy?.api,
    digest: policy?.digest,
    problems,
  });
}

function printVerdict(terminal: Terminal, { file, policy, problems }: Verdict): void {
  if (policy !== undefined && problems.length === 0) {
    const { api, routes, scopes, roles } = policy;
    const facts = `${routes.routes.length} routes, ${scopes.size} scopes, ${roles.size} roles`;
    terminal.print(`${terminal.style("green", "✓")} ${file}: api ${api}, ${facts}`);
    return;
  }
  terminal.print(`${terminal.style("red", "✗")} ${file}`);
  for (const problem of problems) terminal.print(`  ${formatProblem(problem)}`);
}
