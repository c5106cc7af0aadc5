const UNITS_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof UNITS_MS;

/** Durations as policies write them: a whole number and one unit. */
export const DURATION_PATTERN = /^(0|[1-9]\d{0,8})(ms|s|m|h|d)$/;

/** Milliseconds of "500ms", "60s", "5m", "1h" or "30d". Throws RangeError for anything else. */
export function parseDuration(text: string): number {
  const match = DURATION_PATTERN.exec(text);
  if (match === null) throw new RangeError(`${JSON.stringify(text)} is no duration`);
  return Number(match[1]) * UNITS_MS[match[2] as Unit];
}

/** The shortest spelling: "1h" for 3,600,000. `ms` is a whole number, not negative. */
export function formatDuration(ms: number): string {
  if (ms === 0) return "0s";
  for (const unit of ["d", "h", "m", "s"] as const) {
    // 90s says more than 1.5m, so only whole multiples; a minute stays "60s", as limits are spoken of.
    if (ms % UNITS_MS[unit] === 0 && (unit !== "m" || ms > UNITS_MS.m))
      return `${ms / UNITS_MS[unit]}${unit}`;
  }
  return `${ms}ms`;
}
