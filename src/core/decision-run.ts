import { type AddressRange, isInRanges, parseAddressRange } from "./address-range.ts";
import type { Caller } from "./callers.ts";
import {
  chargesFor,
  isInShadow,
  pointsStates,
  retryAfterMsOf,
  shadowReasonOf,
  tightestOf,
} from "./charges.ts";
import type {
  CheckInput,
  ConsumeInput,
  Decision,
  DegradedCause,
  HttpTarget,
  Principal,
  Step,
  StepName,
} from "./decision.ts";
import type { DenyReason } from "./deny-reason.ts";
import { deadlineExceeded, invalidField, TollgateError } from "./errors.ts";
import { isIdentifier } from "./identifier.ts";
import { has } from "./permission-set.ts";
import type { KeyType, Permission, Policy, RouteMatch } from "./policy.ts";
import type { PolicySet } from "./policy-set.ts";
import type {
  BucketStore,
  Charge,
  Deadline,
  Grace,
  KeyUse,
  MaybePromise,
  RightsReads,
  RightsSource,
  TakeAnswer,
  Waiter,
} from "./ports.ts";
import { queryParameter } from "./query-parameter.ts";
import type { KeyRecord, MemberRecord, WorkspaceRecord } from "./records.ts";
import { isScopeAvailable, missingOfGate, type Rights, rightsOf } from "./rights.ts";
import { secretDigest, secretPrefix } from "./secret.ts";

export interface DecisionDependencies {
  readonly rights: RightsSource;
  readonly buckets: BucketStore;
  /** Milliseconds since the epoch, for the expiry of keys. */
  readonly nowMs: () => number;
  /** Told of each key that admitted a request. */
  readonly onUse?: (use: KeyUse) => void;
}

/** What a decision is about, once it is known: undefined is "not got to yet". */
interface Found {
  key: KeyRecord | undefined;
  type: KeyType | undefined;
  secret: KeyUse["secret"];
  workspace: WorkspaceRecord | undefined;
  member: MemberRecord | undefined;
  rights: Rights | undefined;
}

/** The refusal that ends a decision; undefined goes on. */
export type Refusal = DenyReason | undefined;

/** Of which environment keys are valid here. */
export type Environment = "any" | "none" | { readonly name: string };

export interface DecisionContext {
  readonly set: PolicySet;
  readonly policy: Policy;
  readonly environment: Environment;
  readonly caller: Caller;
  readonly requestId: string;
  readonly mode: CheckInput["mode"];
  readonly explain: boolean;
  readonly deadline: Deadline;
  readonly waiter?: Waiter | undefined;
}

const STALE: readonly DegradedCause[] = ["stale_rights"];
const NO_STEPS: readonly Step[] = [];

/** The steps of a decision, for people. */
interface Explanation {
  readonly steps: readonly Step[];
  pass(name: StepName, detail: string): void;
  refuse(name: StepName, detail: string): void;
}

function createExplanation(): Explanation {
  const steps: Step[] = [];
  return {
    steps,
    pass: (name, detail) => void steps.push({ name, passed: true, detail }),
    refuse: (name, detail) => void steps.push({ name, passed: false, detail }),
  };
}

