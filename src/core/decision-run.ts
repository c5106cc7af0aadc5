import { type AddressRange, isInRanges, parseAddressRange } from "./address-range.ts";
import type { Caller } from "./callers.ts";
import { isInShadow, pointsStates, retryAfterMsOf, shadowReasonOf, tightestOf } from "./charges.ts";
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
  Footing,
  Grace,
  KeyUse,
  MaybePromise,
  RightsReads,
  RightsSource,
  TakeAnswer,
  Waiter,
} from "./ports.ts";
import { queryParameter } from "./query-parameter.ts";
import type { KeyRecord, WorkspaceRecord } from "./records.ts";
import { isScopeAvailable } from "./rights.ts";
import { secretDigest, secretPrefix } from "./secret.ts";
import { principalOf, type Standing, standingOf } from "./standing.ts";

export interface DecisionDependencies {
  readonly rights: RightsSource;
  readonly buckets: BucketStore;
  /** Milliseconds since the epoch, for the expiry of keys. */
  readonly nowMs: () => number;
  /** Told of each key that admitted a request. */
  readonly onUse?: (use: KeyUse) => void;
}

/** A check's request, as far as steps behind the key's go by it. */
interface Asked {
  readonly input: CheckInput;
  readonly query: string;
  readonly route: RouteMatch | undefined;
  /** Undefined: the policy has no such route. */
  readonly permission: Permission | undefined;
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
const LOCAL: readonly DegradedCause[] = ["points_local"];
const SKIPPED: readonly DegradedCause[] = ["points_skipped"];
const AS_USUAL: readonly DegradedCause[] = [];
const NO_STEPS: readonly Step[] = [];
const NONE_NAMED: readonly string[] = [];

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
  // What the decision is about, once it is known: undefined is "not got to yet".
  #key: KeyRecord | undefined;
  #type: KeyType | undefined;
  #secret: KeyUse["secret"] = "current";
  /** Where the request acts in no workspace, there is one too, without any. */
  #standing: Standing | undefined;
  #workspace: WorkspaceRecord | undefined;
  #areRightsAsked = false;
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

  /** At once where all is at hand and no points are asked. Throws, or rejects, by what it could not be decided. */
  check(input: CheckInput): MaybePromise<Decision> {
    const http = "http" in input.target ? input.target.http : undefined;
    const query = http === undefined ? "" : queryOf(http.path);

    if (http !== undefined && this.#policy.https === "required" && http.scheme.toLowerCase() === "http") {
      const detail = "The policy requires HTTPS and the scheme is http.";
      return this.#finish(this.#refuse("transport", "INSECURE_TRANSPORT", detail));
    }
    this.#explained?.pass("transport", transportDetail(this.#policy, http));

    const route = http === undefined ? undefined : this.#route(http);
    if (route?.isPublic === true) {
      this.#explained?.pass("route", `${route.template} is public: no key is needed.`);
      return this.#finish(undefined);
    }
    if (http !== undefined && route === undefined && this.#isPreflight(http)) {
      this.#explained?.pass("route", "A browser's preflight: no key is needed.");
      return this.#finish(undefined);
    }
    const permission =
      "permission" in input.target
        ? permissionNamed(this.#policy, input.target.permission)
        : route?.permission;

    const asked: Asked = { input, query, route, permission };
    const found = this.#findKey(input.key);
    return found instanceof Promise
      ? found.then((refusal) => this.#checkPlace(refusal, asked))
      : this.#checkPlace(found, asked);
  }

  #checkPlace(refused: Refusal, asked: Asked): MaybePromise<Decision> {
    const { input, query, route, permission } = asked;
    const refusal = refused ?? this.#checkAddress(input.clientIp);
    if (refusal !== undefined) return this.#finish(refusal);
    if (permission === undefined) {
      const detail = "No route matches the method and the canonical path.";
      return this.#finish(this.#refuse("route", "ROUTE_UNKNOWN", detail));
    }
    this.#explained?.pass(
      "route",
      `${route?.template ?? "The caller's choice"}: permission ${permission.name}.`,
    );
    const entered = this.#enterWorkspace(
      this.#namedWorkspaces(input.workspaceId, query),
      route?.inWorkspace === false ? "needless" : "needed",
    );
    return entered instanceof Promise
      ? entered.then((outcome) => this.#checkRights(outcome, asked, permission))
      : this.#checkRights(entered, asked, permission);
  }

