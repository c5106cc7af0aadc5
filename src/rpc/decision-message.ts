import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CheckInput, ConsumeInput, Decision, PointsState, Principal } from "../core/decision.ts";
import { type DenyReason, denyReasons } from "../core/deny-reason.ts";
import { invalidField } from "../core/errors.ts";
import type { PointsMode } from "../core/ports.ts";
import type {
  CheckRequest,
  CheckResponseSchema,
  ConsumePointsRequest,
  ConsumePointsResponseSchema,
} from "../gen/tollgate/v1/authorization_service_pb.ts";
import {
  DegradedCause,
  DenyReason as DenyReasonNumber,
  Mode,
  type PointsStateSchema,
  type PrincipalSchema,
} from "../gen/tollgate/v1/decision_pb.ts";

export function checkInput(request: CheckRequest): CheckInput {
  return {
    api: request.api,
    key: request.key,
    target: targetOf(request),
    workspaceId: request.workspaceId,
    locationIds: request.locationIds,
    points: request.points,
    requestId: request.requestId,
    mode: modeOf(request.mode),
    explain: request.explain,
    clientIp: request.clientIp,
  };
}

function targetOf({ target }: CheckRequest): CheckInput["target"] {
  switch (target.case) {
    case "permission":
      return { permission: target.value };
    case "http":
      return { http: target.value };
    case undefined:
      throw invalidField("target", "name a permission or an http request");
  }
}

export function consumeInput(request: ConsumePointsRequest): ConsumeInput {
  return {
    api: request.api,
    subject: subjectOf(request),
    workspaceId: request.workspaceId,
    points: request.points,
    requestId: request.requestId,
    mode: modeOf(request.mode),
  };
}

function subjectOf({ subject }: ConsumePointsRequest): ConsumeInput["subject"] {
  switch (subject.case) {
    case "key":
      return { key: subject.value };
    case "keyId":
      return { keyId: subject.value };
    case undefined:
      throw invalidField("subject", "name a key or a key_id");
  }
}

export function modeOf(mode: Mode): PointsMode {
  switch (mode) {
    case Mode.PEEK:
      return "peek";
    case Mode.RECORD:
      return "record";
    default:
      return "enforce";
  }
}

export function checkResponse(decision: Decision): MessageInitShape<typeof CheckResponseSchema> {
  const { principal, points, reason } = decision;
  const denial = reason === undefined ? undefined : denyReasons[reason];
  return {
    allowed: decision.allowed,
    reason: reasonNumber(reason),
    httpStatus: denial?.httpStatus ?? 200,
    message: denial?.message ?? "",
    principal: principal === undefined ? undefined : principalMessage(principal),
    points: points === undefined ? undefined : pointsMessage(points),
    limits: decision.limits.map(pointsMessage),
    retryAfterMs: uint32(decision.retryAfterMs),
    degraded: decision.degraded.map((cause) => DEGRADED_CAUSES[cause]),
    requiredScopes: [...decision.requiredScopes],
    shadowReason: reasonNumber(decision.shadowReason),
    steps: decision.steps.map(({ name, passed, detail }) => ({ name, passed, detail })),
  };
}

export function consumePointsResponse(
  decision: Decision,
): MessageInitShape<typeof ConsumePointsResponseSchema> {
  const { points, reason } = decision;
  const denial = reason === undefined ? undefined : denyReasons[reason];
  return {
    allowed: decision.allowed,
    reason: reasonNumber(reason),
    httpStatus: denial?.httpStatus ?? 200,
    message: denial?.message ?? "",
    points: points === undefined ? undefined : pointsMessage(points),
    limits: decision.limits.map(pointsMessage),
    retryAfterMs: uint32(decision.retryAfterMs),
    degraded: decision.degraded.map((cause) => DEGRADED_CAUSES[cause]),
    shadowReason: reasonNumber(decision.shadowReason),
  };
}

/** Unspecified where there is none. */
export function reasonNumber(reason: DenyReason | undefined): DenyReasonNumber {
  return reason === undefined ? DenyReasonNumber.UNSPECIFIED : denyReasons[reason].number;
}

export const DEGRADED_CAUSES = {
  points_local: DegradedCause.POINTS_LOCAL,
  points_skipped: DegradedCause.POINTS_SKIPPED,
  stale_rights: DegradedCause.STALE_RIGHTS,
} as const;

export function pointsMessage(state: PointsState): MessageInitShape<typeof PointsStateSchema> {
  return {
    limitName: state.limitName,
    limit: uint32(state.limit),
    cost: uint32(state.cost),
    remaining: uint32(state.remaining),
    windowSeconds: uint32(state.windowSeconds),
    resetMs: uint32(state.resetMs),
    blockedMs: uint32(state.blockedMs),
    shadow: state.shadow !== undefined,
    shadowReason: reasonNumber(state.shadow?.reason),
  };
}

function principalMessage(principal: Principal): MessageInitShape<typeof PrincipalSchema> {
  return {
    api: principal.api,
    keyId: principal.keyId,
    keyName: principal.keyName,
    keyType: principal.keyType,
    environment: principal.environment,
    workspaceId: principal.workspaceId,
    userId: principal.userId,
    createdBy: principal.createdBy,
    role: principal.role,
    plan: principal.plan,
    permissions: [...principal.permissions],
    allLocations: principal.allLocations,
    locationIds: [...principal.locationIds],
    metadata: { ...principal.metadata },
  };
}

const MAX_UINT32 = 2 ** 32 - 1;

/** What does not fit is told as the most there is: 49 days, where it is a time. Rounded up. */
export function uint32(value: number): number {
  return Math.min(Math.max(Math.ceil(value), 0), MAX_UINT32);
}
