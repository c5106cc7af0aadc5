import type { LoadTarget } from "./load-client.ts";

/**
 * What stands between the benchmark and its load process: JSON, one value a line. To it: a LoadJob, then
 * a LoadBounds for each run. From it: `"connected"`, then a LoadResult for each run. Its end of input ends it.
 * By stdin, since the headers hold a caller token and the messages keys.
 */
export interface LoadJob extends Omit<LoadTarget, "messages" | "expectedPrefix"> {
  /** Base64. */
  readonly messages: readonly string[];
  /** Hex. */
  readonly expectedPrefix: string;
}
