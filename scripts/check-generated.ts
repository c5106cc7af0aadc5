// Makes everything that is generated once more, into a temp folder, and fails on any difference from
// what is committed.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { binary, root } from "./checkout.ts";
import { policySchemaFile, policySchemaText } from "./policy-schema.ts";

const temporary = mkdtempSync(join(tmpdir(), "tollgate-generated-"));
try {
  const differences = [...compareProtobuf(), ...compareMigrations(), ...comparePolicySchema()];
  for (const difference of differences) process.stderr.write(`${difference}\n`);
  if (differences.length > 0) {
    process.stderr.write("run `npm run generate`, and commit what it writes\n");
    process.exitCode = 1;
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

function compareProtobuf(): string[] {
  execFileSync(binary("buf"), ["generate", "--output", temporary], { cwd: root, stdio: ["ignore", 2, 2] });
  const committed = filesIn(join(root, "src", "gen"));
  const fresh = filesIn(join(temporary, "src", "gen"));
  const paths = new Set([...committed.keys(), ...fresh.keys()]);
  return [...paths]
    .filter((path) => committed.get(path) !== fresh.get(path))
    .map((path) => `src/gen/${path} is not what proto/ generates`);
}

/** In step means that drizzle-kit, asked for the next migration, finds nothing to put into it. */
function compareMigrations(): string[] {
  const copy = join(temporary, "migrations");
  cpSync(join(root, "migrations"), copy, { recursive: true });
  const before = filesIn(copy);
  // It puts "./" before the folder, so that only a relative one works.
  const args = ["generate", "--dialect", "postgresql", "--schema", "./src/postgres/schema.ts"];
  execFileSync(binary("drizzle-kit"), [...args, "--out", relative(root, copy)], {
    cwd: root,
    stdio: ["ignore", "ignore", 2],
  });
  return [...filesIn(copy)]
    .filter(([path, text]) => before.get(path) !== text && path.endsWith(".sql"))
    .map(([, text]) => `src/postgres/schema.ts has changes that no migration makes:\n${text}`);
}

function comparePolicySchema(): string[] {
  const path = join(root, policySchemaFile);
  const committed = existsSync(path) ? readFileSync(path, "utf8") : undefined;
  return committed === policySchemaText()
    ? []
    : [`${policySchemaFile} is not what src/policy/schema.ts generates`];
}

/** Path inside the folder → content. */
function filesIn(folder: string): Map<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    files.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [relative(folder, path).split(sep).join("/"), readFileSync(path, "utf8")];
    }),
  );
}
