import { createPolicySet, type PolicySet } from "../core/policy-set.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { type ParsedPolicy, parsePolicy } from "./parse.ts";
import { listPolicyFiles, type PolicyFile, readPolicyFile } from "./policy-files.ts";
import type { FileProblem, Problem } from "./problem.ts";

export interface LoadedPolicies {
  readonly set: PolicySet;
  /** In the order of the files' names. */
  readonly files: readonly { readonly path: string; readonly policy: CompiledPolicy }[];
}

export type LoadResult = LoadedPolicies | { readonly errors: readonly FileProblem[] };

/**
 * Loads every policy of a folder, or says all that is wrong with any: all or nothing. Policies that
 * share a directory may differ in roles and plans; each judges a member's role and a workspace's plan
 * by its own, and one that it does not know allows nothing.
 */
export async function loadPolicies(folder: string): Promise<LoadResult> {
  let files: readonly PolicyFile[];
  try {
    files = await listPolicyFiles(folder);
  } catch (error) {
    return { errors: [wholeFile(folder, folderFault(error))] };
  }
  if (files.length === 0) {
    return { errors: [wholeFile(folder, "There is no policy in the folder; write one as a *.yaml file.")] };
  }
  const parsed: { path: string; parsed: ParsedPolicy }[] = [];
  const errors: FileProblem[] = [];
  for (const file of files) {
    const result = await parseFile(file);
    if ("problems" in result) errors.push(...result.problems);
    else parsed.push({ path: file.path, parsed: result });
  }
  errors.push(...conflicts(parsed));
  if (errors.length > 0) return { errors };
  const loaded = parsed.map(({ path, parsed: { policy } }) => ({ path, policy }));
  return { set: createPolicySet(loaded.map(({ policy }) => policy)), files: loaded };
}

async function parseFile(
  file: PolicyFile,
): Promise<ParsedPolicy | { readonly problems: readonly FileProblem[] }> {
  try {
    const read = await readPolicyFile(file);
    return "fault" in read
      ? { problems: [wholeFile(file.path, read.fault)] }
      : parsePolicy(read.text, file.path);
  } catch (error) {
    return { problems: [wholeFile(file.path, `The file cannot be read: ${systemFault(error)}.`)] };
  }
}

/** One api, and one host, belongs to one policy. */
function conflicts(files: readonly { path: string; parsed: ParsedPolicy }[]): FileProblem[] {
  const apis = new Map<string, string>();
  const hosts = new Map<string, string>();
  return files.flatMap(({ path, parsed: { policy, locate } }) => {
    const problems: Problem[] = [];
    const other = apis.get(policy.api);
    if (other !== undefined) {
      problems.push({
        path: ["api"],
        at: "value",
        message: `The api "${policy.api}" is that of ${other} too; each policy needs a name of its own.`,
      });
    }
    apis.set(policy.api, other ?? path);
    for (const [index, { host }] of policy.hosts.entries()) {
      const owner = hosts.get(host);
      if (owner !== undefined) {
        problems.push({
          path: ["hosts", index],
          at: "value",
          message: `The host "${host}" is that of ${owner} too; a request could not be told apart.`,
        });
      }
      hosts.set(host, owner ?? path);
    }
    return locate(problems);
  });
}

function wholeFile(file: string, message: string): FileProblem {
  return { file, line: 1, column: 1, message };
}

function folderFault(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOENT") return "There is no such folder.";
  if (code === "ENOTDIR") return "This is no folder; name the one that the policies are in.";
  return `The folder cannot be read: ${systemFault(error)}.`;
}

/** Throws what is no error of the system. */
function systemFault(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  if (code === "EACCES") return "permission denied";
  return code === "ENOENT" ? "it is gone, or a link that leads nowhere" : code;
}
