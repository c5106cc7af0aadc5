import type { DescMessage } from "@bufbuild/protobuf";
import type { Grant } from "../core/records.ts";
import { Authorization } from "../gen/envoy/service/auth/v3/external_auth_pb.ts";
import { RateLimitService } from "../gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { CallerService } from "../gen/tollgate/v1/caller_service_pb.ts";
import { DirectoryService } from "../gen/tollgate/v1/directory_service_pb.ts";
import { PointsService } from "../gen/tollgate/v1/points_service_pb.ts";
import { ReplicaService } from "../gen/tollgate/v1/replica_service_pb.ts";

/** What can be called: an RPC, or something like one. */
export interface CallMethod {
  readonly name: string;
  readonly parent: { readonly typeName: string };
  /** Undefined: the request is no message. */
  readonly input?: DescMessage;
}

/** Forward auth, which is asked over plain HTTP. */
export const FORWARD_AUTH: CallMethod = { name: "ForwardAuth", parent: { typeName: "tollgate.http" } };

const { method: authorization } = AuthorizationService;

/** What gateways ask, on every request of their clients. */
const GATEWAY_METHODS = [Authorization.method.check, RateLimitService.method.shouldRateLimit, FORWARD_AUTH];

/** What a caller must have been granted, by method. Calls that need no caller token are not in it. */
const GRANTS = new Map<CallMethod, Grant>([
  [Authorization.method.check, "check"],
  [FORWARD_AUTH, "check"],
  [RateLimitService.method.shouldRateLimit, "consume"],
  [authorization.check, "check"],
  [authorization.batchCheck, "check"],
  [authorization.consumePoints, "consume"],
  [authorization.createKey, "keys"],
  [authorization.revokeKey, "keys"],
  [authorization.revokeKeys, "keys"],
  [authorization.rotateKey, "keys"],
  [authorization.updateKey, "keys"],
  [authorization.getKey, "keys"],
  [authorization.listKeys, "keys"],
  ...DirectoryService.methods.map((method) => [method, "directory"] as const),
  ...CallerService.methods.map((method) => [method, "admin"] as const),
  [PointsService.method.showPoints, "consume"],
  [PointsService.method.resetPoints, "admin"],
  [PointsService.method.grantPoints, "admin"],
  ...ReplicaService.methods.map((method) => [method, "admin"] as const),
]);

const HOT = new Set<CallMethod>([
  authorization.check,
  authorization.batchCheck,
  authorization.consumePoints,
  ...GATEWAY_METHODS,
]);

/** Services that anyone may call. */
const OPEN_SERVICES = new Set([
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
]);

/** Such as "tollgate.v1.AuthorizationService/Check". */
export function methodName(method: CallMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Health and reflection: neither a caller token nor a place among the calls in flight is asked. */
export function isOpen(method: CallMethod): boolean {
  return OPEN_SERVICES.has(method.parent.typeName);
}

/** The calls by which gateways ask: one that may not is a gateway that refuses everything. */
export function isGateway(method: CallMethod): boolean {
  return GATEWAY_METHODS.includes(method);
}

/** The calls that stand in the way of every API request. */
export function isHot(method: CallMethod): boolean {
  return HOT.has(method);
}

/** Throws for a method that nobody decided upon: it is closed to all. */
export function grantFor(method: CallMethod): Grant {
  const grant = GRANTS.get(method);
  if (grant === undefined) throw new Error(`no grant is named for ${methodName(method)}`);
  return grant;
}
