import { has } from "../core/permission-set.ts";
import type { KeyType, Limit, Permission } from "../core/policy.ts";
import { isCanonicalPath } from "./canonical-path.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { formatDuration } from "./duration.ts";
import { describeLimit } from "./limit-text.ts";
import { permissionNames } from "./permission-names.ts";
import type { Route } from "./route-table.ts";

/** A policy in facts, for people and programs: who may do what, and what it costs. */
export interface PolicySummary {
  readonly api: string;
  readonly directory: string;
  readonly digest: string;
  readonly hosts: readonly string[];
  readonly https: string;
  readonly enforcement: string;
  /** What Redis Cluster places buckets by: "workspace" or "api". */
  readonly tag: string;
  readonly onOutage: string;
  readonly onError: string;
  readonly grace: string;
  /** Lowest first. */
  readonly plans: readonly string[];
  readonly requiredPlan: string;
  readonly requiredFeature: string;
  readonly permissions: readonly PermissionSummary[];
  readonly roles: readonly RoleSummary[];
  readonly keyTypes: readonly KeyTypeSummary[];
  readonly scopes: readonly ScopeSummary[];
  readonly presets: readonly { readonly name: string; readonly scopes: readonly string[] }[];
  readonly limits: readonly LimitSummary[];
  readonly routes: readonly RouteSummary[];
}

/** One row of the matrix of permissions and roles. */
export interface PermissionSummary {
  readonly name: string;
  /** Points; undefined: each of its routes states one. */
  readonly cost: number | undefined;
  readonly anyKey: boolean;
  /** Roles that allow it. */
  readonly roles: readonly string[];
  /** Scopes any one of which grants it. */
  readonly scopes: readonly string[];
  /** Those of them that let a key pass that has none. */
  readonly shadowScopes: readonly string[];
}

export interface RoleSummary {
  readonly name: string;
  readonly permissions: readonly string[];
  readonly createsKeys: boolean;
  readonly managesKeys: string;
}

export interface KeyTypeSummary {
  readonly name: string;
  readonly prefix: string;
  readonly environment: string;
  /** Whose rights it has, in which workspace, with which scopes, for how long; one sentence. */
  readonly text: string;
}

export interface ScopeSummary {
  readonly name: string;
  readonly description: string;
  readonly grants: readonly string[];
  readonly requiredPlan: string;
  readonly requiredFeature: string;
  readonly shadow: boolean;
}

export interface LimitSummary {
  readonly name: string;
  /** Such as "300 points in 60s per workspace, sliding, then blocked for 60s". */
  readonly text: string;
}

export interface RouteSummary {
  readonly method: string;
  /** With the base path. */
  readonly path: string;
  /** Undefined: public. */
  readonly permission: string | undefined;
  readonly cost: number;
  readonly inWorkspace: boolean;
  /** Path parameters that name locations. */
  readonly locations: readonly string[];
}

export function explainPolicy(policy: CompiledPolicy): PolicySummary {
  return {
    api: policy.api,
    directory: policy.directory,
    digest: policy.digest,
    hosts: policy.hosts.map(({ host, environment }) =>
      environment === "" ? host : `${host} (${environment})`,
    ),
    https: policy.https,
    enforcement: policy.enforcement,
    tag: policy.tag,
    onOutage: policy.onOutage,
    onError: policy.onError,
    grace: formatDuration(policy.graceMs),
    plans: policy.plans,
    requiredPlan: policy.requires.plan,
    requiredFeature: policy.requires.feature,
    permissions: [...policy.permissions.values()].map((permission) =>
      summarizePermission(policy, permission),
    ),
    roles: [...policy.roles.values()].map(({ name, permissions, createsKeys, managesKeys }) => ({
      name,
      permissions: permissionNames(policy, permissions),
      createsKeys,
      managesKeys,
    })),
    keyTypes: [...policy.keyTypes.values()].map((type) => ({
      name: type.name,
      prefix: type.prefix,
      environment: type.environment,
      text: describeKeyType(type),
    })),
    scopes: [...policy.scopes.values()].map(({ name, description, grants, requires, shadow }) => ({
      name,
      description,
      grants: permissionNames(policy, grants),
      requiredPlan: requires.plan,
      requiredFeature: requires.feature,
      shadow,
    })),
    presets: [...policy.presets].map(([name, scopes]) => ({
      name,
      scopes: scopes.map((scope) => scope.name),
    })),
    limits: policy.limits.map((limit) => ({ name: limit.name, text: describeLimit(limit) })),
    routes: policy.routes.routes.map(summarizeRoute),
  };
}

