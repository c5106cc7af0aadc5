import { createHash } from "node:crypto";
import type { PointsState } from "./decision.ts";
import type { DenyReason } from "./deny-reason.ts";
import type { Limit, Policy } from "./policy.ts";
import type { BucketState, Charge, TakeAnswer } from "./ports.ts";
import type { KeyRecord, WorkspaceRecord } from "./records.ts";

/** What a key's request of that cost is charged: every limit of the policy that applies, in the policy's order. */
export function chargesFor(
  policy: Policy,
  request: { key: KeyRecord; workspace: WorkspaceRecord | undefined; cost: number },
): Charge[] {
  const { key, workspace, cost } = request;
  const charges: Charge[] = [];
  for (const limit of policy.limits) {
    if (limit.per === "descriptor") continue;
    if (limit.environments.length > 0 && !limit.environments.includes(key.environment)) continue;
    const counted = countedBy(limit, { key, workspaceId: workspace?.id ?? "" });
    charges.push({
      limit: inForce(policy, limit),
      points: limit.planPoints.get(workspace?.plan ?? "") ?? limit.points,
      bucket: `${policy.api}\n${limit.name}\n${counted.subject}`,
      shardBy:
        policy.tag === "api" || counted.shardBy === ""
          ? policy.api
          : `${policy.directory}\n${counted.shardBy}`,
      cost,
    });
  }
  return charges;
}

/**
 * What a rate limit descriptor of that cost is charged: every limit of the policy that matches it, in the
 * policy's order. All of them lie in the api's shard.
 */
export function chargesForDescriptor(
  policy: Policy,
  { entries, cost }: { entries: ReadonlyMap<string, string>; cost: number },
): Charge[] {
  return policy.limits
    .filter((limit) => limit.per === "descriptor" && matches(limit.descriptor, entries))
    .map((limit) => ({
      limit: inForce(policy, limit),
      points: limit.points,
      bucket: `${policy.api}\n${limit.name}\ndescriptor\n${digestOf(entries)}`,
      shardBy: policy.api,
      cost,
    }));
}

function matches(descriptor: ReadonlyMap<string, string>, entries: ReadonlyMap<string, string>): boolean {
  if (descriptor.size !== entries.size) return false;
  for (const [key, value] of descriptor) {
    const given = entries.get(key);
    if (given === undefined || (value !== "*" && value !== given)) return false;
  }
  return true;
}

/** Short, however long the values are that a client chose; the order of entries does not matter. */
function digestOf(entries: ReadonlyMap<string, string>): string {
  const sorted = [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(sorted)).digest("base64url");
}

/**
 * Whether a decision of the policy may charge buckets of several shards: a limit for the whole api beside
 * others, or one by key where a key may act in several workspaces. Redis Cluster cannot take those in one step.
 * Limits per descriptor are never part of such a decision.
 */
export function spansShards(policy: Policy): boolean {
  if (policy.tag === "api") return false;
  const roams = [...policy.keyTypes.values()].some((type) => type.workspace === "request");
  const shards = new Set(
    policy.limits
      .filter(({ per }) => per !== "descriptor")
      .map(({ per }) => (per === "api" ? "api" : per === "key" && roams ? "key" : "workspace")),
  );
  return shards.size > 1;
}

/** Its limit only watches, and never refuses. */
export function isInShadow({ limit }: Charge): boolean {
  return limit.shadow === true;
}

/** The limits' states after a decision, in the order of its charges; empty when no bucket was looked at. */
export function pointsStates(charges: readonly Charge[], answer: TakeAnswer | undefined): PointsState[] {
  const points: PointsState[] = [];
  const states = answer?.states ?? NO_STATES;
  for (let index = 0; index < states.length; index++) {
    const state = states[index] as BucketState;
    const charge = charges[index] as Charge;
    points.push({
      limitName: charge.limit.name,
      limit: charge.points,
      cost: charge.cost,
      remaining: state.remaining,
      windowSeconds: Math.ceil(charge.limit.windowMs / 1000),
      resetMs: state.resetMs,
      blockedMs: state.blockedMs,
      shadow: isInShadow(charge) ? { reason: refusalAlone(charge, state) } : undefined,
    });
  }
  return points;
}

const NO_STATES: readonly BucketState[] = [];

function refusalAlone({ cost, points }: Charge, { outcome }: BucketState): DenyReason | undefined {
  if (outcome === "admitted") return undefined;
  if (cost > points) return "COST_ABOVE_LIMIT";
  return outcome === "blocked" ? "BLOCKED" : "POINTS_EXCEEDED";
}

function isRefusingInShadow({ shadow }: PointsState): boolean {
  return shadow?.reason !== undefined;
}

/** As one refusal tells those of several limits. */
const SHADOW_REASONS: readonly DenyReason[] = ["COST_ABOVE_LIMIT", "BLOCKED", "POINTS_EXCEEDED"];

/** Why the limits in shadow would have refused; undefined: they would not. */
export function shadowReasonOf(limits: readonly PointsState[]): DenyReason | undefined {
  if (!limits.some(isRefusingInShadow)) return undefined;
  return SHADOW_REASONS.find((reason) => limits.some(({ shadow }) => shadow?.reason === reason));
}

/**
 * The index of the limit that refuses for longest, else of the one with the smallest share left; never of one
 * in shadow; -1: none.
 */
export function tightestOf(
  charges: readonly Charge[],
  answer: Pick<TakeAnswer, "states"> | undefined,
): number {
  const states = answer?.states ?? NO_STATES;
  let tightest = -1;
  for (let index = 0; index < states.length; index++) {
    const charge = charges[index] as Charge;
    if (isInShadow(charge)) continue;
    if (
      tightest === -1 ||
      isTighter(
        { state: states[index] as BucketState, points: charge.points },
        { state: states[tightest] as BucketState, points: (charges[tightest] as Charge).points },
      )
    ) {
      tightest = index;
    }
  }
  return tightest;
}

interface Tightness {
  readonly state: BucketState;
  /** The limit's. */
  readonly points: number;
}

function isTighter(a: Tightness, b: Tightness): boolean {
  if (a.state.retryAfterMs !== b.state.retryAfterMs) return a.state.retryAfterMs > b.state.retryAfterMs;
  return a.state.remaining / a.points < b.state.remaining / b.points;
}

/** Until the same cost could pass every limit that refuses. */
export function retryAfterMsOf(charges: readonly Charge[], answer: TakeAnswer | undefined): number {
  const states = answer?.states ?? NO_STATES;
  let longest = 0;
  for (let index = 0; index < states.length; index++) {
    if (!isInShadow(charges[index] as Charge)) {
      longest = Math.max(longest, (states[index] as BucketState).retryAfterMs);
    }
  }
  return longest;
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
function inForce(policy: Policy, limit: Limit): Limit {
  return policy.enforcement === "shadow" ? withoutBlock(limit) : limit;
}

function withoutBlock(limit: Limit): Limit {
  const known = blockless.get(limit) ?? { ...limit, blockMs: 0 };
  blockless.set(limit, known);
  return known;
}
