import { addAll, emptySet, has, intersection, type PermissionSet } from "./permission-set.ts";
import type { Gate, KeyType, Policy, Scope } from "./policy.ts";
import type { KeyRecord, WorkspaceRecord } from "./records.ts";

/** What a key may do in one workspace in one role: its scopes ∩ what the role allows. */
export interface Rights {
  readonly role: string;
  /** What the role allows; everything where no role is asked. */
  readonly byRole: PermissionSet;
  /** What the scopes select, as far as they are available to the workspace. */
  readonly byScopes: PermissionSet;
  /** What role and scopes allow, and what any key may do, as sorted names. */
  readonly permissions: readonly string[];
  /** All keys of the same permissions have this very list, of which there are few. */
  readonly arePermissionsShared: boolean;
}

/** Derives a key's rights. `role` is undefined where the key's type asks none. */
export function rightsOf(
  key: KeyRecord,
  context: {
    policy: Policy;
    type: KeyType;
    workspace: WorkspaceRecord | undefined;
    role: string | undefined;
  },
): Rights {
  const { policy, type, workspace } = context;
  const role = context.role ?? "";
  const byRole = context.role === undefined ? policy.allPermissions : rolePermissions(policy, role);
  const byScopes = scopePermissions(policy, selectedScopes(policy, type, key.scopes), workspace);
  return { role, byRole, byScopes, ...permissionNames(policy, intersection(byRole, byScopes)) };
}

/** Lists that are kept of one policy. */
const MAX_KEPT_NAMES = 1000;

const keptNames = new WeakMap<Policy, Map<string, readonly string[]>>();

/** Most keys of an api are of a few kinds. */
function permissionNames(
  policy: Policy,
  effective: PermissionSet,
): Pick<Rights, "permissions" | "arePermissionsShared"> {
  const kept = keptNames.get(policy) ?? new Map<string, readonly string[]>();
  keptNames.set(policy, kept);
  const id = effective.join();
  const known = kept.get(id);
  if (known !== undefined) return { permissions: known, arePermissionsShared: true };
  const permissions = [...policy.permissions.values()]
    .filter((permission) => permission.anyKey || has(effective, permission.index))
    .map(({ name }) => name)
    .sort();
  const arePermissionsShared = kept.size < MAX_KEPT_NAMES;
  if (arePermissionsShared) kept.set(id, permissions);
  return { permissions, arePermissionsShared };
}

/** What a role allows; nothing for one that the policy does not know (any more). */
function rolePermissions(policy: Policy, role: string): PermissionSet {
  return policy.roles.get(role)?.permissions ?? emptySet(policy.permissions.size);
}

/** The scopes that a key's selection stands for now; names that the policy dropped stand for none. */
function selectedScopes(policy: Policy, type: KeyType, names: readonly string[]): readonly Scope[] {
  if (type.scopes === "all") return [...policy.scopes.values()];
  return names.flatMap((name) => policy.presets.get(name) ?? policy.scopes.get(name) ?? []);
}

function scopePermissions(
  policy: Policy,
  scopes: readonly Scope[],
  workspace: WorkspaceRecord | undefined,
): PermissionSet {
  const set = emptySet(policy.permissions.size);
  for (const scope of scopes) {
    if (workspace === undefined || isScopeAvailable(policy, scope, workspace)) addAll(set, scope.grants);
  }
  return set;
}

/** Whether the workspace may select and use the scope: not withheld, and its plan and feature are there. */
export function isScopeAvailable(policy: Policy, scope: Scope, workspace: WorkspaceRecord): boolean {
  return (
    !workspace.withheldScopes.includes(scope.name) &&
    missingOfGate(policy, scope.requires, workspace) === undefined
  );
}

/** Which half of the gate the workspace does not pass. */
export function missingOfGate(
  policy: Policy,
  gate: Gate,
  workspace: WorkspaceRecord,
): "PLAN_REQUIRED" | "FEATURE_REQUIRED" | undefined {
  // A plan that the policy does not know (any more) ranks below the lowest, as none does.
  if (gate.plan !== "" && policy.plans.indexOf(workspace.plan) < policy.plans.indexOf(gate.plan)) {
    return "PLAN_REQUIRED";
  }
  if (gate.feature !== "" && !workspace.features.includes(gate.feature)) return "FEATURE_REQUIRED";
  return undefined;
}