function summarizePermission(policy: CompiledPolicy, permission: Permission): PermissionSummary {
  return {
    name: permission.name,
    cost: permission.cost,
    anyKey: permission.anyKey,
    roles: [...policy.roles.values()]
      .filter((role) => has(role.permissions, permission.index))
      .map((role) => role.name),
    scopes: permission.grantedBy.map((scope) => scope.name),
    shadowScopes: permission.scopes.filter(({ shadow }) => shadow).map((scope) => scope.name),
  };
}

function describeKeyType(type: KeyType): string {
  const owner = {
    creator: "acts as its creator",
    service_account: "acts in the role named on it",
    workspace: "acts as its workspace, without a role",
  }[type.actsAs];
  const named =
    type.workspaceQuery === ""
      ? "that each check names"
      : `that each request names in ?${type.workspaceQuery}`;
  const where = type.workspace === "bound" ? "in the workspace it was made in" : `in the workspace ${named}`;
  const scopes = type.scopes === "all" ? "with all scopes" : "with the scopes selected for it";
  const life = type.maxTtlMs === undefined ? "until revoked" : `for at most ${formatDuration(type.maxTtlMs)}`;
  return `${owner}, ${where}, ${scopes}, ${life}`;
}

function summarizeRoute(route: Route): RouteSummary {
  return {
    method: route.method,
    path: `/${route.segments.join("/")}`,
    permission: route.permission?.name,
    cost: route.cost,
    inWorkspace: route.inWorkspace,
    locations: route.locationParameters,
  };
}

/** What one request needs, or why no route matches it. */
export type RouteExplanation =
  | {
      readonly route: RouteSummary;
      /** Undefined: public. */
      readonly permission: PermissionSummary | undefined;
      /** What the request's path names. */
      readonly locationIds: readonly string[];
      readonly limits: readonly (LimitSummary & {
        /**
         * Such requests that pass in one window, on the plan that gives the most; undefined: they cost nothing,
         * or the limit is in shadow.
         */
        readonly requestsAtMost: number | undefined;
      })[];
    }
  | { readonly fault: string };

/** `path` as sent; a query string is cut off. */
export function explainRoute(policy: CompiledPolicy, method: string, path: string): RouteExplanation {
  const [pathOnly = ""] = path.split("?");
  if (!isCanonicalPath(pathOnly)) {
    return {
      fault:
        "The path is not spelt in the one way that all servers read alike; such requests are refused as ROUTE_UNKNOWN.",
    };
  }
  const match = policy.routes.match(method, pathOnly);
  const route = policy.routes.routes.find(
    ({ template, method: ofRoute }) =>
      template === match?.template && (ofRoute === method || method === "HEAD"),
  );
  if (match === undefined || route === undefined) {
    const others = [...new Set(policy.routes.routes.map((other) => other.method))].filter(
      (other) => policy.routes.match(other, pathOnly) !== undefined,
    );
    const hint = others.length === 0 ? "" : ` The path has routes for ${others.join(", ")}.`;
    return { fault: `No route matches ${method} ${pathOnly}.${hint}` };
  }
  return {
    route: summarizeRoute(route),
    permission: match.permission === undefined ? undefined : summarizePermission(policy, match.permission),
    locationIds: match.locationIds,
    limits: match.isPublic
      ? []
      : policy.limits.filter(({ per }) => per !== "descriptor").map((limit) => limitFor(limit, match.cost)),
  };
}

function limitFor(limit: Limit, cost: number): LimitSummary & { requestsAtMost: number | undefined } {
  const most = Math.max(limit.points, ...limit.planPoints.values());
  const requestsAtMost = cost === 0 || limit.shadow === true ? undefined : Math.floor(most / cost);
  return { name: limit.name, text: describeLimit(limit), requestsAtMost };
}
