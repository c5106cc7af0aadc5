import type { Limit } from "../core/policy.ts";
import { formatDuration } from "./duration.ts";

/** "300 points in 60s per workspace, sliding, then blocked for 60s". */
export function describeLimit(limit: Limit): string {
  const whose = limit.per === "api" ? "for the whole api" : `per ${limit.per}`;
  const plans = [...limit.planPoints].map(([plan, points]) => `${points} on ${plan}`).join(", ");
  return [
    `${limit.points} points in ${formatDuration(limit.windowMs)} ${whose}`,
    ...(plans === "" ? [] : [plans]),
    limit.shape,
    ...(limit.environments.length === 0 ? [] : [`for ${limit.environments.join(", ")} keys`]),
    ...(limit.blockMs === 0 ? [] : [`then blocked for ${formatDuration(limit.blockMs)}`]),
  ].join(", ");
}
