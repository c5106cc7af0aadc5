import type { DenyReason } from "./deny-reason.ts";
import type { PointsMode } from "./ports.ts";

/**
 * One request to decide. Fields are as in the proto's CheckRequest; empty strings mean not given. In the
 * mode "rights" all is decided but the points, which something behind this decision takes.
 */
export interface CheckInput {
  readonly api: string;
  readonly key: string;
  readonly target: { readonly permission: string } | { readonly http: HttpTarget };
  readonly workspaceId: string;
  readonly locationIds: readonly string[];
  /** Overrides the policy's cost. */
  readonly points: number | undefined;
  readonly requestId: string;
  readonly mode: PointsMode | "rights";
  readonly explain: boolean;
  readonly clientIp: string;
}

export interface HttpTarget {
  readonly method: string;
  /** With its query string, undecoded. */
  readonly path: string;
  readonly scheme: string;
  readonly host: string;
  /** The method that a browser's preflight asks for; empty or not there: the request is none. */
  readonly preflightFor?: string;
}

export interface ConsumeInput {
  readonly api: string;
  readonly subject: { readonly key: string } | { readonly keyId: string };
  readonly workspaceId: string;
  readonly points: number;
  readonly requestId: string;
  readonly mode: PointsMode;
}

export type DegradedCause = "points_local" | "points_skipped" | "stale_rights";

export interface Decision {
  readonly api: string;
  readonly allowed: boolean;
  /** Undefined when allowed. */
  readonly reason: DenyReason | undefined;
  readonly principal: Principal | undefined;
  /** Points that the request costs; undefined: it did not get so far, or costs none by being public. */
  readonly cost: number | undefined;
  /** Every limit that applied, in the policy's order. */
  readonly limits: readonly PointsState[];
  /** The tightest of `limits` that are not in shadow; undefined when there are none. */
  readonly points: PointsState | undefined;
  readonly retryAfterMs: number;
  readonly degraded: readonly DegradedCause[];
  readonly requiredScopes: readonly string[];
  /** Whether the policy only watches, and refuses nothing. */
  readonly isShadow: boolean;
  /** The policy's shadow let pass what it would have refused: not all of the steps were taken. */
  readonly isOverruled: boolean;
  /** Why it would have been refused, were the policy, a scope or a limit not in shadow; only of what is allowed. */
  readonly shadowReason: DenyReason | undefined;
  /** Empty without `explain`. */
  readonly steps: readonly Step[];
}

export interface Principal {
  readonly api: string;
  readonly keyId: string;
  readonly keyName: string;
  readonly keyType: string;
  readonly environment: string;
  readonly workspaceId: string;
  readonly userId: string;
  readonly createdBy: string;
  readonly role: string;
  readonly plan: string;
  /** Sorted. */
  readonly permissions: readonly string[];
  readonly allLocations: boolean;
  readonly locationIds: readonly string[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Other keys have this very list, of which there are few. */
  readonly arePermissionsShared?: boolean;
  /** The codec's of CheckResponse: what it wrote of who it is, which takes no more than the key's record. */
  encoded?: string | undefined;
}

export interface PointsState {
  readonly limitName: string;
  readonly limit: number;
  readonly cost: number;
  readonly remaining: number;
  readonly windowSeconds: number;
  readonly resetMs: number;
  readonly blockedMs: number;
  /** Undefined: the limit is not in shadow. */
  readonly shadow?: LimitShadow | undefined;
}

/** What a limit says that counts, and refuses nothing. */
export interface LimitShadow {
  /** Why it would have refused; undefined: it would not. */
  readonly reason: DenyReason | undefined;
}

export type StepName =
  | "transport"
  | "route"
  | "credential"
  | "format"
  | "key"
  | "address"
  | "workspace"
  | "plan"
  | "scope_available"
  | "role"
  | "scope"
  | "location"
  | "cost"
  | "points";

export interface Step {
  readonly name: StepName;
  readonly passed: boolean;
  /** One sentence for the operator; never holds a secret. */
  readonly detail: string;
}
