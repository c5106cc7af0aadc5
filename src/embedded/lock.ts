import { randomBytes } from "node:crypto";
import { linkSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { TollgateError } from "../core/errors.ts";

export interface FolderLock {
  release(): void;
}

/**
 * Takes `folder` for this process, or throws FAILED_PRECONDITION naming the process that has it. A dead
 * process's lock is taken over.
 *
 * Locks are the files lock.1, lock.2 …; the highest number counts. Who finds its holder dead creates the
 * next one, which only one can do, and the highest is never deleted: a name that was judged dead is never
 * anybody's lock again, so two starters cannot take over one after the other. Each file appears with its
 * contents, by a hard link to a complete one.
 */
export function lockFolder(folder: string): FolderLock {
  const holder: Holder = { ...currentHolder(), released: false };
  for (;;) {
    const highest = highestLock(folder);
    if (highest > 0) {
      const other = readHolder(lockPath(folder, highest));
      if (other === undefined) continue;
      if (isAlive(other)) throw folderLocked(folder, lockPath(folder, highest), other);
    }
    const number = highest + 1;
    if (!createLock(folder, number, holder)) continue;
    // Between the look and the creation others may have come, gone, and been succeeded.
    if (highestLock(folder) !== number) {
      rmSync(lockPath(folder, number), { force: true });
      continue;
    }
    for (let lower = number - 1; lower > 0 && removeLock(folder, lower); lower--);
    return {
      release: () => replaceFile(lockPath(folder, number), { ...holder, released: true }),
    };
  }
}

/** The process that holds a lock. */
interface Holder {
  readonly pid: number;
  /** When the process started, in ticks since the boot; empty where the system does not tell. */
  readonly startTicks: string;
  /** Empty where the system does not tell. */
  readonly bootId: string;
  readonly host: string;
  /** Ended in order: as good as dead. */
  readonly released: boolean;
}

function currentHolder(): Omit<Holder, "released"> {
  return { pid: process.pid, startTicks: startTicks(process.pid), bootId: bootId(), host: hostname() };
}

/** Of a process of another host, or container, nothing can be known: it counts as alive. */
function isAlive(holder: Holder): boolean {
  if (holder.released) return false;
  if (holder.host !== hostname()) return true;
  if (holder.bootId !== bootId()) return false;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    // EPERM: it is there, and somebody else's.
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  // The number may be another process's by now.
  return startTicks(holder.pid) === holder.startTicks;
}

/** Field 22 of /proc/PID/stat; the second, a name in brackets, may hold anything. */
function startTicks(pid: number): string {
  const stat = readIfThere(`/proc/${pid}/stat`) ?? "";
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

function bootId(): string {
  return (readIfThere("/proc/sys/kernel/random/boot_id") ?? "").trim();
}

function lockPath(folder: string, number: number): string {
  return join(folder, `lock.${number}`);
}

/** 0: none. */
function highestLock(folder: string): number {
  const numbers = readdirSync(folder).map((name) => Number(/^lock\.(\d+)$/.exec(name)?.[1] ?? 0));
  return Math.max(0, ...numbers);
}

/** Undefined when it was deleted meanwhile. */
function readHolder(path: string): Holder | undefined {
  const text = readIfThere(path);
  return text === undefined ? undefined : (JSON.parse(text) as Holder);
}

/** False when another process was first. */
function createLock(folder: string, number: number, holder: Holder): boolean {
  const complete = temporaryPath(lockPath(folder, number));
  writeFileSync(complete, JSON.stringify(holder), { mode: 0o600, flag: "wx" });
  try {
    linkSync(complete, lockPath(folder, number));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(complete);
  }
}

function replaceFile(path: string, holder: Holder): void {
  const complete = temporaryPath(path);
  writeFileSync(complete, JSON.stringify(holder), { mode: 0o600, flag: "wx" });
  renameSync(complete, path);
}

function temporaryPath(path: string): string {
  return `${path}-${randomBytes(6).toString("hex")}`;
}

/** False when there was none. */
function removeLock(folder: string, number: number): boolean {
  const there = readIfThere(lockPath(folder, number)) !== undefined;
  rmSync(lockPath(folder, number), { force: true });
  return there;
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ESRCH") return undefined;
    throw error;
  }
}

function folderLocked(folder: string, path: string, { pid, host }: Holder): TollgateError {
  const elsewhere =
    host === hostname()
      ? ""
      : ` on the host ${host}, which this one cannot ask; if it has ended, delete ${path}`;
  return new TollgateError(
    "failed_precondition",
    `The data folder ${folder} is in use by process ${pid}${elsewhere}.`,
    { reason: "DATA_FOLDER_LOCKED", metadata: { folder, pid: String(pid), host } },
  );
}