/** One decision, step by step in the order of docs/decision.md. The first step that refuses decides. */
export class DecisionRun {
  readonly #dependencies: DecisionDependencies;
  readonly #context: DecisionContext;
  readonly #policy: Policy;
  readonly #grace: Grace | undefined;
  readonly #source: RightsReads;
  /** Undefined where nobody asks why: what would be told is not even put together. */
  readonly #explained: Explanation | undefined;
  readonly #found: Found = {
    key: undefined,
    type: undefined,
    secret: "current",
    workspace: undefined,
    member: undefined,
    rights: undefined,
  };
  #live = false;
  #requiredScopes: readonly string[] = [];
  #cost: number | undefined;
  #charges: readonly Charge[] = [];
  #answer: TakeAnswer | undefined;
  /** The first refusal that a scope or a limit in shadow did not make. */
  #shadowReason: Refusal;

  constructor(dependencies: DecisionDependencies, context: DecisionContext) {
    this.#dependencies = dependencies;
    this.#context = context;
    this.#policy = context.policy;
    this.#explained = context.explain ? createExplanation() : undefined;
    const { graceMs } = context.policy;
    this.#grace = graceMs === 0 ? undefined : { ms: graceMs, isUsed: false };
    this.#source = this.#grace === undefined ? dependencies.rights : dependencies.rights.within(this.#grace);
  }

  async check(input: CheckInput): Promise<Refusal> {
    const http = "http" in input.target ? input.target.http : undefined;
    const query = http === undefined ? "" : queryOf(http.path);

    if (http !== undefined && this.#policy.https === "required" && http.scheme.toLowerCase() === "http") {
      return this.#refuse(
        "transport",
        "INSECURE_TRANSPORT",
        "The policy requires HTTPS and the scheme is http.",
      );
    }
    this.#explained?.pass("transport", transportDetail(this.#policy, http));

    const route = http === undefined ? undefined : this.#route(http);
    if (route?.isPublic === true) {
      this.#explained?.pass("route", `${route.template} is public: no key is needed.`);
      return undefined;
    }
    if (http !== undefined && route === undefined && this.#isPreflight(http)) {
      this.#explained?.pass("route", "A browser's preflight: no key is needed.");
      return undefined;
    }
    const permission =
      "permission" in input.target
        ? permissionNamed(this.#policy, input.target.permission)
        : route?.permission;

    const keyFound = this.#findKey(input.key);
    const keyRefusal =
      (keyFound instanceof Promise ? await keyFound : keyFound) ?? this.#checkAddress(input.clientIp);
    if (keyRefusal !== undefined) return keyRefusal;

    if (permission === undefined) {
      return this.#refuse("route", "ROUTE_UNKNOWN", "No route matches the method and the canonical path.");
    }
    this.#explained?.pass(
      "route",
      `${route?.template ?? "The caller's choice"}: permission ${permission.name}.`,
    );

    const entered = this.#enterWorkspace({
      named: this.#namedWorkspaces(input.workspaceId, query),
      isNeeded: route?.inWorkspace !== false,
    });
    const refusal =
      (entered instanceof Promise ? await entered : entered) ??
      this.#checkPermission(permission) ??
      this.#checkLocations(this.#namedLocations(input.locationIds, route, query));
    if (refusal !== undefined) return refusal;

    return this.#takePoints(input.points ?? route?.cost ?? costOf(permission));
  }

  /**
   * Undefined also where a "#" stands, after which some servers read nothing: it belongs into no request; and
   * for a query that would take milliseconds to read.
   */
  #route({ method, path }: HttpTarget): RouteMatch | undefined {
    if (path.includes("#") || queryOf(path).length > MAX_QUERY_LENGTH) return undefined;
    return this.#policy.routes.match(method, pathOf(path));
  }

  /**
   * Whether a browser asks here if it may send a request that has a route: it sends no key with that, and
   * the service behind answers it. An OPTIONS route of the policy's own goes before.
   */
  #isPreflight({ method, path, preflightFor = "" }: HttpTarget): boolean {
    return (
      method === "OPTIONS" &&
      preflightFor !== "" &&
      this.#route({ method: preflightFor, path, scheme: "", host: "" }) !== undefined
    );
  }

  async consume(input: ConsumeInput): Promise<Refusal> {
    const { subject } = input;
    const refusal =
      ("key" in subject ? await this.#findKey(subject.key) : await this.#findKeyById(subject.keyId)) ??
      (await this.#enterWorkspace({
        named: input.workspaceId === "" ? [] : [input.workspaceId],
        isNeeded: true,
      }));
    return refusal ?? this.#takePoints(input.points);
  }

  /**
   * What a request that was checked already is to be charged, in a take that may charge other things too; or
   * why its key may not be used any more. `workspaceId` is the one that the check found; empty: the request
   * acts in none, or the key is bound to it.
   */
  async chargesOf(request: { keyId: string; workspaceId: string; cost: number }): Promise<{
    readonly refusal: Refusal;
    readonly charges: readonly Charge[];
    readonly degraded: readonly DegradedCause[];
  }> {
    const { keyId, workspaceId, cost } = request;
    const refusal = (await this.#findKeyById(keyId)) ?? (await this.#enterFoundWorkspace(workspaceId));
    const charges = refusal === undefined ? this.#chargesFor(cost) : [];
    return { refusal, charges, degraded: this.#staleness() };
  }

  #enterFoundWorkspace(workspaceId: string): MaybePromise<Refusal> {
    const key = this.#found.key as KeyRecord;
    const isBoundToIt =
      (this.#found.type as KeyType).workspace === "bound" && workspaceId === key.workspaceId;
    return this.#enterWorkspace({
      named: workspaceId === "" || isBoundToIt ? [] : [workspaceId],
      isNeeded: workspaceId !== "",
    });
  }

  /** The answer, once the steps are done. An allowed one that comes too late is an error. */
  finish(refusal: Refusal): Decision {
    const { deadline, mode } = this.#context;
    if (performance.now() > deadline) throw deadlineExceeded();
    const isShadow = this.#policy.enforcement === "shadow";
    const allowed = refusal === undefined || isShadow;
    const { key, secret } = this.#found;
    if (refusal === undefined && key !== undefined && mode !== "peek") {
      this.#dependencies.onUse?.({ keyId: key.id, secret, timeMs: this.#dependencies.nowMs() });
    }
    const limits = pointsStates(this.#charges, this.#answer);
    const reason = refusal ?? this.#shadowReason ?? shadowReasonOf(limits);
    return {
      api: this.#policy.api,
      allowed,
      reason: allowed ? undefined : reason,
      principal: this.#principal(),
      cost: this.#cost,
      limits,
      points: limits[tightestOf(this.#charges, this.#answer)],
      retryAfterMs: allowed ? 0 : retryAfterMsOf(this.#charges, this.#answer),
      degraded: [...degradedBy(this.#answer, { allowed }), ...this.#staleness()],
      requiredScopes: isOfScopes(reason) ? this.#requiredScopes : [],
      isShadow,
      isOverruled: isShadow && refusal !== undefined,
      shadowReason: allowed ? reason : undefined,
      steps: this.#explained?.steps ?? NO_STEPS,
    };
  }

  /** Whether it was decided by rights from before, since the stores did not answer. */
  #staleness(): readonly DegradedCause[] {
    return this.#grace?.isUsed === true ? STALE : [];
  }

  // Steps 3 and 4 (credential, format) and 5 (key).

  #findKey(secret: string): MaybePromise<Refusal> {
    if (secret === "") return this.#refuse("credential", "KEY_MISSING", "No key was sent.");
    this.#explained?.pass("credential", "A key was sent.");
    const malformed = this.#malformed(secret);
    if (malformed === "elsewhere") {
      this.#explained?.pass("format", "The prefix and the checksum are a key's.");
      return this.#refuse("key", "KEY_UNKNOWN", "The prefix is another api's.");
    }
    if (malformed !== undefined) return this.#refuse("format", "KEY_MALFORMED", malformed);
    this.#explained?.pass("format", "The prefix and the checksum are right.");
    const digest = secretDigest(secret);
    const found = this.#source.keyByDigest(digest, this.#context.deadline);
    return found instanceof Promise
      ? found.then((key) => this.#useKeyOf(digest, key))
      : this.#useKeyOf(digest, found);
  }

  #useKeyOf(digest: string, key: KeyRecord | undefined): Refusal {
    if (key !== undefined && key.digest !== digest) this.#found.secret = "previous";
    return this.#useKey(key);
  }

  async #findKeyById(keyId: string): Promise<Refusal> {
    const isPossible = isIdentifier(keyId);
    return this.#useKey(isPossible ? await this.#source.keyById(keyId, this.#context.deadline) : undefined);
  }

  /** What is wrong with the secret's form; "elsewhere" when it is well-formed for another api only. */
  #malformed(secret: string): string | undefined {
    const prefix = secretPrefix(secret);
    for (const type of this.#policy.keyTypes.values()) {
      if (prefix === type.prefix) return undefined;
      if (secret.length <= MAX_LEGACY_LENGTH && type.legacy.some((pattern) => pattern.test(secret)))
        return undefined;
    }
    if (prefix !== undefined) {
      return this.#context.set.prefixes.has(prefix) ? "elsewhere" : "No type of key has this prefix.";
    }
    if (/^bearer\s/i.test(secret)) return 'The key begins with "Bearer"; pass the secret alone.';
    return "The length, the alphabet or the checksum is wrong.";
  }

  #useKey(key: KeyRecord | undefined): Refusal {
    const { environment } = this.#context;
    const type = key === undefined ? undefined : this.#policy.keyTypes.get(key.type);
    if (key === undefined || key.api !== this.#policy.api) {
      return this.#refuse("key", "KEY_UNKNOWN", "There is no such key in this api.");
    }
    if (type === undefined) {
      return this.#refuse("key", "KEY_UNKNOWN", `The policy has no type "${key.type}" (any more).`);
    }
    if (environment === "none") {
      return this.#refuse("key", "KEY_UNKNOWN", "The host is none of those that the policy lists.");
    }
    if (environment !== "any" && key.environment !== environment.name) {
      return this.#refuse(
        "key",
        "KEY_UNKNOWN",
        `The host is for keys of the environment "${environment.name}".`,
      );
    }
    this.#found.key = key;
    this.#found.type = type;
    if (key.revokeTimeMs !== undefined)
      return this.#refuse("key", "KEY_REVOKED", `Key ${key.id} was revoked.`);
    const now = this.#dependencies.nowMs();
    const expireTimeMs = this.#found.secret === "current" ? key.expireTimeMs : earliest(key);
    if (expireTimeMs !== undefined && expireTimeMs <= now) {
      return this.#refuse(
        "key",
        "KEY_EXPIRED",
        `Key ${key.id}, or the overlap of its old secret, has ended.`,
      );
    }
    if (key.disabled) return this.#refuse("key", "KEY_DISABLED", `Key ${key.id} is disabled.`);
    this.#live = true;
    this.#explained?.pass("key", `Key ${key.id} is active.`);
    return undefined;
  }

  #checkAddress(clientIp: string): Refusal {
    const key = this.#found.key as KeyRecord;
    for (const cidrs of [key.allowedCidrs, this.#policy.allowedCidrs]) {
      if (cidrs.length > 0 && !isInRanges(clientIp, addressRanges(cidrs))) {
        return this.#refuse(
          "address",
          "ADDRESS_DENIED",
          "The client's address is outside the allowed ranges.",
        );
      }
    }
    this.#explained?.pass("address", "The client's address is not restricted, or is in an allowed range.");
    return undefined;
  }

  // Step 6: the workspace.

  /** Every workspace that the request names; INVALID_ARGUMENT when the field is against the query. */
  #namedWorkspaces(field: string, query: string): readonly string[] {
    const parameter = (this.#found.type as KeyType).workspaceQuery || this.#anyWorkspaceQuery();
    const inQuery = parameter === "" ? [] : queryParameter(query, parameter);
    if (field === "") return inQuery;
    if (inQuery.some((value) => value !== field)) {
      throw invalidField("workspace_id", "is not the workspace that http.path names");
    }
    return inQuery.length > 1 ? inQuery : [field];
  }

  /** A bound key names no parameter of its own: those of the api's other types count as naming one. */
  #anyWorkspaceQuery(): string {
    for (const type of this.#policy.keyTypes.values()) {
      if (type.workspaceQuery !== "") return type.workspaceQuery;
    }
    return "";
  }

  #enterWorkspace(request: { named: readonly string[]; isNeeded: boolean }): MaybePromise<Refusal> {
    const key = this.#found.key as KeyRecord;
    const type = this.#found.type as KeyType;
    let workspaceId = key.workspaceId;
    if (type.workspace === "bound") {
      if (request.named.length > 0) {
        return this.#refuse(
          "workspace",
          "WORKSPACE_NOT_ALLOWED",
          "The key is bound, and the request names a workspace.",
        );
      }
    } else if (!request.isNeeded) {
      this.#explained?.pass("workspace", "The route acts in no workspace.");
      return undefined;
    } else {
      const [only, ...others] = request.named;
      if (only === undefined || only === "" || others.length > 0) {
        return this.#refuse(
          "workspace",
          "WORKSPACE_REQUIRED",
          "The request does not name exactly one workspace.",
        );
      }
      workspaceId = only;
    }
    return this.#useWorkspace(workspaceId, type.actsAs === "creator" ? key.userId : undefined);
  }

  #useWorkspace(workspaceId: string, asUser: string | undefined): MaybePromise<Refusal> {
    const { directory } = this.#policy;
    if (!isIdentifier(workspaceId)) return this.#useFound(undefined, asUser);
    const workspace = this.#source.workspace(directory, workspaceId, this.#context.deadline);
    return workspace instanceof Promise
      ? workspace.then((found) => this.#readMember(found, asUser))
      : this.#readMember(workspace, asUser);
  }

  #readMember(workspace: WorkspaceRecord | undefined, asUser: string | undefined): MaybePromise<Refusal> {
    if (workspace === undefined || asUser === undefined) return this.#useFound(workspace, asUser);
    const { directory } = this.#policy;
    const member = this.#source.member(directory, workspace.id, asUser, this.#context.deadline);
    if (member instanceof Promise) {
      return member.then((found) => {
        this.#found.member = found;
        return this.#useFound(workspace, asUser);
      });
    }
    this.#found.member = member;
    return this.#useFound(workspace, asUser);
  }

  #useFound(workspace: WorkspaceRecord | undefined, asUser: string | undefined): Refusal {
    if (workspace === undefined || (asUser !== undefined && this.#found.member === undefined)) {
      return this.#refuse(
        "workspace",
        "NOT_A_MEMBER",
        "There is no such workspace, or the key's owner is not in it.",
      );
    }
    this.#found.workspace = workspace;
    if (workspace.suspended) {
      return this.#refuse("workspace", "WORKSPACE_SUSPENDED", `Workspace ${workspace.id} is suspended.`);
    }
    this.#explained?.pass("workspace", `The key acts in workspace ${workspace.id}.`);
    const missing = missingOfGate(this.#policy, this.#policy.requires, workspace);
    if (missing !== undefined) {
      const { plan, feature } = this.#policy.requires;
      const needed = missing === "PLAN_REQUIRED" ? `at least plan "${plan}"` : `the feature "${feature}"`;
      return this.#refuse(
        "plan",
        missing,
        `The api needs ${needed}; the workspace's plan is "${workspace.plan}".`,
      );
    }
    this.#explained?.pass("plan", "The workspace's plan and features are enough.");
    return undefined;
  }

  // Steps 7 and 8: the permission.

  #checkPermission(permission: Permission): Refusal {
    const { workspace } = this.#found;
    const rights = this.#rights();
    if (permission.anyKey) {
      this.#explained?.pass("scope", `Any live key may do ${permission.name}.`);
      return undefined;
    }
    if (
      workspace !== undefined &&
      !permission.scopes.some((scope) => isScopeAvailable(this.#policy, scope, workspace))
    ) {
      this.#requiredScopes = permission.scopes.map((scope) => scope.name);
      return this.#refuse(
        "scope_available",
        "SCOPE_UNAVAILABLE",
        "No scope for it is available to the workspace.",
      );
    }
    this.#explained?.pass("scope_available", "A scope for it is available to the workspace.");
    if (!has(rights.byRole, permission.index)) {
      return this.#refuse(
        "role",
        "ROLE_INSUFFICIENT",
        `The role "${rights.role}" does not allow ${permission.name}.`,
      );
    }
    this.#explained?.pass(
      "role",
      rights.role === "" ? "No role is asked." : `The role "${rights.role}" allows it.`,
    );
    if (!has(rights.byScopes, permission.index)) {
      this.#requiredScopes = permission.grantedBy.map((scope) => scope.name);
      return this.#refuseByScope(permission);
    }
    this.#explained?.pass("scope", `The key's scopes grant ${permission.name}.`);
    return undefined;
  }

  /** A scope in shadow is passed over where it grants the permission itself, not where it only implies it. */
  #refuseByScope(permission: Permission): Refusal {
    const { workspace } = this.#found;
    const detail = `The key's scopes do not grant ${permission.name}`;
    const shadow = permission.scopes.find(
      (scope) =>
        scope.shadow && (workspace === undefined || isScopeAvailable(this.#policy, scope, workspace)),
    );
    if (shadow === undefined) return this.#refuse("scope", "SCOPE_INSUFFICIENT", `${detail}.`);
    return this.#passInShadow(
      "scope",
      "SCOPE_INSUFFICIENT",
      `${detail}; the scope ${shadow.name} is in shadow.`,
    );
  }

  #rights(): Rights {
    const { key, type, workspace } = this.#found;
    this.#found.rights ??= rightsOf(key as KeyRecord, {
      policy: this.#policy,
      type: type as KeyType,
      workspace,
      role: this.#role(),
    });
    return this.#found.rights;
  }

  /** Undefined: none is asked. */
  #role(): string | undefined {
    const type = this.#found.type as KeyType;
    if (type.actsAs === "service_account") return (this.#found.key as KeyRecord).role;
    if (type.actsAs === "creator" && this.#found.workspace !== undefined) return this.#found.member?.role;
    return undefined;
  }

  #namedLocations(field: readonly string[], route: RouteMatch | undefined, query: string): readonly string[] {
    const inQuery =
      this.#policy.locationQuery === "" ? [] : queryParameter(query, this.#policy.locationQuery);
    const inPath = route?.locationIds ?? [];
    return inQuery.length + inPath.length === 0 ? field : [...field, ...inPath, ...inQuery];
  }

  #checkLocations(named: readonly string[]): Refusal {
    const { member } = this.#found;
    if (member !== undefined && !member.allLocations) {
      const allowed = new Set(named.length === 0 ? [] : member.locationIds);
      const outside = named.find((location) => !allowed.has(location));
      if (outside !== undefined) {
        return this.#refuse(
          "location",
          "LOCATION_DENIED",
          `The member has no access to ${JSON.stringify(outside)}.`,
        );
      }
    }
    this.#explained?.pass(
      "location",
      named.length === 0 ? "No location is named." : "The member may use the locations.",
    );
    return undefined;
  }

  // Steps 9 and 10: cost and points.

  #takePoints(cost: number): MaybePromise<Refusal> {
    const { mode, requestId, caller, deadline } = this.#context;
    this.#cost = cost;
    this.#charges = this.#chargesFor(cost);
    const refusal = this.#checkCost(cost);
    if (refusal !== undefined) return refusal;
    if (mode === "rights") {
      this.#explained?.pass("points", "The points are not asked for here.");
      return undefined;
    }
    if (this.#charges.length === 0) {
      this.#explained?.pass("points", "No limit applies.");
      return undefined;
    }
    if (performance.now() > deadline) throw deadlineExceeded();
    const taken = this.#dependencies.buckets.take(
      {
        charges: this.#charges,
        mode,
        requestId: requestId === "" ? "" : `${caller.id}\n${requestId}`,
        onOutage: this.#policy.onOutage,
        waiter: this.#context.waiter,
      },
      deadline,
    );
    return taken.then((answer) => {
      this.#answer = answer;
      return this.#judge(answer);
    });
  }

  #checkCost(cost: number): Refusal {
    const above = this.#context.mode === "record" ? undefined : this.#charges.find(isAboveLimit);
    if (above === undefined) {
      this.#explained?.pass("cost", `It costs ${cost}.`);
      return undefined;
    }
    const refusing = this.#charges.find((charge) => isAboveLimit(charge) && !isInShadow(charge));
    const { limit, points } = refusing ?? above;
    const detail = `It costs ${cost}; "${limit.name}" is ${points}`;
    return refusing === undefined
      ? this.#passInShadow("cost", "COST_ABOVE_LIMIT", `${detail}, and in shadow.`)
      : this.#refuse("cost", "COST_ABOVE_LIMIT", `${detail}.`);
  }

  #chargesFor(cost: number): Charge[] {
    const { key, workspace } = this.#found;
    return chargesFor(this.#policy, { key: key as KeyRecord, workspace, cost });
  }

  #judge(answer: TakeAnswer): Refusal {
    switch (answer.outcome) {
      case "admitted":
        this.#explained?.pass("points", this.#pointsDetail());
        return undefined;
      case "exceeded":
        return this.#refuse("points", "POINTS_EXCEEDED", this.#pointsDetail());
      case "blocked":
        return this.#refuse("points", "BLOCKED", this.#pointsDetail());
      case "unavailable": {
        const detail = "The points store did not answer in time";
        return this.#charges.every(isInShadow)
          ? this.#passInShadow("points", "STORE_UNAVAILABLE", `${detail}; all limits are in shadow.`)
          : this.#refuse("points", "STORE_UNAVAILABLE", `${detail}.`);
      }
    }
  }

  #pointsDetail(): string {
    const limits = pointsStates(this.#charges, this.#answer);
    const inShadow = limits
      .filter(({ shadow }) => shadow?.reason !== undefined)
      .map(({ limitName, shadow }) => ` In shadow "${limitName}" would refuse it: ${shadow?.reason}.`)
      .join("");
    const state = limits[tightestOf(this.#charges, this.#answer)];
    if (state === undefined) {
      return limits.length === 0 ? "No limit was looked at." : `All limits are in shadow.${inShadow}`;
    }
    const left = `"${state.limitName}": ${state.remaining} of ${state.limit} points left, cost ${state.cost}`;
    return `${left}, all back in ${state.resetMs} ms${state.blockedMs > 0 ? `, blocked for ${state.blockedMs} ms` : ""}.${inShadow}`;
  }

  #principal(): Principal | undefined {
    const { key, member, workspace } = this.#found;
    if (key === undefined) return undefined;
    const rights = this.#found.rights;
    const isLive = this.#live && rights !== undefined;
    return {
      api: key.api,
      keyId: key.id,
      keyName: key.name,
      keyType: key.type,
      environment: key.environment,
      workspaceId: workspace?.id ?? key.workspaceId,
      userId: key.userId,
      createdBy: key.createdBy,
      role: isLive ? rights.role : "",
      plan: isLive ? (workspace?.plan ?? "") : "",
      permissions: isLive ? rights.permissions : [],
      allLocations: isLive && (member === undefined || member.allLocations),
      locationIds: isLive && member !== undefined && !member.allLocations ? member.locationIds : [],
      metadata: isLive ? upstreamMetadata(this.#policy, key) : {},
    };
  }

  /** As #refuse, but for what is in shadow: the decision goes on. */
  #passInShadow(name: StepName, reason: DenyReason, detail: string): undefined {
    this.#shadowReason ??= reason;
    this.#explained?.pass(name, detail);
    return undefined;
  }

  #refuse(name: StepName, reason: DenyReason, detail: string): DenyReason {
    this.#explained?.refuse(name, detail);
    return reason;
  }
}

