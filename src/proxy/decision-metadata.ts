import type { JsonObject } from "@bufbuild/protobuf";
import type { Decision, PointsState } from "../core/decision.ts";

/**
 * A decision as a gateway's metadata, for its access log and the filters behind. Names are those of the
 * proto's CheckResponse and Principal. `key_id`, `workspace_id` and `cost` are what a rate limit filter needs.
 * Holds no secret.
 */
export function decisionMetadata(decision: Decision): JsonObject {
  const { principal, points } = decision;
  return {
    api: decision.api,
    allowed: decision.allowed,
    reason: decision.reason ?? "",
    shadow_reason: decision.shadowReason ?? "",
    degraded: [...decision.degraded],
    ...(decision.cost === undefined ? {} : { cost: decision.cost }),
    ...(principal === undefined
      ? {}
      : {
          key_id: principal.keyId,
          key_name: principal.keyName,
          key_type: principal.keyType,
          environment: principal.environment,
          workspace_id: principal.workspaceId,
          user_id: principal.userId,
          created_by: principal.createdBy,
          role: principal.role,
          plan: principal.plan,
          permissions: [...principal.permissions],
          all_locations: principal.allLocations,
          location_ids: [...principal.locationIds],
          metadata: { ...principal.metadata },
        }),
    ...(points === undefined ? {} : { points: pointsMetadata(points) }),
  };
}

function pointsMetadata(state: PointsState): JsonObject {
  return {
    limit_name: state.limitName,
    limit: state.limit,
    cost: state.cost,
    remaining: state.remaining,
    window_seconds: state.windowSeconds,
    reset_ms: state.resetMs,
    blocked_ms: state.blockedMs,
  };
}
