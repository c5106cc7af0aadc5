import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** In microseconds: short, so that a process that has used up its share does not stand still for long. */
const PERIOD_US = 10_000;
const ROOT = "/sys/fs/cgroup";

/**
 * Gives a process a part of a core and no more, by a cgroup of its own (Linux, version 1 or 2; as root). To be taken away
 * when the process has ended. Throws where the kernel, or the rights of whoever asks, do not let it.
 */
export function holdToShare(pid: number, share: number): { takeAway(): void } {
  const isSecond = existsSync(join(ROOT, "cgroup.controllers"));
  const folder = join(ROOT, ...(isSecond ? [] : ["cpu"]), `tollgate-bench-${pid}`);
  const quotaUs = Math.round(share * PERIOD_US);
  if (isSecond) writeFileSync(join(ROOT, "cgroup.subtree_control"), "+cpu");
  mkdirSync(folder);
  if (isSecond) writeFileSync(join(folder, "cpu.max"), `${quotaUs} ${PERIOD_US}`);
  else {
    writeFileSync(join(folder, "cpu.cfs_period_us"), String(PERIOD_US));
    writeFileSync(join(folder, "cpu.cfs_quota_us"), String(quotaUs));
  }
  writeFileSync(join(folder, "cgroup.procs"), String(pid));
  return { takeAway: () => rmdirSync(folder) };
}
