import { setTimeout as delay } from "node:timers/promises";
import type { Redis } from "ioredis";
import type { RedisServer } from "../support/redis.ts";
import { createChoices } from "./choices.ts";
import type { ExactServer } from "./servers.ts";

export const faultKinds = [
  "cut",
  "cut request",
  "cut reply",
  "slow replies",
  "dropped replies",
  "paused redis",
  "script flush",
  "killed server",
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface FaultOptions {
  readonly seed: number;
  readonly servers: readonly ExactServer[];
  readonly redis: RedisServer;
  /** Straight to Redis. */
  readonly direct: Redis;
  /** From the end of one fault to the next: from 0 to below that. */
  readonly pauseMs: number;
  /** Of all faults, those that kill a server. */
  readonly kills: number;
  readonly onFault: (kind: FaultKind) => void;
  /** Aborted: no fault begins any more. */
  readonly signal: AbortSignal;
}

/** Causes one fault after another until `signal`, and leaves all whole. The order is the seed's, the hour is not. */
export async function causeFaults(options: FaultOptions): Promise<void> {
  const { seed, servers, kills, pauseMs, onFault, signal } = options;
  const choices = createChoices(seed, -2);
  const others = faultKinds.filter((kind) => kind !== "killed server");
  while (!signal.aborted) {
    const kind = choices.chance(kills) ? "killed server" : choices.oneOf(others);
    const server = choices.oneOf(servers);
    const pause = choices.below(pauseMs);
    await cause(kind, { server, redis: options.redis, direct: options.direct, signal });
    onFault(kind);
    await wait(pause, signal);
  }
}

async function cause(
  kind: FaultKind,
  {
    server,
    redis,
    direct,
    signal,
  }: { server: ExactServer } & Pick<FaultOptions, "redis" | "direct" | "signal">,
): Promise<void> {
  const { proxy } = server;
  if (kind === "cut") proxy.cut();
  else if (kind === "cut request") proxy.cutNextRequest();
  else if (kind === "cut reply") proxy.cutNextReply();
  else if (kind === "script flush") await direct.script("FLUSH");
  else if (kind === "killed server") await server.killAndRestart();
  else if (kind === "slow replies") {
    proxy.delayReplies(100);
    await wait(150, signal);
    proxy.delayReplies(0);
  } else if (kind === "dropped replies") {
    proxy.dropReplies();
    await wait(100, signal);
    proxy.cut();
  } else {
    redis.pause();
    await wait(200, signal);
    redis.resume();
  }
}

/** That long, or until the signal. */
async function wait(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
