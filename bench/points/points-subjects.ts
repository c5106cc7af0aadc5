import type { PointsSubject } from "./points-subject.ts";
import { startRateLimitPoints } from "./ratelimit-points.ts";
import { startBusySlidingPoints, startTollgatePoints } from "./tollgate-points.ts";

/** Every row of the table, by its name on the command line. */
export const pointsSubjects: Readonly<Record<string, () => Promise<PointsSubject>>> = {
  sliding: () => startTollgatePoints({ name: "Tollgate, sliding", shape: "sliding" }),
  "sliding-busy": () => startBusySlidingPoints({ name: "Tollgate, sliding, the dearest" }),
  fixed: () => startTollgatePoints({ name: "Tollgate, fixed", shape: "fixed" }),
  bucket: () => startTollgatePoints({ name: "Tollgate, bucket", shape: "bucket" }),
  ratelimit: () => startRateLimitPoints({ name: "envoyproxy/ratelimit", pipelineWindow: "0" }),
  "ratelimit-pipelined": () =>
    startRateLimitPoints({ name: "envoyproxy/ratelimit, pipelined", pipelineWindow: "150us" }),
};
