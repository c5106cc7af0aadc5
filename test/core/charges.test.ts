import { expect, it } from "vitest";
import { chargesFor, chargesForDescriptor, spansShards } from "../../src/core/charges.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { createKeyNames, shardOf } from "../../src/redis/key-names.ts";
import { keyRecord, workspaceFields } from "../contract/records.ts";

const policyWith = (workspace: string, limits: readonly string[], more = "") => {
  const parsed = parsePolicy(
    `
api: a
${more}
permissions: {do: 1}
roles: {owner: {permissions: ["*"], creates_keys: true}}
scopes: {do: {}}
key_types: {token: {prefix: a_, workspace: ${workspace}, scopes: selected, acts_as: creator}}
limits: [${limits.map((per) => `{name: ${per.split(",")[0]}, per: ${per}, ${per === "descriptor" ? "descriptor: {a: b}, " : ""}points: 5, window: 1s}`).join(", ")}]
`,
    "a.yaml",
  );
  if ("problems" in parsed) throw new Error(JSON.stringify(parsed.problems));
  return parsed.policy;
};

const workspaceOf = (id: string) => ({
  ...workspaceFields(),
  directory: "a",
  id,
  sourceVersion: 0n,
  revision: 1,
});

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

it("with tag: api every limit's buckets lie in one shard, those of descriptors too, whatever the workspace", () => {
  const limits = ["api", "workspace", "user", "key", "descriptor"];
  const policy = policyWith("{query: w}", limits, "tag: api");
  expect(spansShards(policy)).toBe(false);
  const names = createKeyNames({ shards: 64 });
  const charges = Array.from({ length: 20 }, (_, index) => `w${index}`).flatMap((id) =>
    chargesFor(policy, {
      key: keyRecord({ id: `key_${id}`, workspaceId: "" }),
      workspace: workspaceOf(id),
      cost: 1,
    }),
  );
  const ofDescriptor = chargesForDescriptor(policy, { entries: new Map([["a", "b"]]), cost: 1 });
  expect(ofDescriptor).toHaveLength(1);
  expect(charges).toHaveLength(20 * 4);
  const shards = [...charges, ...ofDescriptor].map((charge) => shardOf(names.bucket(charge)));
  expect(new Set(shards).size).toBe(1);
});

it("a bucket's name does not tell whether its limit is in shadow: what was counted goes on", () => {
  const names = createKeyNames({ shards: 64 });
  const nameOf = (limit: string) => {
    const policy = policyWith("bound", [limit]);
    const [charge] = chargesFor(policy, {
      key: keyRecord(),
      workspace: workspaceOf("w1"),
      cost: 1,
    });
    return charge === undefined ? "none" : [names.bucket(charge), names.request(charge, "r")];
  };
  expect(nameOf("workspace, shadow: true")).toEqual(nameOf("workspace"));
});
