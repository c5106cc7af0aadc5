import { add, emptySet, has } from "../core/permission-set.ts";
import type { Permission, Policy, Role, Scope } from "../core/policy.ts";
import { compileGate } from "./compile-gate.ts";
import { isPattern, matchingNames } from "./name-pattern.ts";
import type { Report, ValuePath } from "./problem.ts";
import type { PolicySource } from "./schema.ts";
import { suggestOrList } from "./suggest.ts";

type Rights = Pick<Policy, "permissions" | "roles" | "scopes" | "presets" | "allPermissions">;

/** Permissions, and all that gives them. */
export function compileRights(source: PolicySource, report: Report): Rights {
  const indexes = indexPermissions(source);
  const scopes = compileScopes(source, { indexes, report });
  const permissions = compilePermissions(source, { indexes, scopes, report });
  const allPermissions = emptySet(indexes.size);
  for (const index of indexes.values()) add(allPermissions, index);
  return {
    permissions,
    roles: compileRoles(source, { indexes, report }),
    scopes: new Map([...scopes].map(([name, { scope }]) => [name, scope])),
    presets: compilePresets(source, { scopes, report }),
    allPermissions,
  };
}

/**
 * Bits by the sorted names, not by the file's order: what is kept under a policy's digest must mean the
 * same under every file with that digest.
 */
function indexPermissions(source: PolicySource): ReadonlyMap<string, number> {
  return new Map(
    Object.keys(source.permissions)
      .sort()
      .map((name, index) => [name, index]),
  );
}

interface CompiledScope {
  readonly scope: Scope;
  /** What it grants itself, without what write implies. */
  readonly direct: ReadonlySet<string>;
}

function compileScopes(
  source: PolicySource,
  context: { readonly indexes: ReadonlyMap<string, number>; readonly report: Report },
): ReadonlyMap<string, CompiledScope> {
  const { indexes, report } = context;
  const compiled = new Map<string, CompiledScope>();
  for (const [name, scope] of Object.entries(source.scopes)) {
    const direct = new Set<string>();
    const grants = emptySet(indexes.size);
    for (const permission of grantedNames(source, { name, report })) {
      const index = indexes.get(permission);
      if (index === undefined) continue;
      direct.add(permission);
      add(grants, index);
    }
    const implied = source.write_implies_read ? indexes.get(readLevel(name) ?? "") : undefined;
    if (implied !== undefined) add(grants, implied);
    const requires = compileGate(scope.requires, {
      path: ["scopes", name, "requires"],
      plans: source.plans,
      report,
    });
    const { description, shadow } = scope;
    compiled.set(name, { scope: { name, description, grants, requires, shadow }, direct });
  }
  return compiled;
}

/** "items.read" of "items.write". */
function readLevel(scope: string): string | undefined {
  return scope.endsWith(".write") ? scope.replace(/write$/, "read") : undefined;
}

/** The permissions that the file says a scope grants; unknown ones are reported. */
function grantedNames(source: PolicySource, scope: { name: string; report: Report }): readonly string[] {
  const { name, report } = scope;
  const grants = source.scopes[name]?.grants;
  const known = Object.keys(source.permissions);
  if (grants === undefined) {
    if (known.includes(name)) return [name];
    report(
      ["scopes", name],
      `The scope "${name}" grants nothing: there is no permission of that name, and it lists no grants.${suggestOrList(name, known)}`,
      "key",
    );
    return [];
  }
  const path: ValuePath = ["scopes", name, "grants"];
  if (grants.length === 0) {
    report(path, `The scope "${name}" grants nothing; list a permission, or leave the scope out.`);
  }
  for (const [index, permission] of grants.entries()) {
    if (!known.includes(permission)) {
      report([...path, index], `There is no permission "${permission}".${suggestOrList(permission, known)}`);
    }
  }
  return grants;
}

