import { type Caller, requireApi } from "./callers.ts";
import {
  type CreationContext,
  checkAddedScopes,
  checkAddressRanges,
  checkCreation,
  checkCreator,
  checkExpiry,
  checkRoleWithin,
  checkSelection,
  denied,
  splitScopes,
} from "./creation.ts";
import { invalidField, TollgateError } from "./errors.ts";
import { pageSizeOf, pageTokenOf, positionOf } from "./page-token.ts";
import type { KeyType, Policy, Role } from "./policy.ts";
import { type PolicySet, policyByName } from "./policy-set.ts";
import type {
  Deadline,
  DirectoryStore,
  KeyPatch,
  KeySelection,
  KeyStatus,
  KeyStore,
  RequestClaim,
} from "./ports.ts";
import type { AuditEntry, KeyRecord, MemberRecord } from "./records.ts";
import { newId, newSecret, secretDigest, secretPreview } from "./secret.ts";

export interface CreateKeyInput {
  readonly api: string;
  readonly type: string;
  readonly workspaceId: string;
  readonly userId: string;
  readonly name: string;
  readonly description: string;
  readonly scopes: readonly string[];
  readonly expireTimeMs: number | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly allowedCidrs: readonly string[];
  readonly role: string;
  readonly requestId: string;
}

export interface RevokeKeyInput {
  readonly target: { readonly keyId: string } | { readonly key: string };
  readonly reason: string;
  readonly actorUserId: string;
}

export interface RevokeKeysInput {
  readonly api: string;
  /** Empty: any, or none. Not both of them empty. */
  readonly workspaceId: string;
  /** Empty: anybody. */
  readonly userId: string;
  readonly reason: string;
  readonly actorUserId: string;
}

export interface RevokedKeys {
  /** Of those that this call has revoked. */
  readonly keyIds: readonly string[];
  readonly more: boolean;
}

export interface RotateKeyInput {
  readonly keyId: string;
  /** Undefined: the key type's. */
  readonly overlapMs: number | undefined;
  readonly actorUserId: string;
  readonly requestId: string;
}

/** What UpdateKey may set; what is left out stays. */
export type KeyChanges = Partial<
  Pick<
    KeyRecord,
    "name" | "description" | "disabled" | "scopes" | "expireTimeMs" | "metadata" | "allowedCidrs"
  >
>;

export interface UpdateKeyInput {
  readonly keyId: string;
  readonly changes: KeyChanges;
  readonly actorUserId: string;
}

export interface ListKeysInput {
  readonly api: string;
  readonly workspaceId: string;
  readonly userId: string;
  readonly status: KeyStatus | undefined;
  /** 0: the default. */
  readonly pageSize: number;
  readonly pageToken: string;
}

/** A key and its secret, which exists nowhere else. */
export interface IssuedKey {
  readonly key: KeyRecord;
  readonly secret: string;
}

/** The life of keys. Everything is as in the proto's AuthorizationService; errors are TollgateErrors. */
export interface Keys {
  create(input: CreateKeyInput, caller: Caller, deadline: Deadline): Promise<IssuedKey>;
  revoke(input: RevokeKeyInput, caller: Caller, deadline: Deadline): Promise<KeyRecord>;
  revokeAll(input: RevokeKeysInput, caller: Caller, deadline: Deadline): Promise<RevokedKeys>;
  rotate(input: RotateKeyInput, caller: Caller, deadline: Deadline): Promise<IssuedKey>;
  update(input: UpdateKeyInput, caller: Caller, deadline: Deadline): Promise<KeyRecord>;
  get(keyId: string, caller: Caller, deadline: Deadline): Promise<KeyRecord>;
  list(
    input: ListKeysInput,
    caller: Caller,
    deadline: Deadline,
  ): Promise<{ keys: readonly KeyRecord[]; nextPageToken: string }>;
}

export interface KeysDependencies {
  readonly policies: () => PolicySet;
  readonly keys: KeyStore;
  readonly directory: DirectoryStore;
  readonly nowMs: () => number;
  /**
   * Drops what this replica has cached of a key. Asked where a call found it changed already, by another
   * replica perhaps: its answer, too, must hold for decisions that begin after it.
   */
  readonly forget: (key: KeyRecord) => void;
}

