import type { LimitShape } from "../../src/core/policy.ts";
import type { Charge, TakeRequest } from "../../src/core/ports.ts";

export const windowMs = 60_000;

/** Far more than what is charged: the load must not be refused. */
export const points = 100_000;

/** Far more than any take needs: a bench that fails because the machine was busy says nothing. */
export const patienceMs = 60_000;

/** One point under each of that many limits, of a key in a workspace of its own. */
export function takeOf(
  shape: LimitShape,
  options: { bucket: number; limits?: number; requestId?: string },
): TakeRequest {
  const { bucket, limits = 1, requestId = "" } = options;
  const charges = Array.from({ length: limits }, (_, index): Charge => {
    const name = `points-${index}`;
    return {
      limit: {
        name,
        per: "key",
        points,
        descriptor: new Map(),
        planPoints: new Map(),
        environments: [],
        windowMs,
        shape,
        blockMs: 0,
      },
      points,
      bucket: `retrac/${name}/key-${bucket}`,
      shardBy: `retrac/workspace-${bucket}`,
      cost: 1,
    };
  });
  return { charges, mode: "enforce", requestId, onOutage: "deny" };
}
