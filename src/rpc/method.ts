import type { DescMethod } from "@bufbuild/protobuf";
import type { Grant } from "../core/records.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { CallerService } from "../gen/tollgate/v1/caller_service_pb.ts";
import { DirectoryService } from "../gen/tollgate/v1/directory_service_pb.ts";

const { method: authorization } = AuthorizationService;

/** What a caller must have been granted, by method. Calls that need no caller token are not in it. */
const GRANTS = new Map<DescMethod, Grant>([
  [authorization.check, "check"],
  [authorization.batchCheck, "check"],
  [authorization.consumePoints, "consume"],
  [authorization.createKey, "keys"],
  [authorization.revokeKey, "keys"],
  [authorization.rotateKey, "keys"],
  [authorization.updateKey, "keys"],
  [authorization.getKey, "keys"],
  [authorization.listKeys, "keys"],
  ...DirectoryService.methods.map((method) => [method, "directory"] as const),
  ...CallerService.methods.map((method) => [method, "admin"] as const),
]);

const HOT = new Set<DescMethod>([authorization.check, authorization.batchCheck, authorization.consumePoints]);

/** Services that anyone may call. */
const OPEN_SERVICES = new Set([
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
]);

/** Such as "tollgate.v1.AuthorizationService/Check". */
export function methodName(method: DescMethod): string {
  return `${method.parent.typeName}/${method.name}`;
}

/** Health and reflection: neither a caller token nor a place among the calls in flight is asked. */
export function isOpen(method: DescMethod): boolean {
  return OPEN_SERVICES.has(method.parent.typeName);
}

/** The calls that stand in the way of every API request. */
export function isHot(method: DescMethod): boolean {
  return HOT.has(method);
}

/** Throws for a method that nobody decided upon: it is closed to all. */
export function grantFor(method: DescMethod): Grant {
  const grant = GRANTS.get(method);
  if (grant === undefined) throw new Error(`no grant is named for ${methodName(method)}`);
  return grant;
}
