import type { JsonObject } from "@bufbuild/protobuf";
import type { Decision, PointsState } from "../core/decision.ts";

/**
 * A decision as a gateway's metadata, for its access log and the filters behind. Names are those of the
 * proto's CheckResponse and Principal. `key_id`, `workspace_id` and `cost` are what a rate limit filter needs.
 * Holds no secret.
 */
export function decisionMetadata(decision: Decision): JsonObject {
  const { cost, principal, points } = decision;
  const metadata: JsonObject = {
    api: decision.api,
    allowed: decision.allowed,
    reason: decision.reason ?? "",
    shadow_reason: decision.shadowReason ?? "",
    degraded: decision.degraded as Decision["degraded"][number][],
  };
  // Assigned, and not spread: that is ten times faster.
  if (cost !== undefined) metadata["cost"] = cost;
  if (principal !== undefined) {
    metadata["key_id"] = principal.keyId;
    metadata["key_name"] = principal.keyName;
    metadata["key_type"] = principal.keyType;
    metadata["environment"] = principal.environment;
    metadata["workspace_id"] = principal.workspaceId;
    metadata["user_id"] = principal.userId;
    metadata["created_by"] = principal.createdBy;
    metadata["role"] = principal.role;
    metadata["plan"] = principal.plan;
    metadata["permissions"] = principal.permissions as string[];
    metadata["all_locations"] = principal.allLocations;
    metadata["location_ids"] = principal.locationIds as string[];
    metadata["metadata"] = principal.metadata;
  }
  if (points !== undefined) metadata["points"] = pointsMetadata(points);
  return metadata;
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