/** Keys that one call revokes: their change is read by every replica as a whole. */
const MAX_REVOKED = 10_000;

/** Times that a change is tried again when another call changed the key meanwhile. */
const MAX_ATTEMPTS = 5;

export function createKeys(dependencies: KeysDependencies): Keys {
  const { policies, keys, directory, nowMs, forget } = dependencies;

  /** A key of one of the caller's apis; of others nothing is told. */
  async function read(keyId: string, caller: Caller, deadline: Deadline): Promise<KeyRecord> {
    const key = await keys.get(keyId, deadline);
    if (key === undefined || (caller.apis.size > 0 && !caller.apis.has(key.api))) throw keyNotFound();
    return key;
  }

  async function readTarget(
    target: RevokeKeyInput["target"],
    caller: Caller,
    deadline: Deadline,
  ): Promise<KeyRecord> {
    if ("keyId" in target) return read(target.keyId, caller, deadline);
    const digest = secretDigest(target.key);
    const key = await keys.findByDigest(digest, deadline);
    if (key === undefined || (caller.apis.size > 0 && !caller.apis.has(key.api))) throw keyNotFound();
    // An old secret whose overlap has ended is nobody's any more, and must not end the new one.
    if (key.digest !== digest && (key.previousExpireTimeMs ?? 0) <= nowMs()) throw keyNotFound();
    return key;
  }

  /**
   * Changes a key: reads it, asks `patchOf` for the change (undefined: it is as wanted already), and
   * stores that if nobody changed the key meanwhile, else again from the start.
   */
  async function change(options: {
    read: () => Promise<KeyRecord>;
    patchOf: (key: KeyRecord) => Promise<KeyPatch | undefined>;
    claim: RequestClaim | undefined;
    audit: Omit<AuditEntry, "detail">;
    deadline: Deadline;
  }): Promise<KeyRecord> {
    for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
      const key = await options.read();
      const patch = await options.patchOf(key);
      if (patch === undefined) {
        forget(key);
        return key;
      }
      const result = await keys.update(key.id, {
        revision: key.revision,
        patch,
        claim: options.claim,
        audit: { ...options.audit, detail: { key_id: key.id, api: key.api, fields: changedFields(patch) } },
        deadline: options.deadline,
      });
      if (result === "missing") throw keyNotFound();
      if (result === "conflict") continue;
      if ("usedBy" in result) throw requestIdUsed(result.usedBy);
      return result.record;
    }
    throw new TollgateError("aborted", "The key was changed at the same time by other calls; try again.", {
      reason: "KEY_CHANGED",
    });
  }

  /** Before anything else of a repeat is judged: the first call has changed what the judgement is of. */
  async function checkUnclaimed(claim: RequestClaim | undefined, deadline: Deadline): Promise<void> {
    const usedBy = claim === undefined ? undefined : await keys.claimedBy(claim, deadline);
    if (usedBy !== undefined) throw requestIdUsed(usedBy);
  }

  /**
   * Whether the actor may manage such keys: by his role in the workspace that they are bound to; those that are
   * bound to none are their creator's. Without an actor, only for callers with "admin".
   */
  async function checkActor(key: KeySelection, actorUserId: string, context: CallContext): Promise<void> {
    if (actorUserId === "") {
      if (context.caller.grants.has("admin")) return;
      throw new TollgateError("permission_denied", 'Name actor_user_id, or call with the grant "admin".', {
        reason: "ACTOR_REQUIRED",
      });
    }
    if (key.workspaceId === "") {
      if (key.createdBy === actorUserId) return;
      throw denied(
        "ROLE_INSUFFICIENT",
        "A key that is bound to no workspace is managed by its creator only.",
      );
    }
    const policy = policyByName(policies(), key.api);
    const member = await directory.getMember(
      policy.directory,
      key.workspaceId,
      actorUserId,
      context.deadline,
    );
    if (member === undefined)
      throw denied("NOT_A_MEMBER", "The actor is not a member of the key's workspace.");
    const manages = policy.roles.get(member.role)?.managesKeys ?? "none";
    if (manages === "workspace" || (manages === "own" && key.createdBy === actorUserId)) return;
    throw denied("ROLE_INSUFFICIENT", `The role "${member.role}" may not manage this key.`);
  }

  /** Who adds to a key, and where: the actor, else the key's creator. Undefined for keys bound to no workspace. */
  async function addingContext(
    key: KeyRecord,
    actorUserId: string,
    context: CallContext,
  ): Promise<CreationContext | undefined> {
    if (key.workspaceId === "") return undefined;
    const policy = policyByName(policies(), key.api);
    const workspace = await directory.getWorkspace(policy.directory, key.workspaceId, context.deadline);
    if (workspace === undefined) throw workspaceNotFound();
    const adder = actorUserId === "" ? key.createdBy : actorUserId;
    const member = await directory.getMember(policy.directory, key.workspaceId, adder, context.deadline);
    return { policy, workspace, member, nowMs: nowMs() };
  }

  async function actingRole(
    key: KeyRecord,
    options: { policy: Policy; type: KeyType; context: CallContext },
  ): Promise<Role | undefined> {
    const { policy, type, context } = options;
    if (type.actsAs === "workspace") return undefined;
    if (type.actsAs === "service_account") return policy.roles.get(key.role);
    const owner: MemberRecord | undefined = await directory.getMember(
      policy.directory,
      key.workspaceId,
      key.userId,
      context.deadline,
    );
    const role = policy.roles.get(owner?.role ?? "");
    if (role === undefined) throw denied("NOT_A_MEMBER", "The key's owner has no role in its workspace.");
    return role;
  }

  /** A rotation hands out a secret: nobody gets one that may do more than he may himself. */
  async function checkMayHold(key: KeyRecord, actorUserId: string, context: CallContext): Promise<void> {
    if (actorUserId === "" || actorUserId === key.createdBy || key.workspaceId === "") return;
    const policy = policyByName(policies(), key.api);
    const type = policy.keyTypes.get(key.type);
    const acting = type && (await actingRole(key, { policy, type, context }));
    const actor = await directory.getMember(policy.directory, key.workspaceId, actorUserId, context.deadline);
    const role = policy.roles.get(actor?.role ?? "");
    if (acting !== undefined && role !== undefined) checkRoleWithin(acting, role);
  }

  async function patchOfChanges(
    key: KeyRecord,
    input: UpdateKeyInput,
    context: CallContext,
  ): Promise<KeyPatch> {
    await checkActor(key, input.actorUserId, context);
    if (key.revokeTimeMs !== undefined) throw keyRevoked();
    const { changes } = input;
    if (changes.name === "") throw invalidField("key.name", "must not be empty");
    if (changes.allowedCidrs !== undefined) checkAddressRanges(changes.allowedCidrs);
    const patch: { -readonly [Field in keyof KeyPatch]: KeyPatch[Field] } = { ...changes };
    if (changes.scopes === undefined && !("expireTimeMs" in changes)) return patch;

    const policy = policyByName(policies(), key.api);
    const type = policy.keyTypes.get(key.type);
    if (type === undefined) throw typeDropped(key.type);
    const adding = await addingContext(key, input.actorUserId, context);
    if (changes.scopes !== undefined) {
      const scopes = splitScopes(changes.scopes);
      checkSelection(policy, type, scopes);
      const added = scopes.filter((scope) => !key.scopes.includes(scope));
      if (added.length > 0 && adding !== undefined) {
        checkAddedScopes(adding, {
          type,
          added,
          actingRole: await actingRole(key, { policy, type, context }),
        });
      }
      patch.scopes = scopes;
    }
    if ("expireTimeMs" in changes) {
      const expireTimeMs = checkExpiry(type, changes.expireTimeMs, nowMs());
      const isLater = (expireTimeMs ?? Infinity) > (key.expireTimeMs ?? Infinity);
      if (isLater && adding !== undefined) checkCreator(adding);
      patch.expireTimeMs = expireTimeMs;
    }
    return patch;
  }

  return {
    async create(input, caller, deadline) {
      const policy = policyByName(policies(), input.api);
      requireApi(caller, policy.api);
      const claim = claimOf("key.create", input.requestId, caller);
      await checkUnclaimed(claim, deadline);
      const workspace = await directory.getWorkspace(policy.directory, input.workspaceId, deadline);
      if (workspace === undefined) throw workspaceNotFound();
      const member = await directory.getMember(policy.directory, input.workspaceId, input.userId, deadline);
      const now = nowMs();
      const granted = checkCreation({ policy, workspace, member, nowMs: now }, input);
      const { type } = granted;
      const secret = newSecret(type.prefix);
      const key: KeyRecord = {
        id: newId("key_"),
        api: policy.api,
        type: type.name,
        environment: type.environment,
        workspaceId: type.workspace === "bound" ? workspace.id : "",
        userId: type.actsAs === "creator" ? input.userId : "",
        createdBy: input.userId,
        role: granted.role,
        name: input.name,
        description: input.description,
        scopes: granted.scopes,
        preview: secretPreview(secret, type.prefix),
        disabled: false,
        metadata: input.metadata,
        allowedCidrs: input.allowedCidrs,
        createTimeMs: now,
        expireTimeMs: granted.expireTimeMs,
        revokeTimeMs: undefined,
        revokeReason: "",
        lastUseTimeMs: undefined,
        digest: secretDigest(secret),
        previousDigest: "",
        previousExpireTimeMs: undefined,
        previousLastUseTimeMs: undefined,
        revision: 1,
      };
      const result = await keys.create(key, {
        madeIn: { directory: policy.directory, workspaceId: workspace.id },
        claim,
        audit: {
          callerId: caller.id,
          actorUserId: input.userId,
          action: "key.create",
          detail: {
            key_id: key.id,
            api: key.api,
            type: key.type,
            workspace_id: workspace.id,
            scopes: key.scopes,
          },
        },
        deadline,
      });
      if (result === "no_workspace") throw workspaceNotFound();
      if ("usedBy" in result) throw requestIdUsed(result.usedBy);
      return { key: result.record, secret };
    },

    revoke(input, caller, deadline) {
      return change({
        read: () => readTarget(input.target, caller, deadline),
        async patchOf(key) {
          await checkActor(key, input.actorUserId, { caller, deadline });
          if (key.revokeTimeMs !== undefined) return undefined;
          return { revokeTimeMs: nowMs(), revokeReason: input.reason };
        },
        claim: undefined,
        audit: { callerId: caller.id, actorUserId: input.actorUserId, action: "key.revoke" },
        deadline,
      });
    },

    async revokeAll({ api, workspaceId, userId, reason, actorUserId }, caller, deadline) {
      if (workspaceId === "" && userId === "") {
        throw invalidField("user_id", "name a user, a workspace, or both");
      }
      const policy = policyByName(policies(), api);
      requireApi(caller, policy.api);
      const context = { caller, deadline };
      const selection = { api: policy.api, workspaceId, createdBy: userId };
      const isByWorkspaces = workspaceId === "" && actorUserId !== "";
      if (!isByWorkspaces) await checkActor(selection, actorUserId, context);
      const found = await keys.listUnrevoked(selection, MAX_REVOKED + 1, deadline);
      if (isByWorkspaces) {
        for (const bound of new Set(found.map((key) => key.workspaceId))) {
          await checkActor({ ...selection, workspaceId: bound }, actorUserId, context);
        }
      }
      // By id: of a key that was found here neither its creator nor its workspace ever changes.
      const { record: keyIds } = await keys.revokeAll(
        found.slice(0, MAX_REVOKED).map(({ id }) => id),
        {
          nowMs: nowMs(),
          reason,
          // One entry: it was one act, and each of the keys has its time and reason besides.
          auditOf: (revoked) => ({
            callerId: caller.id,
            actorUserId,
            action: "key.revoke_all",
            detail: { api: policy.api, workspace_id: workspaceId, user_id: userId, key_ids: revoked },
          }),
          deadline,
        },
      );
      return { keyIds, more: found.length > MAX_REVOKED };
    },

    async rotate(input, caller, deadline) {
      let secret = "";
      const claim = claimOf("key.rotate", input.requestId, caller);
      await checkUnclaimed(claim, deadline);
      const key = await change({
        read: () => read(input.keyId, caller, deadline),
        async patchOf(key) {
          await checkActor(key, input.actorUserId, { caller, deadline });
          await checkMayHold(key, input.actorUserId, { caller, deadline });
          const type = policyByName(policies(), key.api).keyTypes.get(key.type);
          if (type === undefined) throw typeDropped(key.type);
          const overlapMs = input.overlapMs ?? type.rotationOverlapMs;
          const now = nowMs();
          checkRotatable(key, overlapMs, now);
          secret = newSecret(type.prefix);
          return {
            digest: secretDigest(secret),
            preview: secretPreview(secret, type.prefix),
            previousDigest: key.digest,
            previousExpireTimeMs: now + overlapMs,
            previousLastUseTimeMs: undefined,
          };
        },
        claim,
        audit: { callerId: caller.id, actorUserId: input.actorUserId, action: "key.rotate" },
        deadline,
      });
      return { key, secret };
    },

    update(input, caller, deadline) {
      return change({
        read: () => read(input.keyId, caller, deadline),
        patchOf: (key) => patchOfChanges(key, input, { caller, deadline }),
        claim: undefined,
        audit: { callerId: caller.id, actorUserId: input.actorUserId, action: "key.update" },
        deadline,
      });
    },

    get: read,

    async list(input, caller, deadline) {
      const { api, workspaceId, userId, status } = input;
      if (api !== "") requireApi(caller, policyByName(policies(), api).api);
      const filter = ["keys", api, workspaceId, userId, status ?? ""];
      const page = await keys.list(
        {
          apis: api === "" ? [...caller.apis] : [api],
          workspaceId,
          createdBy: userId,
          status,
          nowMs: nowMs(),
        },
        { size: pageSizeOf(input.pageSize), after: positionOf(input.pageToken, filter) },
        deadline,
      );
      return { keys: page.records, nextPageToken: pageTokenOf(page.next, filter) };
    },
  };
}

