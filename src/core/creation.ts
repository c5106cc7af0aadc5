import { parseAddressRange } from "./address-range.ts";
import { type DenyReason, denyReasons } from "./deny-reason.ts";
import { invalidField, TollgateError } from "./errors.ts";
import { has, intersection } from "./permission-set.ts";
import type { KeyType, Policy, Role, Scope } from "./policy.ts";
import type { MemberRecord, WorkspaceRecord } from "./records.ts";
import { isScopeAvailable, missingOfGate } from "./rights.ts";

/** What a user asks for when he creates a key. */
export interface CreationRequest {
  /** Empty: the only type that the policy has. */
  readonly type: string;
  /** Scopes and presets; a string with spaces stands for several. */
  readonly scopes: readonly string[];
  readonly expireTimeMs: number | undefined;
  readonly allowedCidrs: readonly string[];
  /** Service accounts only; empty: none. */
  readonly role: string;
}

/** What a created key gets. */
export interface GrantedKey {
  readonly type: KeyType;
  readonly scopes: readonly string[];
  readonly expireTimeMs: number | undefined;
  readonly role: string;
}

/** Who asks, and where: as they are now. */
export interface CreationContext {
  readonly policy: Policy;
  readonly workspace: WorkspaceRecord;
  /** Undefined: he is not in the workspace. */
  readonly member: MemberRecord | undefined;
  readonly nowMs: number;
}

/**
 * The gates of creation. Throws INVALID_ARGUMENT for what the policy does not know, and
 * PERMISSION_DENIED, with a DenyReason as its reason, for what the creator or his workspace may not.
 */
export function checkCreation(context: CreationContext, request: CreationRequest): GrantedKey {
  const { policy } = context;
  const type = keyTypeOf(policy, request.type);
  const scopes = splitScopes(request.scopes);
  checkSelection(policy, type, scopes);
  checkAddressRanges(request.allowedCidrs);
  const expireTimeMs = checkExpiry(type, request.expireTimeMs, context.nowMs);

  const role = checkCreator(context);
  checkScopesWithin(context, {
    scopes,
    role: checkActingRole(context, { type, name: request.role, creator: role }),
  });
  return { type, scopes, expireTimeMs, role: type.actsAs === "service_account" ? request.role : "" };
}

/**
 * The gates for scopes that are added to a key: those of creation, for whoever adds them (`context.member`),
 * and within the role that the key acts in (undefined: its type asks none).
 */
export function checkAddedScopes(
  context: CreationContext,
  options: { type: KeyType; added: readonly string[]; actingRole: Role | undefined },
): void {
  const adder = checkCreator(context);
  const { type, added, actingRole } = options;
  if (type.actsAs === "service_account" && actingRole !== undefined) checkRoleWithin(actingRole, adder);
  checkScopesWithin(context, { scopes: added, role: actingRole });
}

/** The gates that hold for a creator whatever he asks for: membership, suspension, plan, feature, role. */
export function checkCreator(context: CreationContext): Role {
  const { policy, workspace, member } = context;
  if (member === undefined) throw denied("NOT_A_MEMBER", "The user is not a member of the workspace.");
  if (workspace.suspended) throw denied("WORKSPACE_SUSPENDED", "The workspace is suspended.");
  const missing = missingOfGate(policy, policy.requires, workspace);
  if (missing === "PLAN_REQUIRED") {
    throw denied(missing, `API keys need at least the plan "${policy.requires.plan}".`);
  }
  if (missing === "FEATURE_REQUIRED") {
    throw denied(missing, `API keys need the feature "${policy.requires.feature}".`);
  }
  const role = policy.roles.get(member.role);
  if (role === undefined || !role.createsKeys) {
    throw denied("ROLE_INSUFFICIENT", `The role "${member.role}" may not create keys.`);
  }
  return role;
}

/** Scopes as selected, split at spaces, sorted, each once. */
export function splitScopes(scopes: readonly string[]): readonly string[] {
  return [...new Set(scopes.flatMap((text) => text.split(" ").filter((scope) => scope !== "")))].sort();
}

