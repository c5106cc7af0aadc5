import { type Caller, requireAllApis } from "./callers.ts";
import { invalidField, TollgateError } from "./errors.ts";
import { pageSizeOf, pageTokenOf, positionOf } from "./page-token.ts";
import { type PolicySet, policyByName } from "./policy-set.ts";
import type { CallerTokenStore, Deadline, MaybePromise, RightsSource } from "./ports.ts";
import type { CallerTokenRecord, Grant } from "./records.ts";
import { newId, newSecret, secretDigest, secretPrefix } from "./secret.ts";

const PREFIX = "tgc_";

export interface CreateCallerTokenInput {
  readonly name: string;
  readonly grants: readonly Grant[];
  /** Empty: all. */
  readonly apis: readonly string[];
  readonly expireTimeMs: number | undefined;
}

/** A caller token and its secret, which exists nowhere else. */
export interface IssuedCallerToken {
  readonly token: CallerTokenRecord;
  readonly secret: string;
}

/** A secret that was sent, of which nothing but this is kept. */
export interface PresentedToken {
  readonly digest: string;
  /** False: the secret is nobody's, which shows without a store. */
  readonly isPlausible: boolean;
}

/** Making, listing and ending tokens is for callers that are not limited to some apis: PERMISSION_DENIED. */
export interface CallerTokens {
  /** Asks no store, and is so cheap that it can be done before a request's body is read. */
  present(secret: string): PresentedToken;
  /** Whose it is; undefined: it is unknown, expired or revoked. Asked on every request. */
  authenticate(presented: PresentedToken, deadline: Deadline): MaybePromise<Caller | undefined>;
  create(input: CreateCallerTokenInput, caller: Caller, deadline: Deadline): Promise<IssuedCallerToken>;
  list(
    input: { pageSize: number; pageToken: string },
    caller: Caller,
    deadline: Deadline,
  ): Promise<{ tokens: readonly CallerTokenRecord[]; nextPageToken: string }>;
  /** Throws NOT_FOUND. */
  revoke(id: string, caller: Caller, deadline: Deadline): Promise<CallerTokenRecord>;
}

export interface CallerTokensDependencies {
  readonly policies: () => PolicySet;
  readonly store: CallerTokenStore;
  readonly rights: Pick<RightsSource, "callerToken">;
  /** TOLLGATE_ADMIN_TOKEN, kept as its digest only; undefined: there is none. */
  readonly adminToken: string | undefined;
  readonly nowMs: () => number;
}

export function createCallerTokens(dependencies: CallerTokensDependencies): CallerTokens {
  const { policies, store, rights, nowMs } = dependencies;
  const adminDigest =
    dependencies.adminToken === undefined ? undefined : secretDigest(dependencies.adminToken);

  function callerOf(token: CallerTokenRecord | undefined): Caller | undefined {
    if (token === undefined || token.revokeTimeMs !== undefined) return undefined;
    if (token.expireTimeMs !== undefined && token.expireTimeMs <= nowMs()) return undefined;
    const known = callers.get(token) ?? {
      id: token.id,
      grants: new Set(token.grants),
      apis: new Set(token.apis),
    };
    callers.set(token, known);
    return known;
  }

  return {
    present(secret) {
      const digest = secretDigest(secret);
      return { digest, isPlausible: secretPrefix(secret) === PREFIX || digest === adminDigest };
    },

    authenticate({ digest, isPlausible }, deadline) {
      if (digest === adminDigest) return ADMIN;
      if (!isPlausible) return undefined;
      const token = rights.callerToken(digest, deadline);
      return token instanceof Promise ? token.then(callerOf) : callerOf(token);
    },

    async create(input, caller, deadline) {
      requireAllApis(caller);
      for (const api of input.apis) policyByName(policies(), api);
      const now = nowMs();
      if (input.expireTimeMs !== undefined && input.expireTimeMs <= now) {
        throw invalidField("expire_time", "must be in the future");
      }
      const { token, secret } = newCallerToken(input, now);
      const { record } = await store.create(token, {
        audit: {
          callerId: caller.id,
          actorUserId: "",
          action: "caller_token.create",
          detail: { caller_token_id: token.id, grants: token.grants, apis: token.apis },
        },
        deadline,
      });
      return { token: record, secret };
    },

    async list(input, caller, deadline) {
      requireAllApis(caller);
      const filter = ["caller_tokens"];
      const page = await store.list(
        { size: pageSizeOf(input.pageSize), after: positionOf(input.pageToken, filter) },
        deadline,
      );
      return { tokens: page.records, nextPageToken: pageTokenOf(page.next, filter) };
    },

    async revoke(id, caller, deadline) {
      requireAllApis(caller);
      const result = await store.revoke(id, {
        nowMs: nowMs(),
        audit: {
          callerId: caller.id,
          actorUserId: "",
          action: "caller_token.revoke",
          detail: { caller_token_id: id },
        },
        deadline,
      });
      if (result === "missing") {
        throw new TollgateError("not_found", "There is no such caller token.", {
          reason: "CALLER_TOKEN_UNKNOWN",
        });
      }
      return result.record;
    },
  };
}

/** A token that is not stored yet, and its secret. */
export function newCallerToken(input: CreateCallerTokenInput, nowMs: number): IssuedCallerToken {
  const secret = newSecret(PREFIX);
  const token = {
    id: newId("ct_"),
    name: input.name,
    grants: [...new Set(input.grants)].sort(),
    apis: [...new Set(input.apis)].sort(),
    digest: secretDigest(secret),
    createTimeMs: nowMs,
    expireTimeMs: input.expireTimeMs,
    revokeTimeMs: undefined,
  };
  return { token, secret };
}

const ADMIN: Caller = { id: "admin-token", grants: new Set<Grant>(["admin"]), apis: new Set() };

const callers = new WeakMap<CallerTokenRecord, Caller>();