/** A key's status at a time: a revoked one stays revoked, whatever else it is. */
export function keyStatus(key: KeyRecord, nowMs: number): KeyStatus {
  if (key.revokeTimeMs !== undefined) return "revoked";
  if (key.expireTimeMs !== undefined && key.expireTimeMs <= nowMs) return "expired";
  return key.disabled ? "disabled" : "active";
}

interface CallContext {
  readonly caller: Caller;
  readonly deadline: Deadline;
}

/** Two secrets at most: one whose overlap still runs would be cut off by another rotation, so that is asked for. */
function checkRotatable(key: KeyRecord, overlapMs: number, nowMs: number): void {
  if (key.revokeTimeMs !== undefined) throw keyRevoked();
  if (keyStatus(key, nowMs) === "expired") {
    throw new TollgateError("failed_precondition", "The key has expired; give it a later expiry first.", {
      reason: "KEY_EXPIRED",
    });
  }
  if (overlapMs > 0 && key.previousExpireTimeMs !== undefined && key.previousExpireTimeMs > nowMs) {
    const until = new Date(key.previousExpireTimeMs).toISOString();
    throw new TollgateError(
      "failed_precondition",
      `The old secret of the last rotation works until ${until}; wait, or rotate with overlap 0s, which ends both.`,
      { reason: "ROTATION_IN_PROGRESS", metadata: { previous_secret_expire_time: until } },
    );
  }
}

