/** Where a value stands in a file: map keys and list indexes from the top. */
export type ValuePath = readonly (string | number)[];

/** What is wrong with a value, before it is known where in the text that is. */
export interface Problem {
  readonly path: ValuePath;
  /** What to point at: a map's key, or the value. */
  readonly at: "key" | "value";
  /** What is wrong and what would be right; one or two sentences. */
  readonly message: string;
}

/** Takes note of what is wrong; compiling goes on, so that all of it is told at once. */
export type Report = (path: ValuePath, message: string, at?: Problem["at"]) => void;

/** What is wrong with a file. Line and column count from 1; both are 1 when the whole file is meant. */
export interface FileProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** The one-line form that editors and people know: "policies/a.yaml:3:7: message". */
export function formatProblem(problem: FileProblem): string {
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}`;
}

/** The path as people write it: `limits[0].window`. */
export function formatPath(path: ValuePath): string {
  return path
    .map((part, index) => (typeof part === "number" ? `[${part}]` : index === 0 ? part : `.${part}`))
    .join("");
}