  #checkRights(
    refused: Refusal,
    { input, query, route }: Asked,
    permission: Permission,
  ): MaybePromise<Decision> {
    const refusal =
      refused ??
      this.#checkPermission(permission) ??
      this.#checkLocations(this.#namedLocations(input.locationIds, route, query));
    if (refusal !== undefined) return this.#finish(refusal);
    return this.#charge(input.points ?? route?.cost ?? costOf(permission));
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

  /** As `check`: charges a live key's limits. */
  consume(input: ConsumeInput): MaybePromise<Decision> {
    const { subject } = input;
    const found = "key" in subject ? this.#findKey(subject.key) : this.#findKeyById(subject.keyId);
    return found instanceof Promise
      ? found.then((refusal) => this.#consumeOf(refusal, input))
      : this.#consumeOf(found, input);
  }

  #consumeOf(refused: Refusal, { workspaceId, points }: ConsumeInput): MaybePromise<Decision> {
    if (refused !== undefined) return this.#finish(refused);
    const entered = this.#enterWorkspace(workspaceId === "" ? NONE_NAMED : [workspaceId], "needed");
    return entered instanceof Promise
      ? entered.then((refusal) => this.#chargeUnless(refusal, points))
      : this.#chargeUnless(entered, points);
  }

  #chargeUnless(refusal: Refusal, points: number): MaybePromise<Decision> {
    return refusal === undefined ? this.#charge(points) : this.#finish(refusal);
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
    const charges = refusal === undefined ? (this.#standing as Standing).charges(cost) : [];
    return { refusal, charges, degraded: this.#staleness() };
  }

  #enterFoundWorkspace(workspaceId: string): MaybePromise<Refusal> {
    const isBoundToIt =
      (this.#type as KeyType).workspace === "bound" && workspaceId === (this.#key as KeyRecord).workspaceId;
    return this.#enterWorkspace(
      workspaceId === "" || isBoundToIt ? NONE_NAMED : [workspaceId],
      workspaceId === "" ? "needless" : "needed",
    );
  }

  /** The answer, once the steps are done. An allowed one that comes too late is an error. */
  #finish(refusal: Refusal): Decision {
    const { deadline, mode } = this.#context;
    if (performance.now() > deadline) throw deadlineExceeded();
    const isShadow = this.#policy.enforcement === "shadow";
    const allowed = refusal === undefined || isShadow;
    const key = this.#key;
    if (refusal === undefined && key !== undefined && mode !== "peek") {
      const timeMs = this.#dependencies.nowMs();
      this.#dependencies.onUse?.({ keyId: key.id, secret: this.#secret, timeMs });
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
      degraded: this.#degraded(allowed),
      requiredScopes: isOfScopes(reason) ? this.#requiredScopes : NONE_NAMED,
      isShadow,
      isOverruled: isShadow && refusal !== undefined,
      shadowReason: allowed ? reason : undefined,
      steps: this.#explained?.steps ?? NO_STEPS,
    };
  }

  /** Whether it was decided by rights from before, since the stores did not answer. */
  #staleness(): readonly DegradedCause[] {
    return this.#grace?.isUsed === true ? STALE : AS_USUAL;
  }

  #degraded(allowed: boolean): readonly DegradedCause[] {
    const causes = degradedBy(this.#answer, { allowed });
    const staleness = this.#staleness();
    if (staleness.length === 0) return causes;
    return causes.length === 0 ? staleness : [...causes, ...staleness];
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
    if (key !== undefined && key.digest !== digest) this.#secret = "previous";
    return this.#useKey(key);
  }

  #findKeyById(keyId: string): MaybePromise<Refusal> {
    const found = isIdentifier(keyId) ? this.#source.keyById(keyId, this.#context.deadline) : undefined;
    return found instanceof Promise ? found.then((key) => this.#useKey(key)) : this.#useKey(found);
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
    this.#key = key;
    this.#type = type;
    if (key.revokeTimeMs !== undefined)
      return this.#refuse("key", "KEY_REVOKED", `Key ${key.id} was revoked.`);
    const now = this.#dependencies.nowMs();
    const expireTimeMs = this.#secret === "current" ? key.expireTimeMs : earliest(key);
    if (expireTimeMs !== undefined && expireTimeMs <= now) {
      return this.#refuse(
        "key",
        "KEY_EXPIRED",
        `Key ${key.id}, or the overlap of its old secret, has ended.`,
      );
    }
    if (key.disabled) return this.#refuse("key", "KEY_DISABLED", `Key ${key.id} is disabled.`);
    this.#explained?.pass("key", `Key ${key.id} is active.`);
    return undefined;
  }

  #checkAddress(clientIp: string): Refusal {
    const { allowedCidrs } = this.#key as KeyRecord;
    if (isOutside(clientIp, allowedCidrs) || isOutside(clientIp, this.#policy.allowedCidrs)) {
      return this.#refuse("address", "ADDRESS_DENIED", "The client's address is outside the allowed ranges.");
    }
    this.#explained?.pass("address", "The client's address is not restricted, or is in an allowed range.");
    return undefined;
  }

  // Step 6: the workspace.

  /** Every workspace that the request names; INVALID_ARGUMENT when the field is against the query. */
  #namedWorkspaces(field: string, query: string): readonly string[] {
    const parameter = (this.#type as KeyType).workspaceQuery || this.#anyWorkspaceQuery();
    const inQuery = parameter === "" || query === "" ? NONE_NAMED : queryParameter(query, parameter);
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

  /** `workspace`: whether the request acts in one, where its key is not bound to one anyway. */
  #enterWorkspace(named: readonly string[], workspace: "needed" | "needless"): MaybePromise<Refusal> {
    const key = this.#key as KeyRecord;
    const type = this.#type as KeyType;
    const { directory } = this.#policy;
    let { workspaceId } = key;
    if (type.workspace === "bound") {
      if (named.length > 0) {
        return this.#refuse(
          "workspace",
          "WORKSPACE_NOT_ALLOWED",
          "The key is bound, and the request names a workspace.",
        );
      }
    } else if (workspace === "needless") {
      const nowhere = this.#source.footing(
        key,
        { directory, workspaceId: "", userId: "" },
        this.#context.deadline,
      );
      return nowhere instanceof Promise
        ? nowhere.then((footing) => this.#standNowhere(footing))
        : this.#standNowhere(nowhere);
    } else {
      if (named.length !== 1 || named[0] === "") {
        return this.#refuse(
          "workspace",
          "WORKSPACE_REQUIRED",
          "The request does not name exactly one workspace.",
        );
      }
      workspaceId = named[0] as string;
    }
    if (!isIdentifier(workspaceId)) return this.#refuseStranger();
    const userId = type.actsAs === "creator" ? key.userId : "";
    const found = this.#source.footing(key, { directory, workspaceId, userId }, this.#context.deadline);
    return found instanceof Promise ? found.then((footing) => this.#stand(footing)) : this.#stand(found);
  }

  #standNowhere(footing: Footing): Refusal {
    this.#standOn(footing);
    this.#explained?.pass("workspace", "The route acts in no workspace.");
    return undefined;
  }

  #standOn(footing: Footing): Standing {
    const key = this.#key as KeyRecord;
    this.#standing = standingOf(key, { policy: this.#policy, type: this.#type as KeyType, footing });
    this.#workspace = footing.workspace;
    return this.#standing;
  }

  #refuseStranger(): Refusal {
    return this.#refuse(
      "workspace",
      "NOT_A_MEMBER",
      "There is no such workspace, or the key's owner is not in it.",
    );
  }

  #stand(footing: Footing): Refusal {
    const { workspace, member } = footing;
    if (workspace === undefined) return this.#refuseStranger();
    if (member === undefined && (this.#type as KeyType).actsAs === "creator") return this.#refuseStranger();
    const { isSuspended, missing } = this.#standOn(footing);
    if (isSuspended) {
      return this.#refuse("workspace", "WORKSPACE_SUSPENDED", `Workspace ${workspace.id} is suspended.`);
    }
    this.#explained?.pass("workspace", `The key acts in workspace ${workspace.id}.`);
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
    const standing = this.#standing as Standing;
    const { rights } = standing;
    this.#areRightsAsked = true;
    if (permission.anyKey) {
      this.#explained?.pass("scope", `Any live key may do ${permission.name}.`);
      return undefined;
    }
    if (!standing.isAvailable(permission)) {
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
    const workspace = this.#workspace;
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

  #namedLocations(field: readonly string[], route: RouteMatch | undefined, query: string): readonly string[] {
    const inQuery =
      query === "" || this.#policy.locationQuery === ""
        ? NONE_NAMED
        : queryParameter(query, this.#policy.locationQuery);
    const inPath = route?.locationIds ?? NONE_NAMED;
    return inQuery.length + inPath.length === 0 ? field : [...field, ...inPath, ...inQuery];
  }

  #checkLocations(named: readonly string[]): Refusal {
    const { locationIds } = this.#standing as Standing;
    if (locationIds !== undefined && named.length > 0) {
      const allowed = new Set(locationIds);
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

  #charge(cost: number): MaybePromise<Decision> {
    const { mode, requestId, caller, deadline } = this.#context;
    this.#cost = cost;
    this.#charges = (this.#standing as Standing).charges(cost);
    const refusal = this.#checkCost(cost);
    if (refusal !== undefined) return this.#finish(refusal);
    if (mode === "rights") {
      this.#explained?.pass("points", "The points are not asked for here.");
      return this.#finish(undefined);
    }
    if (this.#charges.length === 0) {
      this.#explained?.pass("points", "No limit applies.");
      return this.#finish(undefined);
    }
    if (performance.now() > deadline) throw deadlineExceeded();
    return this.#dependencies.buckets
      .take(
        {
          charges: this.#charges,
          mode,
          requestId: requestId === "" ? "" : `${caller.id}\n${requestId}`,
          onOutage: this.#policy.onOutage,
          waiter: this.#context.waiter,
        },
        deadline,
      )
      .then((answer) => {
        this.#answer = answer;
        return this.#finish(this.#judge(answer));
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
    const key = this.#key;
    if (key === undefined) return undefined;
    if (this.#areRightsAsked) return (this.#standing as Standing).principal;
    return { ...principalOf(key), workspaceId: this.#workspace?.id ?? key.workspaceId };
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

function isOutside(clientIp: string, cidrs: readonly string[]): boolean {
  return cidrs.length > 0 && !isInRanges(clientIp, addressRanges(cidrs));
}

/** Also of a refusal that the outage caused; where a shadow lets it pass, no points were counted. */
export function degradedBy(
  answer: TakeAnswer | undefined,
  { allowed }: { allowed: boolean },
): readonly DegradedCause[] {
  if (answer === undefined) return AS_USUAL;
  if (answer.outcome === "unavailable" && allowed) return SKIPPED;
  if (answer.decidedBy === "store") return AS_USUAL;
  return answer.decidedBy === "local" ? LOCAL : SKIPPED;
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
