import type { Caller } from "./callers.ts";
import { chargesFor, pointsStates } from "./charges.ts";
import type { PointsState } from "./decision.ts";
import { invalidField, storeUnavailable } from "./errors.ts";
import { keyNotFound, workspaceNotFound } from "./keys.ts";
import { type PolicySet, policyByName } from "./policy-set.ts";
import type { AuditLog, BucketCorrections, BucketStore, Charge, Deadline, RightsSource } from "./ports.ts";
import type { KeyRecord } from "./records.ts";
import { secretDigest } from "./secret.ts";

export interface PointsSubject {
  readonly key: { readonly secret: string } | { readonly keyId: string };
  /** Of keys that are not bound to one; empty: none. */
  readonly workspaceId: string;
  /** Empty: all that apply. */
  readonly limitName: string;
}

/** For the audit log. */
export interface PointsOrder {
  readonly reason: string;
  readonly actorUserId: string;
}

export interface ShownPoints {
  readonly api: string;
  readonly keyId: string;
  readonly workspaceId: string;
  /** In the policy's order. */
  readonly limits: readonly PointsState[];
}

export interface GrantedPoints extends ShownPoints {
  /** One a limit. */
  readonly given: readonly number[];
}

/** What people do about points. Everything is as in the proto's PointsService; errors are TollgateErrors. */
export interface Points {
  show(subject: PointsSubject, caller: Caller, deadline: Deadline): Promise<ShownPoints>;
  reset(input: PointsSubject & PointsOrder, caller: Caller, deadline: Deadline): Promise<ShownPoints>;
  grant(
    input: PointsSubject & PointsOrder & { readonly points: number; readonly requestId: string },
    caller: Caller,
    deadline: Deadline,
  ): Promise<GrantedPoints>;
}

export interface PointsDependencies {
  readonly policies: () => PolicySet;
  readonly rights: Pick<RightsSource, "keyByDigest" | "keyById" | "workspace">;
  /** Without what an outage would have it decide by itself. */
  readonly buckets: BucketStore & BucketCorrections;
  readonly audit: AuditLog;
  /** Milliseconds since the epoch, for the overlap of old secrets. */
  readonly nowMs: () => number;
}

/** A key's buckets, those of the named limit or all. */
interface Found {
  readonly key: KeyRecord;
  readonly workspaceId: string;
  readonly charges: readonly Charge[];
}

export function createPoints({ policies, rights, buckets, audit, nowMs }: PointsDependencies): Points {
  async function findKey(key: PointsSubject["key"], caller: Caller, deadline: Deadline): Promise<KeyRecord> {
    const digest = "secret" in key ? secretDigest(key.secret) : "";
    const found =
      "secret" in key
        ? await rights.keyByDigest(digest, deadline)
        : await rights.keyById(key.keyId, deadline);
    if (found === undefined || (caller.apis.size > 0 && !caller.apis.has(found.api))) throw keyNotFound();
    const isOld = "secret" in key && found.digest !== digest;
    if (isOld && (found.previousExpireTimeMs ?? 0) <= nowMs()) throw keyNotFound();
    return found;
  }

  async function find(
    subject: PointsSubject,
    { caller, cost, deadline }: { caller: Caller; cost: number; deadline: Deadline },
  ): Promise<Found> {
    const key = await findKey(subject.key, caller, deadline);
    const policy = policyByName(policies(), key.api);
    if (key.workspaceId !== "" && subject.workspaceId !== "" && subject.workspaceId !== key.workspaceId) {
      throw invalidField("subject.workspace_id", "is not the workspace that the key is bound to");
    }
    const workspaceId = key.workspaceId === "" ? subject.workspaceId : key.workspaceId;
    const workspace =
      workspaceId === "" ? undefined : await rights.workspace(policy.directory, workspaceId, deadline);
    if (workspaceId !== "" && workspace === undefined) throw workspaceNotFound();
    const { limitName } = subject;
    const charges = chargesFor(policy, { key, workspace, cost }).filter(
      ({ limit }) => limitName === "" || limit.name === limitName,
    );
    if (limitName !== "" && charges.length === 0) {
      throw invalidField("limit_name", "no limit of this name applies to the key");
    }
    return { key, workspaceId, charges };
  }

  async function stateOf({ key, workspaceId, charges }: Found, deadline: Deadline): Promise<ShownPoints> {
    const limits = charges.length === 0 ? [] : await peek(charges, deadline);
    return { api: key.api, keyId: key.id, workspaceId, limits };
  }

  async function peek(charges: readonly Charge[], deadline: Deadline): Promise<readonly PointsState[]> {
    const free = charges.map((charge) => ({ ...charge, cost: 0 }));
    const answer = await buckets.take(
      { charges: free, mode: "peek", requestId: "", onOutage: "deny" },
      deadline,
    );
    if (answer.outcome === "unavailable") throw storeUnavailable("redis", new Error("nothing was looked at"));
    return pointsStates(free, answer);
  }

  /** Before anything is given back: so nothing ever is that is not in the log. */
  async function writeAudit(
    { key, workspaceId, charges }: Found,
    options: {
      action: "points.reset" | "points.grant";
      order: PointsOrder;
      more?: Readonly<Record<string, string | number>>;
      caller: Caller;
      deadline: Deadline;
    },
  ): Promise<void> {
    const { action, order, more = {}, caller, deadline } = options;
    const limits = charges.map(({ limit }) => limit.name);
    await audit.write(
      {
        callerId: caller.id,
        actorUserId: order.actorUserId,
        action,
        detail: {
          key_id: key.id,
          api: key.api,
          workspace_id: workspaceId,
          limits,
          reason: order.reason,
          ...more,
        },
      },
      deadline,
    );
  }

  return {
    async show(subject, caller, deadline) {
      return stateOf(await find(subject, { caller, cost: 0, deadline }), deadline);
    },

    async reset(input, caller, deadline) {
      const found = await find(input, { caller, cost: 0, deadline });
      await writeAudit(found, { action: "points.reset", order: input, caller, deadline });
      const { charges } = found;
      if (charges.length > 0) await buckets.giveBack({ charges, what: "all", requestId: "" }, deadline);
      return stateOf(found, deadline);
    },

    async grant(input, caller, deadline) {
      const { points, requestId } = input;
      const found = await find(input, { caller, cost: points, deadline });
      const more = { points, request_id: requestId };
      await writeAudit(found, { action: "points.grant", order: input, more, caller, deadline });
      const { charges } = found;
      const given =
        charges.length === 0
          ? []
          : await buckets.giveBack(
              {
                charges,
                what: "cost",
                requestId: requestId === "" ? "" : `${caller.id}\ngrant\n${requestId}`,
              },
              deadline,
            );
      return { ...(await stateOf(found, deadline)), given };
    },
  };
}
