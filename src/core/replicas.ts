import { type Caller, requireAllApis } from "./callers.ts";
import type { ChangeFeed, Deadline, ReplicaRow } from "./ports.ts";

/** Of a lease, what somebody else waits until it has ended: monotonic clocks run at the same rate within 1 %. */
export const LEASE_MARGIN = 1.03;

export interface ListedReplica extends Omit<ReplicaRow, "renewal"> {
  /** It is this process. */
  readonly isThis: boolean;
  /** "lapsed": it uses nothing any more that it cached, if it runs at all. */
  readonly state: "live" | "lapsed";
  /** Those that it has still to apply, or to say so. */
  readonly changesBehind: bigint;
}

export interface ReplicatedPolicy {
  readonly api: string;
  /** All live replicas have the same policy for it. */
  readonly policiesAgree: boolean;
  /** Those that live replicas have, each once, sorted. */
  readonly digests: readonly string[];
}

export interface ReplicaList {
  /** Of all changes. */
  readonly highest: bigint;
  /** The oldest first. */
  readonly replicas: readonly ListedReplica[];
  /** One for each api that a live replica has, by name. */
  readonly policies: readonly ReplicatedPolicy[];
}

/** Who shares the database. Everything is as in the proto's ReplicaService; errors are TollgateErrors. */
export interface Replicas {
  /** For callers that are not limited to some apis: PERMISSION_DENIED. */
  list(caller: Caller, deadline: Deadline): Promise<ReplicaList>;
}

export interface ReplicasDependencies {
  readonly feed: Pick<ChangeFeed, "replicas">;
  readonly ownId: string;
}

export function createReplicas({ feed, ownId }: ReplicasDependencies): Replicas {
  return {
    async list(caller, deadline) {
      requireAllApis(caller);
      const { highest, replicas } = await feed.replicas(deadline);
      const listed = replicas
        .map(({ renewal: _, ...row }): ListedReplica => {
          const isLive = row.renewedMsAgo <= LEASE_MARGIN * row.leaseMs;
          return {
            ...row,
            isThis: row.id === ownId,
            state: isLive ? "live" : "lapsed",
            // A database that was restored may have fewer than were applied.
            changesBehind: row.applied < highest ? highest - row.applied : 0n,
          };
        })
        .sort((a, b) => b.startedMsAgo - a.startedMsAgo);
      const live = listed.filter(({ state }) => state === "live");
      return { highest, replicas: listed, policies: replicatedPolicies(live) };
    },
  };
}

function replicatedPolicies(replicas: readonly Pick<ListedReplica, "policies">[]): ReplicatedPolicy[] {
  const having = new Map<string, string[]>();
  for (const { policies } of replicas) {
    for (const [api, digest] of Object.entries(policies)) {
      having.set(api, [...(having.get(api) ?? []), digest]);
    }
  }
  return [...having.keys()].sort().map((api) => {
    const all = having.get(api) ?? [];
    const digests = [...new Set(all)].sort();
    return { api, policiesAgree: digests.length === 1 && all.length === replicas.length, digests };
  });
}
