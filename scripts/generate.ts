// npm run generate: writes all that is generated and committed. Migrations are not rewritten, only added.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, root } from "./checkout.ts";
import { policySchemaFile, policySchemaText } from "./policy-schema.ts";

execFileSync(binary("buf"), ["generate"], { cwd: root, stdio: "inherit" });
execFileSync(binary("drizzle-kit"), ["generate"], { cwd: root, stdio: "inherit" });
writeFileSync(join(root, policySchemaFile), policySchemaText());
