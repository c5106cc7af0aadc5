import { policyJsonSchema } from "../policy/schema.ts";
import type { AddCommand } from "./context.ts";

export const addPolicySchema: AddCommand = (group, { terminal }) => {
  group
    .command("schema")
    .description("print the JSON Schema of policy files, for editors")
    .action(() => terminal.print(JSON.stringify(policyJsonSchema(), undefined, 2)));
};
