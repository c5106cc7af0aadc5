import type { PermissionSet } from "./permission-set.ts";

/**
 * A compiled policy: immutable, made by `policy/compile.ts` from one YAML file. A decision keeps the
 * policy that it began with; what is derived from one carries its `digest` and is never read under
 * another.
 */
export interface Policy {
  readonly api: string;
  readonly directory: string;
  /** SHA-256 of what the file means (not of its comments), 64 hex digits. */
  readonly digest: string;
  readonly hosts: readonly HostRule[];
  /** Empty, or begins with "/" and does not end with one. */
  readonly basePath: string;
  readonly https: "required" | "any";
  readonly enforcement: "enforce" | "shadow";
  /** What buckets are sharded by in Redis Cluster: each workspace by itself, or the api as a whole. */
  readonly tag: "workspace" | "api";
  readonly onOutage: OnOutage;
  readonly onError: OnError;
  /** How long rights known from before are used while Postgres does not answer, after the lease. 0: not at all. */
  readonly graceMs: number;
  /** Lowest first. */
  readonly plans: readonly string[];
  /** For creating and for using keys. */
  readonly requires: Gate;
  readonly allowedCidrs: readonly string[];
  /** The query parameter that names locations; empty: none. */
  readonly locationQuery: string;
  /** Whether any route or `locationQuery` names locations. */
  readonly usesLocations: boolean;
  readonly permissions: ReadonlyMap<string, Permission>;
  readonly roles: ReadonlyMap<string, Role>;
  readonly scopes: ReadonlyMap<string, Scope>;
  /** Preset name → the scopes that it stands for, in the order of `scopes`. */
  readonly presets: ReadonlyMap<string, readonly Scope[]>;
  readonly keyTypes: ReadonlyMap<string, KeyType>;
  /** In the file's order; at least none. */
  readonly limits: readonly Limit[];
  readonly routes: RouteTable;
  /** Every permission. */
  readonly allPermissions: PermissionSet;
  /** Keys of metadata that Principal.metadata shows upstream. */
  readonly metadataUpstream: readonly string[];
}

/** What to do with points when their store does not answer in time. */
export type OnOutage = "deny" | "local" | "allow";

/**
 * What a gateway is told when no decision could be made: to refuse, whatever it would do by itself, or that
 * there was an error, so that its own setting says whether it refuses.
 */
export type OnError = "deny" | "gateway";

export interface HostRule {
  /** Lower case, without a port: "api.example.com", or "*.example.com" for any one or more labels. */
  readonly host: string;
  /** Only keys of this environment are valid there; empty: of any. */
  readonly environment: string;
}

export interface Gate {
  /** Empty: any. */
  readonly plan: string;
  /** Empty: none. */
  readonly feature: string;
}

export interface Permission {
  readonly name: string;
  /** The bit in a PermissionSet. */
  readonly index: number;
  /** Points of a Check by permission, and of a route that states none; undefined: such a Check is an error. */
  readonly cost: number | undefined;
  /** Any live key may do it: neither a scope nor a role is asked. */
  readonly anyKey: boolean;
  /** The scopes that grant it by name or by `grants`, not those that only imply it. */
  readonly scopes: readonly Scope[];
  /** All scopes that grant it, also by write-implies-read: what would help a key that lacks it. */
  readonly grantedBy: readonly Scope[];
}

export interface Role {
  readonly name: string;
  readonly permissions: PermissionSet;
  readonly createsKeys: boolean;
  readonly managesKeys: "none" | "own" | "workspace";
}

export interface Scope {
  readonly name: string;
  readonly description: string;
  /** With what write implies. */
  readonly grants: PermissionSet;
  /** What the workspace must have for the scope to be selected or used there. */
  readonly requires: Gate;
  /** A key that lacks it is told of, and not refused for it. */
  readonly shadow: boolean;
}

export interface KeyType {
  readonly name: string;
  readonly prefix: string;
  readonly environment: string;
  /** "bound": to the workspace that it was made in. "request": each request names one. */
  readonly workspace: "bound" | "request";
  /** For "request": the query parameter that names it; empty: only CheckRequest.workspace_id. */
  readonly workspaceQuery: string;
  readonly scopes: "all" | "selected";
  readonly actsAs: "creator" | "service_account" | "workspace";
  /** Secrets of imported keys, tried when the own format does not fit; they have no checksum. */
  readonly legacy: readonly RegExp[];
  /** The longest life of a new key; undefined: for ever. */
  readonly maxTtlMs: number | undefined;
  /** RotateKey's default overlap. */
  readonly rotationOverlapMs: number;
}

export type LimitShape = "sliding" | "fixed" | "bucket";

export interface Limit {
  readonly name: string;
  readonly per: "key" | "user" | "workspace" | "api" | "descriptor";
  /**
   * Of `per: "descriptor"`: the entries of the rate limit descriptors that it counts, by key; "*" stands for
   * any value, and each set of values counts by itself. Empty for the others.
   */
  readonly descriptor: ReadonlyMap<string, string>;
  /** Points a window, where no plan or environment says otherwise. */
  readonly points: number;
  /** By plan name: overrides `points`. */
  readonly planPoints: ReadonlyMap<string, number>;
  /** The environments that it applies in; empty: all. */
  readonly environments: readonly string[];
  readonly windowMs: number;
  readonly shape: LimitShape;
  /** 0: exceeding starts no block. */
  readonly blockMs: number;
  /** Counts and tells what it would refuse, and refuses nothing; undefined: it does. */
  readonly shadow?: boolean;
  /** The share of the points, above 0 and up to 1, whose spending a metric tells of; undefined: none. */
  readonly warnAt?: number;
}

/** What a request's method and path resolve to. */
export interface RouteMatch {
  /** As in the file, such as "GET /items/:id". */
  readonly template: string;
  /** Undefined for `access: public` routes. */
  readonly permission: Permission | undefined;
  /** Points; the permission's where the route states none. */
  readonly cost: number;
  /** False: the route acts in no workspace. */
  readonly inWorkspace: boolean;
  /** Needs no key. */
  readonly isPublic: boolean;
  /** Locations that the path's parameters name. */
  readonly locationIds: readonly string[];
}

export interface RouteTable {
  /**
   * Resolves a method and a path as sent, without its query string. Undefined when no route matches or
   * the path is not canonical. HEAD follows GET.
   */
  match(method: string, path: string): RouteMatch | undefined;
}
