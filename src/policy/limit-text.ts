import type { Limit } from "../core/policy.ts";
import { formatDuration } from "./duration.ts";

/** "300 points in 60s per workspace, sliding, then blocked for 60s"; one in shadow says so at the end. */
export function describeLimit(limit: Limit): string {
  const whose = {
    key: "per key",
    user: "per user",
    workspace: "per workspace",
    api: "for the whole api",
    descriptor: `per descriptor ${describeDescriptor(limit.descriptor)}`,
  }[limit.per];
  const plans = [...limit.planPoints].map(([plan, points]) => `${points} on ${plan}`).join(", ");
  return [
    `${limit.points} points in ${formatDuration(limit.windowMs)} ${whose}`,
    ...(plans === "" ? [] : [plans]),
    limit.shape,
    ...(limit.environments.length === 0 ? [] : [`for ${limit.environments.join(", ")} keys`]),
    ...(limit.blockMs === 0 ? [] : [`then blocked for ${formatDuration(limit.blockMs)}`]),
    ...(limit.shadow === true ? ["in shadow: refuses nothing"] : []),
  ].join(", ");
}

/** `{path: "/login", remote_address: "*"}`, by the entries' keys. */
export function describeDescriptor(descriptor: ReadonlyMap<string, string>): string {
  const entries = [...descriptor].sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, value]) => `${key}: ${JSON.stringify(value)}`).join(", ")}}`;
}
