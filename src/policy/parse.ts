import { compilePolicy } from "./compile.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import type { FileProblem, Problem } from "./problem.ts";
import { policySchema } from "./schema.ts";
import { checkShape } from "./schema-problems.ts";
import { readYaml } from "./yaml-source.ts";

/** Entries that no other part of a policy refers to by name. */
const INDEPENDENT = ["allowed_cidrs", "hosts", "limits", "metadata_upstream", "presets", "roles", "routes"];

/** A policy that was read, and where in its file its parts stand. */
export interface ParsedPolicy {
  readonly policy: CompiledPolicy;
  /** Puts what is wrong with it among other policies into its places. */
  readonly locate: (problems: readonly Problem[]) => readonly FileProblem[];
}

/**
 * Reads and compiles a policy file's text, or says all that is wrong with it, each with its line and
 * column. `file` is for messages.
 */
export function parsePolicy(
  text: string,
  file: string,
): ParsedPolicy | { readonly problems: readonly FileProblem[] } {
  const read = readYaml(text, file);
  if ("problems" in read) return read;
  const { locate, value } = read.source;
  const shape = checkShape(policySchema, value, { independent: INDEPENDENT });
  if (shape.parsed === undefined) return { problems: locate(shape.problems) };
  const compiled = compilePolicy(shape.parsed);
  const meant = "problems" in compiled ? compiled.problems : [];
  const problems = [
    ...shape.problems,
    ...meant.map((problem) => ({ ...problem, path: shape.originalPath(problem.path) })),
  ];
  if ("policy" in compiled && problems.length === 0) return { policy: compiled.policy, locate };
  return { problems: locate(problems) };
}
