import { measureLongestHold } from "./longest-hold.ts";
import type { PointsPart } from "./points-part.ts";
import type { PointsSubject } from "./points-subject.ts";
import { startRateLimitPoints } from "./ratelimit-points.ts";
import { measureRequestIds } from "./request-ids.ts";
import { startBusySlidingPoints, startTollgatePoints } from "./tollgate-points.ts";

type Measured =
  /** A row of the table of decisions. */
  | { readonly start: () => Promise<PointsSubject> }
  /** A table of its own. */
  | { readonly measure: () => Promise<PointsPart> };

/** All that is measured, by its name on the command line. */
export const pointsSubjects: Readonly<Record<string, Measured>> = {
  sliding: { start: () => startTollgatePoints({ name: "Tollgate, sliding", shape: "sliding" }) },
  "sliding-busy": { start: () => startBusySlidingPoints({ name: "Tollgate, sliding, the dearest" }) },
  fixed: { start: () => startTollgatePoints({ name: "Tollgate, fixed", shape: "fixed" }) },
  bucket: { start: () => startTollgatePoints({ name: "Tollgate, bucket", shape: "bucket" }) },
  ratelimit: { start: () => startRateLimitPoints({ name: "envoyproxy/ratelimit", redis: "plain" }) },
  "ratelimit-pipelined": {
    start: () => startRateLimitPoints({ name: "envoyproxy/ratelimit, pipelined", redis: "pipelined" }),
  },
  "request-ids": { measure: measureRequestIds },
  "longest-hold": { measure: measureLongestHold },
};
