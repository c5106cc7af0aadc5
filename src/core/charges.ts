import type { PointsState } from "./decision.ts";
import type { Limit, Policy } from "./policy.ts";
import type { BucketState, Charge, TakeAnswer } from "./ports.ts";
import type { KeyRecord, WorkspaceRecord } from "./records.ts";

/** What a request of that cost is charged: every limit of the policy that applies to it, in the policy's order. */
export function chargesFor(
  policy: Policy,
  request: { key: KeyRecord; workspace: WorkspaceRecord | undefined; cost: number },
): Charge[] {
  const { key, workspace, cost } = request;
  const charges: Charge[] = [];
  for (const limit of policy.limits) {
    if (limit.environments.length > 0 && !limit.environments.includes(key.environment)) continue;
    const counted = countedBy(limit, { key, workspaceId: workspace?.id ?? "" });
    charges.push({
      limit: policy.enforcement === "shadow" ? withoutBlock(limit) : limit,
      points: limit.planPoints.get(workspace?.plan ?? "") ?? limit.points,
      bucket: `${policy.api}\n${limit.name}\n${counted.subject}`,
      shardBy: counted.shardBy === "" ? policy.api : `${policy.directory}\n${counted.shardBy}`,
      cost,
    });
  }
  return charges;
}

/**
 * Whether a decision of the policy may charge buckets of several shards: a limit for the whole api beside
 * others, or one by key where a key may act in several workspaces. Redis Cluster cannot take those in one step.
 */
export function spansShards(policy: Policy): boolean {
  const roams = [...policy.keyTypes.values()].some((type) => type.workspace === "request");
  const shards = new Set(
    policy.limits.map(({ per }) => (per === "api" ? "api" : per === "key" && roams ? "key" : "workspace")),
  );
  return shards.size > 1;
}

/** The limits' states after a decision, in the order of its charges; empty when no bucket was looked at. */
export function pointsStates(charges: readonly Charge[], answer: TakeAnswer | undefined): PointsState[] {
  return (answer?.states ?? []).map((state, index) => {
    const charge = charges[index] as Charge;
    return {
      limitName: charge.limit.name,
      limit: charge.points,
      cost: charge.cost,
      remaining: state.remaining,
      windowSeconds: Math.ceil(charge.limit.windowMs / 1000),
      resetMs: state.resetMs,
      blockedMs: state.blockedMs,
    };
  });
}

/** The index of the limit that refuses for longest, else of the one with the smallest share left; -1: none. */
export function tightestOf(charges: readonly Charge[], answer: TakeAnswer | undefined): number {
  let tightest = -1;
  let best: { state: BucketState; share: number } | undefined;
  for (const [index, state] of (answer?.states ?? []).entries()) {
    const share = state.remaining / (charges[index] as Charge).points;
    if (best === undefined || isTighter({ state, share }, best)) {
      tightest = index;
      best = { state, share };
    }
  }
  return tightest;
}

interface Tightness {
  readonly state: BucketState;
  /** Of the limit's points, what is left: 0 to 1. */
  readonly share: number;
}

function isTighter(a: Tightness, b: Tightness): boolean {
  if (a.state.retryAfterMs !== b.state.retryAfterMs) return a.state.retryAfterMs > b.state.retryAfterMs;
  return a.share < b.share;
}

/** Until the same cost could pass every limit. */
export function retryAfterMsOf(answer: TakeAnswer | undefined): number {
  return (answer?.states ?? []).reduce((longest, state) => Math.max(longest, state.retryAfterMs), 0);
}

/**
 * Whose bucket a limit counts in, and the workspace that shards it (empty: the whole api is one shard).
 * A limit for what the request does not have (a workspace, a user) counts by the key itself. The same
 * subject is always in the same shard.
 */
function countedBy(
  limit: Limit,
  of: { key: KeyRecord; workspaceId: string },
): { subject: string; shardBy: string } {
  const { key, workspaceId } = of;
  if (limit.per === "api") return { subject: "api", shardBy: "" };
  if (limit.per === "workspace" && workspaceId !== "") {
    return { subject: `workspace\n${workspaceId}`, shardBy: workspaceId };
  }
  if (limit.per === "user" && workspaceId !== "" && key.userId !== "") {
    return { subject: `user\n${workspaceId}\n${key.userId}`, shardBy: workspaceId };
  }
  return { subject: `key\n${key.id}`, shardBy: key.workspaceId };
}

const blockless = new WeakMap<Limit, Limit>();

/** A policy in shadow refuses nothing, so nothing of it may start a block that outlives the shadow. */
function withoutBlock(limit: Limit): Limit {
  const known = blockless.get(limit) ?? { ...limit, blockMs: 0 };
  blockless.set(limit, known);
  return known;
}
