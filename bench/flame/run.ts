// npm run flame [-- --seconds 10]: where the CPU time of a Check goes, as a table, and as a flame graph in
// docs/performance/check.svg. docs/performance.md says how to read them.
import { mkdirSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { inRepository } from "../../test/support/repository.ts";
import { say } from "../say.ts";
import { flameSvg } from "./flame-svg.ts";
import { profileCheck } from "./profile-check.ts";
import { stepTable } from "./step-table.ts";

const { values } = parseArgs({ options: { seconds: { type: "string", default: "10" } } });
const seconds = Number(values.seconds);
if (!(seconds > 0 && seconds <= 600)) throw new Error(`--seconds takes 1 to 600, not ${values.seconds}`);

const root = await profileCheck({ seconds });
process.stdout.write(`${stepTable(root)}\n`);
mkdirSync(inRepository("docs", "performance"), { recursive: true });
const file = inRepository("docs", "performance", "check.svg");
writeFileSync(file, flameSvg(root));
say(file);