function transportDetail({ https }: Policy, http: HttpTarget | undefined): string {
  const scheme = http === undefined || http.scheme === "" ? "not told" : `"${http.scheme}"`;
  return `The policy's https is "${https}", and the scheme is ${scheme}.`;
}

/** As long as a path may be. */
const MAX_QUERY_LENGTH = 8 * 1024;

/** The longest secret that is tried against the patterns of imported keys. */
const MAX_LEGACY_LENGTH = 512;

/** Throws INVALID_ARGUMENT where the policy has none of that name. */
export function permissionNamed(policy: Policy, name: string): Permission {
  const permission = policy.permissions.get(name);
  if (permission === undefined)
    throw invalidField("permission", `there is no permission ${JSON.stringify(name)}`);
  return permission;
}

/** What a Check by permission costs. Throws INVALID_ARGUMENT where the policy does not say. */
export function costOf(permission: Permission): number {
  if (permission.cost !== undefined) return permission.cost;
  throw new TollgateError(
    "invalid_argument",
    `The policy states no cost for ${permission.name}; pass points.`,
    {
      reason: "COST_UNKNOWN",
      violations: [{ field: "permission", description: "the policy states no cost for it; pass points" }],
    },
  );
}

/** When the old secret ends: with its overlap, or with the key. */
function earliest(key: KeyRecord): number {
  return Math.min(key.previousExpireTimeMs ?? 0, key.expireTimeMs ?? Number.POSITIVE_INFINITY);
}

