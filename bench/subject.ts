import type { GrpcLoadJob } from "./load/load-job.ts";

/** A server under measurement, as a process of its own. */
export interface Subject {
  readonly name: string;
  readonly pid: number;
  /** What the load process sends it. */
  readonly job: Pick<GrpcLoadJob, "url" | "path" | "headers" | "messages" | "expectedPrefix">;
  /** Its own Redis, when it has one. */
  readonly redis?: { readonly url: string; readonly pid: number };
  /** Its own Postgres, with pg_stat_statements, when it has one. */
  readonly postgresUrl?: string;
  stop(): Promise<void>;
}
