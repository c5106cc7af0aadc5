import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseDocument, stringify } from "yaml";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import type { CompiledPolicy } from "../../src/policy/compiled-policy.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { formatProblem, type ValuePath } from "../../src/policy/problem.ts";
import { type TestResult, testPolicy } from "../../src/policy/test-policy.ts";

const RULES = {
  retool: Array.from({ length: 11 }, (_, index) => `A${index + 1}`),
  retrac: Array.from({ length: 14 }, (_, index) => `B${index + 1}`),
};

for (const api of ["retool", "retrac"] as const) {
  const text = readFileSync(`policies/${api}.yaml`, "utf8");
  const cases = readFileSync(`policies/${api}.test.yaml`, "utf8");
  const policy = compiled(text);

  describe(`${api}.yaml`, () => {
    test("passes its cases, which cite every rule", async () => {
      const result = await run(policy, cases);
      expect(result.cases.flatMap(({ failures }) => failures.map(formatProblem))).toEqual([]);
      expect([...result.rules.keys()]).toEqual(RULES[api]);
    });

    const mutants = mutantsOf(parseDocument(text).toJS());

    test("has something to mutate", () => {
      expect(mutants.length).toBeGreaterThan(200);
    });

    test("cannot lose or change any entry unnoticed", { timeout: 120_000 }, async () => {
      const survivors: string[] = [];
      for (const { what, source } of mutants) {
        const mutant = parsePolicy(stringify(source), "mutant.yaml");
        // A mutant of the same digest means the same: what it lost was a default.
        if ("problems" in mutant || mutant.policy.digest === policy.digest) continue;
        const result = await run(mutant.policy, cases);
        if (result.cases.every(({ passed }) => passed)) survivors.push(what);
      }
      expect(survivors).toEqual([]);
    });
  });
}

function compiled(text: string): CompiledPolicy {
  const result = parsePolicy(text, "policy.yaml");
  if ("problems" in result) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.policy;
}

async function run(policy: CompiledPolicy, text: string): Promise<TestResult> {
  const result = await testPolicy(
    policy,
    { text, file: "cases.yaml" },
    { createBuckets: (now) => createInProcessBuckets({ now }) },
  );
  if ("problems" in result) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result;
}

interface Mutant {
  readonly what: string;
  readonly source: unknown;
}

/** Each entry removed, and each value replaced by its neighbours, one at a time. */
function mutantsOf(source: unknown): Mutant[] {
  return placesIn(source, []).flatMap((path) => [
    { what: `without ${path.join(".")}`, source: without(source, path) },
    ...neighbours(at(source, path)).map((value) => ({
      what: `${path.join(".")}: ${JSON.stringify(value)}`,
      source: replaced(source, { path, value }),
    })),
  ]);
}

/** Everything below the root, except prose. */
function placesIn(value: unknown, path: ValuePath): ValuePath[] {
  if (typeof value !== "object" || value === null) return [];
  const parts = Array.isArray(value) ? value.map((_, index) => index) : Object.keys(value);
  return parts
    .filter((part) => part !== "description")
    .flatMap((part) => [[...path, part], ...placesIn(at(value, [part]), [...path, part])]);
}

const CHOICES = [
  ["required", "any"],
  ["bound", "request"],
  ["all", "selected"],
  ["creator", "workspace"],
  ["none", "own", "workspace"],
  ["key", "user", "workspace", "api"],
  ["sliding", "fixed", "bucket"],
  ["free", "pro", "business", "enterprise"],
  ["*.read", "*.write", "*"],
];

function neighbours(value: unknown): unknown[] {
  if (typeof value === "number") return [value - 1, value + 1];
  if (typeof value === "boolean") return [!value];
  if (value === "60s") return ["59s", "61s"];
  return CHOICES.filter((choices) => choices.includes(value as string)).flatMap((choices) =>
    choices.filter((choice) => choice !== value),
  );
}

function at(value: unknown, path: ValuePath): unknown {
  return path.reduce((holder, part) => (holder as Record<string | number, unknown>)[part], value);
}

function without(source: unknown, path: ValuePath): unknown {
  const copy = structuredClone(source);
  const holder = at(copy, path.slice(0, -1));
  const part = path.at(-1) as string | number;
  if (Array.isArray(holder)) holder.splice(part as number, 1);
  else delete (holder as Record<string | number, unknown>)[part];
  return copy;
}

function replaced(source: unknown, by: { path: ValuePath; value: unknown }): unknown {
  const copy = structuredClone(source);
  const holder = at(copy, by.path.slice(0, -1)) as Record<string | number, unknown>;
  holder[by.path.at(-1) as string | number] = by.value;
  return copy;
}
