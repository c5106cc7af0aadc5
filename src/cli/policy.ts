import type { AddCommand } from "./context.ts";
import { addPolicyDiff } from "./policy-diff.ts";
import { addPolicyExplain } from "./policy-explain.ts";
import { addPolicySchema } from "./policy-schema.ts";
import { addPolicyTest } from "./policy-test.ts";
import { addPolicyValidate } from "./policy-validate.ts";

export const addPolicy: AddCommand = (parent, context) => {
  const group = parent.command("policy").description("check, test, explain and compare policy files");
  addPolicyValidate(group, context);
  addPolicyTest(group, context);
  addPolicyExplain(group, context);
  addPolicyDiff(group, context);
  addPolicySchema(group, context);
};
