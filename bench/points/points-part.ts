/** What was measured once, beside the rows of decisions. */
export interface PointsPart {
  /** For the result file. */
  readonly figures: unknown;
  /** Markdown. */
  readonly table: string;
  /** What makes the figures worthless, in words; none in a good run. */
  readonly faults: readonly string[];
}
