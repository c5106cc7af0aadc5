import { expect, it } from "vitest";
import { spansShards } from "../../src/core/charges.ts";
import { parsePolicy } from "../../src/policy/parse.ts";

const policyWith = (workspace: string, limits: readonly string[]) => {
  const parsed = parsePolicy(
    `
api: a
permissions: {do: 1}
roles: {owner: {permissions: ["*"], creates_keys: true}}
scopes: {do: {}}
key_types: {token: {prefix: a_, workspace: ${workspace}, scopes: selected, acts_as: creator}}
limits: [${limits.map((per) => `{name: ${per}, per: ${per}, ${per === "descriptor" ? "descriptor: {a: b}, " : ""}points: 5, window: 1s}`).join(", ")}]
`,
    "a.yaml",
  );
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.policy;
};

it.each<[string, string[], boolean]>([
  ["bound", ["workspace"], false],
  ["bound", ["workspace", "user", "key"], false],
  ["bound", ["api"], false],
  ["bound", ["api", "workspace"], true],
  ["bound", ["descriptor", "workspace"], false],
  ["{query: w}", ["workspace", "user"], false],
  ["{query: w}", ["key"], false],
  ["{query: w}", ["key", "workspace"], true],
])("keys %s with limits per %j may charge several shards in one decision: %s", (workspace, limits, spans) => {
  expect(spansShards(policyWith(workspace, limits))).toBe(spans);
});
