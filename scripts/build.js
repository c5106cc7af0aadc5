// Builds dist from src. Several processes may build at once: each compiles into a folder of its own,
// a lock keeps all but one from doing so, and a swap by rename makes the result appear as a whole.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { link, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");
const cache = join(root, ".cache");
const lock = join(cache, "build.lock");
/** Inside dist: the digest of the sources that it was built from. */
const stamp = ".sources";

/** Builds dist unless it is there and made from the sources as they are now. Throws an Error with tsc's output. */
export async function buildIfStale() {
  if (!isStale()) return;
  await withLock(async () => {
    if (isStale()) await build();
  });
}

/** Cleans and builds dist. Throws an Error with tsc's output. */
export async function rebuild() {
  await withLock(build);
}

function isStale() {
  const file = join(dist, stamp);
  return !existsSync(file) || readFileSync(file, "utf8") !== sourcesDigest();
}

/** SHA-256 over the path and content of all that tsc reads. Contents, because a checkout changes file times. */
function sourcesDigest() {
  const hash = createHash("sha256");
  const sources = readdirSync(join(root, "src"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
  const settings = ["tsconfig.json", "tsconfig.build.json", "package.json"].map((name) => join(root, name));
  for (const file of [...settings, ...sources]) {
    hash
      .update(`${file.slice(root.length)}\0`)
      .update(readFileSync(file))
      .update("\0");
  }
  return hash.digest("hex");
}

async function build() {
  const digest = sourcesDigest();
  const fresh = join(cache, `dist-${process.pid}`);
  try {
    await rm(fresh, { recursive: true, force: true });
    await compileInto(fresh);
    await writeFile(join(fresh, stamp), digest);
    await swapIn(fresh);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** @param {string} folder */
function compileInto(folder) {
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const args = [tsc, "-p", join(root, "tsconfig.build.json"), "--outDir", folder, "--noEmitOnError"];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { cwd: root, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      if (error === null) resolve(undefined);
      else reject(new Error(`the build failed:\n${stdout}${stderr || (stdout === "" ? error.message : "")}`));
    });
  });
}

/** @param {string} fresh */
async function swapIn(fresh) {
  const old = join(cache, `dist-old-${process.pid}`);
  await rm(old, { recursive: true, force: true });
  if (existsSync(dist)) await rename(dist, old);
  await rename(fresh, dist);
  await rm(old, { recursive: true, force: true });
}

/**
 * Runs `work` while no other process does. The lock file holds its owner's process id; one left by a
 * process that is gone is taken over.
 * @param {() => Promise<void>} work
 */
async function withLock(work) {
  await mkdir(cache, { recursive: true });
  while (!(await tryLock())) await delay(50);
  try {
    await work();
  } finally {
    await rm(lock, { force: true });
  }
}

async function tryLock() {
  const mine = `${lock}.${process.pid}`;
  await writeFile(mine, String(process.pid));
  try {
    await link(mine, lock); // Appears with its content, or not at all.
    return true;
  } catch (error) {
    if (error.code !== "EEXIST") throw error;
  } finally {
    await rm(mine, { force: true });
  }
  if (isAbandoned()) await rm(lock, { force: true });
  return false;
}

/** Whether the lock's owner is gone, or its id has passed to another process: no build takes five minutes. */
function isAbandoned() {
  try {
    const owner = Number(readFileSync(lock, "utf8"));
    if (Date.now() - statSync(lock).mtimeMs > 300_000) return true;
    process.kill(owner, 0);
    return false;
  } catch (error) {
    if (error.code === "ESRCH") return true;
    if (error.code === "ENOENT" || error.code === "EPERM") return false;
    throw error;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    await rebuild();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
