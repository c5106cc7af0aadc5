import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/**
 * A folder of what the tests bring from a package registry, filled by its first use and found again by all
 * later ones. It stands in the user's cache and not in the checkout: building a Go program takes minutes,
 * and each fresh clone would pay them. `name` says the version. What fails or is cut off leaves nothing.
 */
export async function cachedFolder(name: string, fill: (fresh: string) => Promise<void>): Promise<string> {
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "tollgate-programs");
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const fresh = mkdtempSync(join(cache, "filling-"));
  try {
    await fill(fresh);
    // Another test process may have been faster: then its folder is as good.
    if (!existsSync(folder)) renameSync(fresh, folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return folder;
}
