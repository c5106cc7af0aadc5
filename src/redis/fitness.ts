import type { Redis } from "ioredis";
import { missingRights } from "./missing-rights.ts";

export interface Unfitness {
  readonly reason: "REDIS_UNFIT" | "REDIS_REFUSED";
  /** A sentence, without a password. */
  readonly problem: string;
}

/**
 * What makes a server, or a cluster's node, unfit to keep points; undefined: nothing. `info` is its INFO.
 * Throws what the driver throws.
 */
export async function unfitness(
  redis: Redis,
  info: ReadonlyMap<string, string>,
): Promise<Unfitness | undefined> {
  const problem = infoProblem(info);
  if (problem !== undefined) return { reason: "REDIS_UNFIT", problem };
  const missing = await missingRights(redis, info.get("cluster_enabled") === "1" ? "of a cluster" : "alone");
  if (missing.length === 0) return undefined;
  return {
    reason: "REDIS_REFUSED",
    problem: `its user may not run ${missing.join(", ")} on the keys tg:*; docs/points.md has the rights needed.`,
  };
}

/** The fields of INFO. Throws what the driver throws. */
export async function readInfo(redis: Redis): Promise<ReadonlyMap<string, string>> {
  const lines = (await redis.info()).split("\r\n").filter((line) => line.includes(":"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}

function infoProblem(info: ReadonlyMap<string, string>): string | undefined {
  const version = info.get("redis_version") ?? "";
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (!(major > 6 || (major === 6 && minor >= 2))) {
    return `Redis 6.2 or later, or Valkey, is needed; this is ${version === "" ? "unknown" : version}.`;
  }
  // Any node of a cluster names the masters; today's replica may be the master tomorrow.
  if (info.get("role") === "slave" && info.get("cluster_enabled") !== "1") {
    return "this is a read-only replica; name the primary.";
  }
  const policy = info.get("maxmemory_policy");
  if (policy !== "noeviction") {
    return `its maxmemory-policy is ${policy ?? "unknown"}, so that it may drop points; set it to noeviction.`;
  }
  return undefined;
}
