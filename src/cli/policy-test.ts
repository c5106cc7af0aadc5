import type { Command } from "commander";
import { createInProcessBuckets } from "../points/in-process-buckets.ts";
import { type FileProblem, formatProblem } from "../policy/problem.ts";
import { type TestResult, testPolicy } from "../policy/test-policy.ts";
import type { AddCommand } from "./context.ts";
import { exitStatus, FailedError } from "./exit.ts";
import { policyFiles, readPolicyText, requirePolicy, testFileOf } from "./policy-files.ts";
import { isJson } from "./session.ts";
import type { Terminal } from "./terminal.ts";

export const addPolicyTest: AddCommand = (group, { terminal, finish }) => {
  group
    .command("test <path...>")
    .description("play the cases of *.test.yaml files, without a server")
    .addHelpText(
      "after",
      "\nA path is a folder or a policy file; its cases are in the .test.yaml beside it. The decision, the rights\nand the points are the service's own code, on a clock that the cases move. Exit status 1: a case failed.",
    )
    .action(async (paths: string[], _options: object, command: Command) => {
      let played = 0;
      let failed = 0;
      for (const file of policyFiles(paths)) {
        const testFile = testFileOf(file);
        if (testFile === undefined) {
          terminal.note(`${file} has no test file`);
          continue;
        }
        const { policy, result } = await play(file, testFile);
        played += result.cases.length;
        failed += result.cases.filter((one) => !one.passed).length;
        if (isJson(command)) printJson(terminal, { file, api: policy.api, result });
        else printCases(terminal, file, result);
      }
      if (played === 0) throw new FailedError("there are no cases: nothing was tested");
      if (!isJson(command)) {
        const summary = `${played} cases, ${failed} failed`;
        terminal.print(terminal.style(failed === 0 ? "green" : "red", summary));
      }
      finish(failed === 0 ? exitStatus.ok : exitStatus.failed);
    });
};

async function play(file: string, testFile: string) {
  const policy = await requirePolicy(file);
  const test = { text: await readPolicyText(testFile), file: testFile };
  const result = await testPolicy(policy, test, { createBuckets: (now) => createInProcessBuckets({ now }) });
  if ("problems" in result) throw new FailedError(`${testFile} is not valid:\n${linesOf(result.problems)}`);
  return { policy, result };
}

function printCases(terminal: Terminal, file: string, result: TestResult): void {
  terminal.print(terminal.style("bold", file));
  for (const { name, rules, passed, failures } of result.cases) {
    const mark = passed ? terminal.style("green", "✓") : terminal.style("red", "✗");
    terminal.print(
      `  ${mark} ${name}${rules.length === 0 ? "" : terminal.style("dim", ` (${rules.join(", ")})`)}`,
    );
    for (const failure of failures) terminal.print(`      ${formatProblem(failure)}`);
  }
  if (result.rules.size > 0) terminal.print("  Rules and their cases:");
  for (const [rule, names] of result.rules) {
    for (const [index, name] of names.entries()) {
      terminal.print(`    ${(index === 0 ? rule : "").padEnd(4)} ${name}`);
    }
  }
  terminal.print("");
}

function printJson(terminal: Terminal, of: { file: string; api: string; result: TestResult }): void {
  const { file, api, result } = of;
  terminal.print(JSON.stringify({ file, api, cases: result.cases, rules: Object.fromEntries(result.rules) }));
}

function linesOf(problems: readonly FileProblem[]): string {
  return problems.map(formatProblem).join("\n");
}
