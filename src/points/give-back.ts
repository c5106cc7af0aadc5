import type { LimitShape } from "../core/policy.ts";
import type { FixedSpent } from "./fixed.ts";
import type { GcraSpent } from "./gcra.ts";
import type { Instant } from "./shape.ts";
import type { SlidingSpent, SubWindow } from "./sliding.ts";

export interface GivenBack {
  readonly spent: unknown;
  /** Whole points, rounded up. */
  readonly points: number;
}

/** What is spent after up to `points` of it, the oldest, are given back. `spent` is as the shape keeps it. */
export function giveBack(
  shape: LimitShape,
  { spent, at, points }: { spent: unknown; at: Instant; points: number },
): GivenBack {
  switch (shape) {
    case "sliding":
      return toSliding(spent as SlidingSpent, at, points);
    case "fixed":
      return toFixed(spent as FixedSpent, at, points);
    case "bucket":
      return toGcra(spent as GcraSpent, at, points);
  }
}

function toSliding({ startUs, subs }: SlidingSpent, at: Instant, points: number): GivenBack {
  let left = points;
  const kept: SubWindow[] = [];
  for (const sub of subs) {
    if (sub.lastUs + at.windowUs <= at.nowUs) continue;
    const given = Math.min(left, sub.points);
    left -= given;
    if (given < sub.points) kept.push({ ...sub, points: sub.points - given });
  }
  return { spent: { startUs, subs: kept } satisfies SlidingSpent, points: points - left };
}

function toFixed({ startUs, points: counted }: FixedSpent, at: Instant, points: number): GivenBack {
  const given = at.nowUs < startUs + at.windowUs ? Math.min(points, counted) : 0;
  return { spent: { startUs, points: counted - given } satisfies FixedSpent, points: given };
}

function toGcra({ atUs, level, rate }: GcraSpent, at: Instant, points: number): GivenBack {
  const levelNow = Math.max(0, level - (at.nowUs - atUs) * rate);
  const given = Math.min(levelNow, points * at.windowUs);
  return {
    spent: { atUs: at.nowUs, level: levelNow - given, rate } satisfies GcraSpent,
    points: Math.ceil(given / at.windowUs),
  };
}
