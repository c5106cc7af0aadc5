import { TollgateError } from "../core/errors.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import type { FileProblem } from "./problem.ts";
import { checkShape } from "./schema-problems.ts";
import { type TestCase, type TestFile, testFileSchema } from "./test-file.ts";
import { playStep } from "./test-step.ts";
import { createTestWorld, type TestWorldDependencies } from "./test-world.ts";
import { readYaml, type YamlSource } from "./yaml-source.ts";

export interface TestCaseResult {
  readonly name: string;
  readonly rules: readonly string[];
  readonly passed: boolean;
  /** Where in the test file, and what came out differently. A case ends with its first step that fails. */
  readonly failures: readonly FileProblem[];
}

export interface TestResult {
  readonly cases: readonly TestCaseResult[];
  /** Rule id → the names of its cases, sorted by id: letters first, then numbers as numbers. */
  readonly rules: ReadonlyMap<string, readonly string[]>;
}

/**
 * Plays a policy's test file against the real decision, the real life of keys and directory, and the
 * points engine that `createBuckets` makes. Each case begins with the world that the file describes.
 * Answers problems where the file cannot be read.
 */
export async function testPolicy(
  policy: CompiledPolicy,
  test: { readonly text: string; readonly file: string },
  dependencies: TestWorldDependencies,
): Promise<TestResult | { readonly problems: readonly FileProblem[] }> {
  const read = readYaml(test.text, test.file);
  if ("problems" in read) return read;
  const { source } = read;
  const shape = checkShape(testFileSchema, source.value);
  const file = shape.parsed;
  if (shape.problems.length > 0 || file === undefined) return { problems: source.locate(shape.problems) };
  if (file.policy !== policy.api) {
    const message = `The cases are for the policy "${file.policy}"; this one is "${policy.api}".`;
    return { problems: source.locate([{ path: ["policy"], at: "value", message }]) };
  }
  const cases: TestCaseResult[] = [];
  for (const [index, testCase] of file.cases.entries()) {
    const failures = await playCase(policy, { file, testCase, index, source, dependencies });
    const { name, rules } = testCase;
    cases.push({ name, rules, passed: failures.length === 0, failures });
  }
  return { cases, rules: casesByRule(cases) };
}

async function playCase(
  policy: CompiledPolicy,
  context: {
    readonly file: TestFile;
    readonly testCase: TestCase;
    readonly index: number;
    readonly source: YamlSource;
    readonly dependencies: TestWorldDependencies;
  },
): Promise<readonly FileProblem[]> {
  const { file, testCase, index, source, dependencies } = context;
  const fail = (path: readonly (string | number)[], messages: readonly string[]) =>
    source.locate(messages.map((message) => ({ path, at: "key" as const, message })));
  let world: Awaited<ReturnType<typeof createTestWorld>>;
  try {
    world = await createTestWorld(policy, { file, keyNames: keysNamedIn(testCase), dependencies });
  } catch (error) {
    if (!(error instanceof TollgateError)) throw error;
    return fail(["cases", index], [`The world could not be made: ${error.message}`]);
  }
  for (const [place, step] of testCase.steps.entries()) {
    const failures = await playStep(world, step, { key: testCase.key });
    if (failures.length > 0) return fail(["cases", index, "steps", place], failures);
  }
  return [];
}

function keysNamedIn(testCase: TestCase): ReadonlySet<string> {
  const names = testCase.steps.flatMap((step) => [
    step.key,
    step.show_key,
    step.rotate_key?.key,
    step.update_key?.key,
    step.revoke_key?.key,
    step.revoke_secret?.of,
  ]);
  return new Set([testCase.key, ...names].filter((name) => name !== undefined));
}

function casesByRule(cases: readonly TestCaseResult[]): ReadonlyMap<string, readonly string[]> {
  const rules = [...new Set(cases.flatMap((result) => result.rules))].sort((a, b) =>
    a.localeCompare(b, "en", { numeric: true }),
  );
  return new Map(
    rules.map((rule) => [
      rule,
      cases.filter((result) => result.rules.includes(rule)).map((result) => result.name),
    ]),
  );
}
