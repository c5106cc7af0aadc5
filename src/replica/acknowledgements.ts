import { setTimeout as delay } from "node:timers/promises";
import { TollgateError } from "../core/errors.ts";
import type { ChangeFeed, Deadline, ReplicaReport, ReplicaRow } from "../core/ports.ts";
import { LEASE_MARGIN } from "../core/replicas.ts";
import { settledBy } from "../core/settled-by.ts";

/** The rows are looked at after so many milliseconds, then after longer. */
const POLL_MS = [2, 4, 8];
const LONGEST_POLL_MS = 16;

/** For taking away the row of a replica that is gone. */
const RETIRE_MS = 1000;

/** How a wait for the other replicas ended. */
export interface AcknowledgementWait {
  readonly durationMs: number;
  /** "lapsed": some did not answer, and their leases have ended. "failed": it is not known. */
  readonly outcome: "acknowledged" | "lapsed" | "failed";
}

export interface AcknowledgementsOptions {
  readonly feed: Pick<ChangeFeed, "replicas" | "retire">;
  /** This replica, which need not write into its row what it can say here. */
  readonly own: { readonly id: string; applied(): bigint; catchUp(to: bigint): void };
  readonly onWaited?: (wait: AcknowledgementWait) => void;
}

/** Tells when what was changed is in force everywhere. */
export interface Acknowledgements {
  /**
   * Settles once no replica uses anything older than what was committed before the call: each that has a row has
   * applied it, or its lease has ended. Throws `unavailable` NOT_ACKNOWLEDGED at the deadline.
   */
  everywhere(deadline: Deadline): Promise<void>;
}

/**
 * A replica uses its cache for as long as the lease in its row says, from before it sent the renewal. So who is not
 * heard of for a little more than that, on this process's own clock and from after the commit, uses nothing any more;
 * before it uses its cache again, its renewal tells it of the change. A replica whose row is not there yet begins after
 * the change, and with an empty cache.
 */
export function createAcknowledgements(options: AcknowledgementsOptions): Acknowledgements {
  const { feed, own, onWaited = () => {} } = options;
  const next = nextOf(feed.replicas);
  const report = (deadline: Deadline): Promise<ReplicaReport> =>
    settledBy(next(deadline), { deadline, missed: notAcknowledged });

  /** Rows that are to be taken away, unless they are renewed. */
  const retiring = new Set<string>();

  async function wait(deadline: Deadline): Promise<AcknowledgementWait["outcome"]> {
    // What is to be waited for was committed before.
    const startMs = performance.now();
    const first = await report(deadline);
    const firstMs = performance.now();
    const behind = ({ replicas }: ReplicaReport): readonly ReplicaRow[] =>
      replicas.filter(({ id, applied }) => (id === own.id ? own.applied() : applied) < first.highest);
    if (own.applied() < first.highest) own.catchUp(first.highest);
    const awaited = new Map(behind(first).map((row) => [row.id, row]));
    // From then on the replica uses nothing from before the commit.
    const lapseOf = ({ leaseMs }: ReplicaRow): number => startMs + LEASE_MARGIN * leaseMs;
    let outcome: AcknowledgementWait["outcome"] = "acknowledged";
    try {
      for (let round = 0; awaited.size > 0; round++) {
        const nextMs = Math.min(...[...awaited.values()].map(lapseOf));
        const pollMs = POLL_MS[round] ?? LONGEST_POLL_MS;
        await passed(Math.min(pollMs, nextMs - performance.now()));
        const still = new Set(behind(await report(deadline)).map(({ id }) => id));
        for (const id of awaited.keys()) if (!still.has(id)) awaited.delete(id);
        const nowMs = performance.now();
        for (const row of awaited.values()) {
          if (nowMs < lapseOf(row)) continue;
          outcome = "lapsed";
          awaited.delete(row.id);
          void retire(row, firstMs);
        }
        if (awaited.size > 0 && nowMs >= deadline) throw notAcknowledged();
      }
    } finally {
      for (const row of awaited.values()) void retire(row, firstMs);
    }
    return outcome;
  }

  /** Once its lease has ended, so that the next change need not wait for it. Not one who has renewed since. */
  async function retire(row: ReplicaRow, sinceMs: number): Promise<void> {
    const seen = `${row.id} ${row.renewal}`;
    if (row.id === own.id || retiring.has(seen)) return;
    retiring.add(seen);
    const lapseMs = sinceMs + LEASE_MARGIN * row.leaseMs;
    // A timer may be early by a part of a millisecond.
    while (performance.now() < lapseMs) await passed(lapseMs - performance.now(), { ref: false });
    retiring.delete(seen);
    // Whoever changes something next does it, where this one could not.
    await feed.retire(row, performance.now() + RETIRE_MS).catch(() => {});
  }

  return {
    async everywhere(deadline) {
      const startMs = performance.now();
      let outcome: AcknowledgementWait["outcome"] = "failed";
      try {
        outcome = await wait(deadline);
      } catch (error) {
        throw error instanceof TollgateError && error.code === "internal" ? error : notAcknowledged(error);
      } finally {
        onWaited({ durationMs: performance.now() - startMs, outcome });
      }
    },
  };
}

/** Asks once for all who ask at the same time, each of whom gets an answer that was asked for after he came. */
function nextOf<T>(ask: (deadline: Deadline) => Promise<T>): (deadline: Deadline) => Promise<T> {
  let underWay: Promise<unknown> = Promise.resolve();
  let next: Promise<T> | undefined;
  let latest = 0;

  async function askNext(): Promise<T> {
    await underWay;
    const answer = ask(latest);
    next = undefined;
    underWay = answer.catch(() => {});
    return answer;
  }

  return (deadline) => {
    latest = next === undefined ? deadline : Math.max(latest, deadline);
    next ??= askNext();
    return next;
  };
}

async function passed(ms: number, options: { ref: boolean } = { ref: true }): Promise<void> {
  await delay(Math.max(0, Math.ceil(ms)), undefined, options);
}

function notAcknowledged(cause?: unknown): TollgateError {
  return new TollgateError(
    "unavailable",
    "It is stored, but other replicas have not said yet that they know of it; repeat the call to wait for them.",
    { reason: "NOT_ACKNOWLEDGED", cause },
  );
}
