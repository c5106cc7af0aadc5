import type { GrpcLoadTarget } from "./grpc-load-client.ts";
import type { HttpLoadTarget } from "./http-load-client.ts";
import type { LoadResult } from "./load-client.ts";

/**
 * What stands between the benchmark and its load process: JSON, one value a line. To it: a LoadJob, then
 * a LoadPhase for each run. From it: `"connected"`, then a LoadProcessResult for each run. Its end of input
 * ends it. By stdin, since the headers hold a caller token and keys, and the messages keys.
 */
export type LoadJob = GrpcLoadJob | HttpLoadJob;

export interface GrpcLoadJob extends Omit<GrpcLoadTarget, "messages" | "expectedPrefix"> {
  readonly protocol: "grpc";
  /** Base64. */
  readonly messages: readonly string[];
  /** Hex. */
  readonly expectedPrefix: string;
}

export interface HttpLoadJob extends HttpLoadTarget {
  readonly protocol: "http";
}

export interface LoadProcessResult extends LoadResult {
  /** The load process's own CPU, user and system: near `elapsedMs` it is the bottleneck. */
  readonly cpuMs: number;
}
