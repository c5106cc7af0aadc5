// Fails when proto/ breaks clients of the contract as it is on main; where there is no main, of the last
// release, or of the last commit.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary, root } from "./checkout.ts";

const base = baseCommit();
if (base === undefined) {
  process.stdout.write("no commit to compare the contract with yet\n");
} else {
  // Taken out of git by ourselves: buf's own reading of .git fails in a worktree and in a shallow clone.
  const folder = mkdtempSync(join(tmpdir(), "tollgate-breaking-"));
  try {
    const archive = execFileSync("git", ["archive", base, "proto", "buf.yaml"], {
      cwd: root,
      maxBuffer: 64 * 1024 * 1024,
    });
    execFileSync("tar", ["-x", "-C", folder], { input: archive });
    const result = spawnSync(binary("buf"), ["breaking", "--against", folder], {
      cwd: root,
      stdio: "inherit",
    });
    if (result.status !== 0) process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The first of the candidates that exists and holds a contract. */
function baseCommit(): string | undefined {
  // Fails loudly where git refuses to read the checkout, which else would pass for one without a commit.
  execFileSync("git", ["rev-parse", "--git-dir"], { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
  const lastTag = git(["describe", "--tags", "--abbrev=0"]);
  const candidates = ["refs/heads/main", "refs/remotes/origin/main", lastTag, "HEAD"];
  return candidates.find(
    (name) => name !== undefined && git(["cat-file", "-e", `${name}:buf.yaml`]) !== undefined,
  );
}

/** What git prints; undefined when it fails. */
function git(args: readonly string[]): string | undefined {
  const result = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  if (result.error !== undefined) throw result.error;
  return result.status === 0 ? result.stdout.trim() : undefined;
}
