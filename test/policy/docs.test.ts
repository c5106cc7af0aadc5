import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createInProcessBuckets } from "../../src/points/in-process-buckets.ts";
import { formatProblem } from "../../src/policy/problem.ts";
import { testPolicy } from "../../src/policy/test-policy.ts";
import { policyOf } from "./policy-text.ts";

test("the policy of docs/policy.md is valid, and passes its cases", async () => {
  const page = readFileSync("docs/policy.md", "utf8");
  const [policy = "", cases = ""] = [...page.matchAll(/```yaml\n([^`]*)```/g)].map(([, block]) => block);
  const result = await testPolicy(
    policyOf(policy),
    { text: cases, file: "docs/policy.md" },
    { createBuckets: (now) => createInProcessBuckets({ now }) },
  );
  if ("problems" in result) throw new Error(result.problems.map(formatProblem).join("\n"));
  expect(result.cases.flatMap(({ failures }) => failures.map(formatProblem))).toEqual([]);
  expect(result.cases).toHaveLength(3);
});