function claimOf(
  operation: RequestClaim["operation"],
  requestId: string,
  caller: Caller,
): RequestClaim | undefined {
  return requestId === "" ? undefined : { callerId: caller.id, operation, requestId };
}

/** The names of what a patch changes, without digests. */
function changedFields(patch: KeyPatch): readonly string[] {
  return Object.keys(patch)
    .filter((field) => field !== "digest" && field !== "previousDigest")
    .sort();
}

export function keyNotFound(): TollgateError {
  return new TollgateError("not_found", "There is no such key.", { reason: "KEY_UNKNOWN" });
}

function keyRevoked(): TollgateError {
  return new TollgateError("failed_precondition", "The key is revoked, for good.", { reason: "KEY_REVOKED" });
}

function typeDropped(type: string): TollgateError {
  return new TollgateError("failed_precondition", `The policy has no key type "${type}" any more.`, {
    reason: "KEY_TYPE_UNKNOWN",
    metadata: { type },
  });
}

export function workspaceNotFound(): TollgateError {
  return new TollgateError("not_found", "There is no such workspace.", { reason: "WORKSPACE_UNKNOWN" });
}

function requestIdUsed(keyId: string): TollgateError {
  return new TollgateError("already_exists", `The request_id was used before, for key ${keyId}.`, {
    reason: "REQUEST_ID_USED",
    metadata: { key_id: keyId },
  });
}