const rangesOf = new WeakMap<readonly string[], readonly AddressRange[]>();

/** The ranges, parsed once a record; one that cannot be read lets nobody in. */
function addressRanges(cidrs: readonly string[]): readonly AddressRange[] {
  const known = rangesOf.get(cidrs) ?? cidrs.flatMap((cidr) => parseAddressRange(cidr) ?? []);
  rangesOf.set(cidrs, known);
  return known;
}

function upstreamMetadata(policy: Policy, key: KeyRecord): Readonly<Record<string, string>> {
  if (policy.metadataUpstream.length === 0) return {};
  return Object.fromEntries(
    Object.entries(key.metadata).filter(([name]) => policy.metadataUpstream.includes(name)),
  );
}

/** Also of a refusal that the outage caused; where a shadow lets it pass, no points were counted. */
export function degradedBy(
  answer: TakeAnswer | undefined,
  { allowed }: { allowed: boolean },
): readonly DegradedCause[] {
  if (answer === undefined) return [];
  if (answer.outcome === "unavailable" && allowed) return ["points_skipped"];
  if (answer.decidedBy === "store") return [];
  return answer.decidedBy === "local" ? ["points_local"] : ["points_skipped"];
}

function isAboveLimit({ cost, points }: Charge): boolean {
  return cost > points;
}

function isOfScopes(reason: Refusal): boolean {
  return reason === "SCOPE_INSUFFICIENT" || reason === "SCOPE_UNAVAILABLE";
}

function pathOf(pathAndQuery: string): string {
  const mark = pathAndQuery.indexOf("?");
  return mark === -1 ? pathAndQuery : pathAndQuery.slice(0, mark);
}

function queryOf(pathAndQuery: string): string {
  const mark = pathAndQuery.indexOf("?");
  return mark === -1 ? "" : pathAndQuery.slice(mark + 1);
}
