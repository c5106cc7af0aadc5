import { policyJsonSchema } from "../src/policy/schema.ts";

/** Where editors find the JSON Schema of policy files, from the checkout's root. */
export const policySchemaFile = "policies/policy.schema.json";

export function policySchemaText(): string {
  return `${JSON.stringify(policyJsonSchema(), null, 2)}\n`;
}
