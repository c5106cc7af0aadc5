import { has, type PermissionSet } from "../core/permission-set.ts";
import type { Policy } from "../core/policy.ts";

/** The names of a set's permissions, sorted. */
export function permissionNames(policy: Pick<Policy, "permissions">, set: PermissionSet): string[] {
  return [...policy.permissions.values()]
    .filter(({ index }) => has(set, index))
    .map(({ name }) => name)
    .sort();
}