function compilePermissions(
  source: PolicySource,
  context: {
    readonly indexes: ReadonlyMap<string, number>;
    readonly scopes: ReadonlyMap<string, CompiledScope>;
    readonly report: Report;
  },
): ReadonlyMap<string, Permission> {
  const permissions = new Map<string, Permission>();
  for (const [name, stated] of Object.entries(source.permissions)) {
    const index = context.indexes.get(name) as number;
    const { cost, any_key: anyKey } = typeof stated === "number" ? { cost: stated, any_key: false } : stated;
    const scopes = [...context.scopes.values()];
    const permission = {
      name,
      index,
      cost,
      anyKey,
      scopes: scopes.filter(({ direct }) => direct.has(name)).map(({ scope }) => scope),
      grantedBy: scopes.filter(({ scope }) => has(scope.grants, index)).map(({ scope }) => scope),
    };
    permissions.set(name, permission);
    if (anyKey && permission.grantedBy.length > 0) {
      const names = permission.grantedBy.map((scope) => scope.name).join(", ");
      context.report(
        ["permissions", name, "any_key"],
        `Any key may do "${name}", and yet the scope ${names} grants it; keep one of both.`,
      );
    }
    if (!anyKey && permission.scopes.length === 0) {
      context.report(
        ["permissions", name],
        `No scope grants "${name}", so no key could ever do it; add it to a scope, or say any_key: true.`,
        "key",
      );
    }
  }
  if (permissions.size === 0)
    context.report(["permissions"], "There are no permissions; write at least one.");
  return permissions;
}

function compileRoles(
  source: PolicySource,
  context: { readonly indexes: ReadonlyMap<string, number>; readonly report: Report },
): ReadonlyMap<string, Role> {
  const { indexes, report } = context;
  const roles = new Map<string, Role>();
  for (const [name, role] of Object.entries(source.roles)) {
    const permissions = emptySet(indexes.size);
    for (const [place, pattern] of role.permissions.entries()) {
      const path: ValuePath = ["roles", name, "permissions", place];
      const matched = matchingNames(pattern, indexes.keys());
      if (matched.length === 0) report(path, nothingMatches("permission", pattern, indexes.keys()));
      if (!isPattern(pattern) && isForAnyKey(source, pattern)) {
        report(path, `Any key may do "${pattern}", so it is not for a role to give; leave it out here.`);
      }
      for (const permission of matched) add(permissions, indexes.get(permission) as number);
    }
    roles.set(name, {
      name,
      permissions,
      createsKeys: role.creates_keys,
      managesKeys: role.manages_keys,
    });
  }
  if (roles.size === 0)
    report(["roles"], "There are no roles, so nobody could create a key; write at least one.");
  return roles;
}

function isForAnyKey(source: PolicySource, permission: string): boolean {
  const stated = source.permissions[permission];
  return typeof stated === "object" && stated.any_key;
}

function compilePresets(
  source: PolicySource,
  context: { readonly scopes: ReadonlyMap<string, CompiledScope>; readonly report: Report },
): ReadonlyMap<string, readonly Scope[]> {
  const { scopes, report } = context;
  const presets = new Map<string, readonly Scope[]>();
  for (const [name, patterns] of Object.entries(source.presets)) {
    if (scopes.has(name)) {
      report(["presets", name], `"${name}" is a scope already; a preset needs a name of its own.`, "key");
    }
    if (patterns.length === 0) {
      report(["presets", name], `The preset "${name}" stands for no scope; list some, or leave it out.`);
    }
    const chosen = new Set<string>();
    for (const [place, pattern] of patterns.entries()) {
      const matched = matchingNames(pattern, scopes.keys());
      if (matched.length === 0) {
        report(["presets", name, place], nothingMatches("scope", pattern, scopes.keys()));
      }
      for (const scope of matched) chosen.add(scope);
    }
    presets.set(
      name,
      [...scopes.values()].map(({ scope }) => scope).filter((scope) => chosen.has(scope.name)),
    );
  }
  return presets;
}

function nothingMatches(what: string, pattern: string, names: Iterable<string>): string {
  if (isPattern(pattern)) return `No ${what} matches "${pattern}"; correct the pattern, or leave it out.`;
  return `There is no ${what} "${pattern}".${suggestOrList(pattern, names)}`;
}