/** An expiry must be in the future and within the type's longest life; without one it is that. */
export function checkExpiry(
  type: KeyType,
  expireTimeMs: number | undefined,
  nowMs: number,
): number | undefined {
  const latest = type.maxTtlMs === undefined ? undefined : nowMs + type.maxTtlMs;
  if (expireTimeMs === undefined) return latest;
  if (expireTimeMs <= nowMs) throw invalidField("expire_time", "must be in the future");
  if (latest !== undefined && expireTimeMs > latest) {
    throw invalidField("expire_time", `must be at most ${(type.maxTtlMs ?? 0) / 1000} seconds from now`);
  }
  return expireTimeMs;
}

export function checkAddressRanges(cidrs: readonly string[]): void {
  for (const [index, cidr] of cidrs.entries()) {
    if (parseAddressRange(cidr) === undefined) {
      throw invalidField(
        `allowed_cidrs[${index}]`,
        'must be an address or a range such as "10.0.0.0/8", with no bits after its prefix',
      );
    }
  }
}

function keyTypeOf(policy: Policy, name: string): KeyType {
  const names = [...policy.keyTypes.keys()].join(", ");
  const [first] = policy.keyTypes.values();
  const type = name === "" && policy.keyTypes.size === 1 ? first : policy.keyTypes.get(name);
  if (type === undefined) throw invalidField("type", `must be one of ${names}`);
  return type;
}

/** Names must be known, and there must be some where the type selects them, none where it does not. */
export function checkSelection(policy: Policy, type: KeyType, scopes: readonly string[]): void {
  if (type.scopes === "all") {
    if (scopes.length > 0) throw invalidField("scopes", `must be empty: the type "${type.name}" has all`);
    return;
  }
  if (scopes.length === 0) throw invalidField("scopes", `the type "${type.name}" needs at least one`);
  const unknown = scopes.filter((scope) => !policy.scopes.has(scope) && !policy.presets.has(scope));
  if (unknown.length > 0) {
    const description = `there is no scope or preset ${unknown.map((scope) => JSON.stringify(scope)).join(", ")}`;
    throw invalidField("scopes", description);
  }
}

/** The role that the key's rights are within: the service account's, where the creator's allows all of it. */
function checkActingRole(
  context: CreationContext,
  options: { type: KeyType; name: string; creator: Role },
): Role | undefined {
  const { type, name, creator } = options;
  if (type.actsAs !== "service_account") {
    if (name !== "")
      throw invalidField("role", `must be empty: the type "${type.name}" is no service account`);
    return type.actsAs === "creator" ? creator : undefined;
  }
  const role = context.policy.roles.get(name);
  if (role === undefined)
    throw invalidField("role", `must be one of ${[...context.policy.roles.keys()].join(", ")}`);
  checkRoleWithin(role, creator);
  return role;
}

/** Nobody gives a key, or gets one, that may do more than he. */
export function checkRoleWithin(role: Role, giver: Role): void {
  const within = intersection(role.permissions, giver.permissions);
  if (role.permissions.some((word, index) => word !== within[index])) {
    throw denied(
      "ROLE_INSUFFICIENT",
      `The role "${role.name}" may do more than the user's, "${giver.name}".`,
    );
  }
}

/**
 * A scope named one by one must be available, and the role must allow something of it. A preset means
 * what is available and allowed of it.
 */
function checkScopesWithin(
  context: CreationContext,
  selection: { scopes: readonly string[]; role: Role | undefined },
): void {
  const { policy, workspace } = context;
  const named = selection.scopes.flatMap((name) => policy.scopes.get(name) ?? []);
  const unavailable = named.filter((scope) => !isScopeAvailable(policy, scope, workspace));
  if (unavailable.length > 0) {
    throw denied("SCOPE_UNAVAILABLE", `Not available to the workspace: ${names(unavailable)}.`);
  }
  const { role } = selection;
  if (role === undefined) return;
  const allowed = [...policy.permissions.values()].filter(({ index }) => has(role.permissions, index));
  const beyond = named.filter((scope) => !allowed.some((permission) => permission.scopes.includes(scope)));
  if (beyond.length > 0) {
    throw denied("ROLE_INSUFFICIENT", `The role "${role.name}" does not allow: ${names(beyond)}.`);
  }
}

function names(scopes: readonly Scope[]): string {
  return scopes.map((scope) => scope.name).join(", ");
}

/** PERMISSION_DENIED on behalf of a user, with the reason that a decision would give. */
export function denied(reason: DenyReason, message: string): TollgateError {
  return new TollgateError("permission_denied", message, {
    reason,
    metadata: { http_status: String(denyReasons[reason].httpStatus) },
  });
}
