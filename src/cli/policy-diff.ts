import type { Command } from "commander";
import type { PolicyChange } from "../policy/change.ts";
import { diffPolicies, type PolicyDiff } from "../policy/diff.ts";
import type { AddCommand } from "./context.ts";
import { requirePolicy } from "./policy-files.ts";
import { countUses, type Use } from "./policy-uses.ts";
import { flagsOf, isJson, openSession } from "./session.ts";
import type { Format, Terminal } from "./terminal.ts";

export const addPolicyDiff: AddCommand = (group, { terminal }) => {
  group
    .command("diff <old> <new>")
    .description("say what a change of a policy takes and gives; with --url also who uses what disappears")
    .addHelpText(
      "after",
      "\nWith --url it reads all keys of the api, and where plans or roles disappear all workspaces and members, of\nthat server, and counts those that name what is gone. Nothing is changed.",
    )
    .action(async (oldFile: string, newFile: string, _options: object, command: Command) => {
      const before = await requirePolicy(oldFile);
      const diff = diffPolicies(before, await requirePolicy(newFile));
      // Only on request: comparing two files must not call a server that happens to be in the environment.
      const asked = flagsOf(command).url !== undefined;
      const uses = asked ? await countUses(openSession(command, terminal), before, diff.dropped) : undefined;
      if (isJson(command)) terminal.print(JSON.stringify({ ...diff, ...(uses && { uses }) }));
      else printDiff(terminal, diff, uses);
    });
};

const marks: Readonly<Record<PolicyChange["kind"], { mark: string; format: Format }>> = {
  takes: { mark: "-", format: "red" },
  changes: { mark: "~", format: "yellow" },
  gives: { mark: "+", format: "green" },
};

function printDiff(
  terminal: Terminal,
  { changes, dropped }: PolicyDiff,
  uses: readonly Use[] | undefined,
): void {
  if (changes.length === 0) terminal.print("both mean the same");
  for (const { kind, about, message } of changes) {
    const { mark, format } = marks[kind];
    terminal.print(`${terminal.style(format, `${mark} ${kind.padEnd(7)}`)} ${about}: ${message}`);
  }
  const isDropped = Object.values(dropped).some((names: readonly string[]) => names.length > 0);
  if (uses === undefined) {
    if (isDropped)
      terminal.note("Add --url to count the keys, members and workspaces that name what disappears.");
    return;
  }
  for (const { what, name, by, count } of uses) {
    const line = `the ${what} ${name} disappears, and is named by ${count} ${by}`;
    terminal.print(count === 0 ? line : terminal.style("red", line));
  }
}
