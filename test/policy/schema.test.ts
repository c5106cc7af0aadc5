import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { policyJsonSchema } from "../../src/policy/schema.ts";

test("the JSON Schema beside the shipped policies is the one that files are checked by", () => {
  // When this fails: tollgate policy schema > policies/policy.schema.json
  expect(JSON.parse(readFileSync("policies/policy.schema.json", "utf8"))).toEqual(
    JSON.parse(JSON.stringify(policyJsonSchema())),
  );
});

test("every field has a description, and no map takes unknown ones", () => {
  const fields: string[] = [];
  const open: string[] = [];
  collect(policyJsonSchema(), "policy", { fields, open });
  expect(fields).toEqual([]);
  expect(open).toEqual([]);
});

type Json = { readonly [field: string]: unknown };

function collect(schema: Json, where: string, found: { fields: string[]; open: string[] }): void {
  const properties = (schema["properties"] ?? {}) as Record<string, Json>;
  if (schema["type"] === "object" && schema["additionalProperties"] === undefined) found.open.push(where);
  for (const [name, property] of Object.entries(properties)) {
    if (property["description"] === undefined) found.fields.push(`${where}.${name}`);
  }
  const below = [
    ...Object.entries(properties),
    ...((schema["anyOf"] ?? []) as Json[]).map((option) => ["", option] as const),
    ...(["items", "additionalProperties"] as const).map((name) => ["*", schema[name]] as const),
  ];
  for (const [name, property] of below) {
    if (typeof property === "object" && property !== null)
      collect(property as Json, `${where}.${name}`, found);
  }
}
