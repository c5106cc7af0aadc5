import { createHash } from "node:crypto";
import type { Scope } from "../core/policy.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { permissionNames } from "./permission-names.ts";

/**
 * SHA-256, as 64 hex digits, over canonical JSON of what a policy means: maps by sorted names; lists in
 * the file's order only where it matters (plans, limits). Comments, patterns against the names that
 * they match, spelling of durations and the order of entries change nothing.
 */
export function policyDigest(policy: Omit<CompiledPolicy, "digest">): string {
  return createHash("sha256")
    .update(JSON.stringify(meaningOf(policy)))
    .digest("hex");
}

function meaningOf(policy: Omit<CompiledPolicy, "digest">): unknown {
  const scopeNames = (scopes: readonly Scope[]) => scopes.map(({ name }) => name).sort();
  return canonical({
    api: policy.api,
    directory: policy.directory,
    hosts: [...policy.hosts].sort((a, b) => compare(a.host, b.host)),
    basePath: policy.basePath,
    https: policy.https,
    enforcement: policy.enforcement,
    tag: policy.tag,
    onOutage: policy.onOutage,
    onError: policy.onError,
    graceMs: policy.graceMs,
    plans: policy.plans,
    requires: policy.requires,
    allowedCidrs: [...policy.allowedCidrs].sort(),
    locationQuery: policy.locationQuery,
    metadataUpstream: [...policy.metadataUpstream].sort(),
    permissions: [...policy.permissions.values()]
      .map(({ name, cost, anyKey }) => ({ name, cost: cost ?? null, anyKey }))
      .sort(byName),
    roles: [...policy.roles.values()]
      .map((role) => ({ ...role, permissions: permissionNames(policy, role.permissions) }))
      .sort(byName),
    scopes: [...policy.scopes.values()]
      .map((scope) => ({ ...scope, grants: permissionNames(policy, scope.grants) }))
      .sort(byName),
    presets: [...policy.presets].map(([name, scopes]) => ({ name, scopes: scopeNames(scopes) })).sort(byName),
    keyTypes: [...policy.keyTypes.values()]
      .map((type) => ({
        ...type,
        legacy: type.legacy.map(({ source }) => source).sort(),
        maxTtlMs: type.maxTtlMs ?? null,
      }))
      .sort(byName),
    limits: policy.limits.map((limit) => ({
      ...limit,
      descriptor: Object.fromEntries(limit.descriptor),
      planPoints: Object.fromEntries(limit.planPoints),
      environments: [...limit.environments].sort(),
    })),
    routes: policy.routes.routes
      .map(({ permission, ...route }) => ({ ...route, permission: permission?.name ?? null }))
      .sort((a, b) => compare(a.template, b.template)),
  });
}

/** The same value with the fields of every object in the order of their names. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => compare(a, b))
      .map(([name, field]) => [name, canonical(field)]),
  );
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return compare(a.name, b.name);
}

/** By code units: the same on every machine, whatever its language. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
