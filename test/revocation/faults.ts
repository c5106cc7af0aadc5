import { setTimeout as delay } from "node:timers/promises";
import type { Choices } from "../exact/choices.ts";
import type { PostgresServer } from "../support/postgres.ts";
import type { Replica } from "./servers.ts";

export const faultKinds = [
  "frozen replica",
  "cut connections",
  "slow requests",
  "slow replies",
  "dropped notifications",
  "killed replica",
  "postgres restarted",
] as const;

export type FaultKind = (typeof faultKinds)[number];

/** How long a replica is frozen: far longer than any lease. */
const FROZEN_MS = 5000;
const SLOW_MS = 1500;
const DROPPED_MS = 2000;

/** Those by which a replica is dead to the others. */
export const deathKinds = ["frozen replica", "killed replica"] as const satisfies readonly FaultKind[];

/** Causes one fault after another, in turn and each of a replica at random, until `signal`; leaves all whole. */
export async function causeFaults(options: {
  kinds: readonly FaultKind[];
  replicas: readonly Replica[];
  postgres: PostgresServer;
  choices: Choices;
  signal: AbortSignal;
  onFault: (kind: FaultKind) => void;
}): Promise<void> {
  const { kinds, replicas, postgres, choices, signal, onFault } = options;
  for (let number = 0; !signal.aborted; number++) {
    const kind = kinds[number % kinds.length] as FaultKind;
    onFault(kind);
    await cause(kind, { replica: choices.oneOf(replicas), postgres, choices, signal });
    await wait(choices.below(500), signal);
  }
}

async function cause(
  kind: FaultKind,
  of: { replica: Replica; postgres: PostgresServer; choices: Choices; signal: AbortSignal },
): Promise<void> {
  const { replica, postgres, choices, signal } = of;
  const { queries, notifications } = replica;
  switch (kind) {
    case "frozen replica":
      replica.freeze();
      await wait(FROZEN_MS, signal);
      replica.thaw();
      return;
    case "cut connections":
      queries.cut();
      notifications.cut();
      return;
    case "slow requests":
      queries.delayRequests(choices.below(1200));
      await wait(SLOW_MS, signal);
      queries.calm();
      return;
    case "slow replies":
      queries.delayReplies(choices.below(1200));
      await wait(SLOW_MS, signal);
      queries.calm();
      return;
    case "dropped notifications":
      notifications.dropReplies();
      await wait(DROPPED_MS, signal);
      notifications.cut();
      return;
    case "killed replica":
      await replica.killAndRestart();
      return;
    case "postgres restarted":
      await postgres.restart();
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
