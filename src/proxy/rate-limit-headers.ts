import type { PointsState } from "../core/decision.ts";

/**
 * Which fields tell clients of their points: those of draft-ietf-httpapi-ratelimit-headers-10, the older
 * X-RateLimit-*, both, or none. Later drafts rename parameters, so the version is a setting.
 */
export type RateLimitFields = "draft-10" | "legacy" | "both" | "off";

export type HeaderLine = readonly [name: string, value: string];

/**
 * The fields for these limits, of which `tightest` is one; none where no limit was looked at. Clients are not
 * told of limits in shadow: those refuse nothing.
 */
export function rateLimitHeaders(
  { limits, tightest }: { limits: readonly PointsState[]; tightest: PointsState | undefined },
  fields: RateLimitFields,
): HeaderLine[] {
  if (tightest === undefined || fields === "off") return [];
  const lines: HeaderLine[] = [];
  if (fields !== "legacy") {
    const refusing = limits.filter(({ shadow }) => shadow === undefined);
    lines.push(["ratelimit-policy", refusing.map(policyItem).join(", ")]);
    lines.push(["ratelimit", refusing.map(stateItem).join(", ")]);
  }
  if (fields !== "draft-10") {
    lines.push(["x-ratelimit-limit", String(tightest.limit)]);
    lines.push(["x-ratelimit-remaining", String(tightest.remaining)]);
    lines.push(["x-ratelimit-reset", String(wholeSeconds(tightest.resetMs))]);
  }
  return lines;
}

/** `Retry-After` in whole seconds, rounded up, and never 0. */
export function retryAfterHeader(ms: number): HeaderLine {
  return ["retry-after", String(Math.max(1, wholeSeconds(ms)))];
}

/** A limit's name is a token in quotes already: policies allow nothing in it that needs an escape. */
function policyItem({ limitName, limit, windowSeconds }: PointsState): string {
  return `"${limitName}";q=${limit};w=${windowSeconds}`;
}

function stateItem({ limitName, remaining, resetMs }: PointsState): string {
  return `"${limitName}";r=${remaining};t=${wholeSeconds(resetMs)}`;
}

function wholeSeconds(ms: number): number {
  return Math.ceil(ms / 1000);
}
