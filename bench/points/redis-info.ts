import type { Redis } from "ioredis";

/** What Redis says of itself. */
export interface RedisInfo {
  readonly usedBytes: number;
  readonly keys: number;
  /** Keys that expire by themselves. */
  readonly expiringKeys: number;
  /** Of the commands asked for, by clients or within scripts. */
  readonly calls: number;
  /** As long as they took, in microseconds: also while others had the processor. */
  readonly commandUs: number;
}

export async function readRedisInfo(redis: Redis, commands: readonly string[]): Promise<RedisInfo> {
  const sections = ["memory", "keyspace", "commandstats"].map((section) => redis.info(section));
  return parseRedisInfo((await Promise.all(sections)).join("\n"), commands);
}

export function parseRedisInfo(text: string, commands: readonly string[]): RedisInfo {
  const [, keys = "0", expiringKeys = "0"] = /^db0:keys=(\d+),expires=(\d+)/m.exec(text) ?? [];
  const [, used] = /^used_memory:(\d+)/m.exec(text) ?? [];
  if (used === undefined) throw new Error(`Redis does not say how much memory it uses: ${text}`);
  const stats = [...text.matchAll(/^cmdstat_([^:]+):calls=(\d+),usec=(\d+)/gm)].filter(([, name = ""]) =>
    commands.includes(name),
  );
  return {
    usedBytes: Number(used),
    keys: Number(keys),
    expiringKeys: Number(expiringKeys),
    calls: stats.reduce((sum, [, , calls]) => sum + Number(calls), 0),
    commandUs: stats.reduce((sum, [, , , us]) => sum + Number(us), 0),
  };
}
