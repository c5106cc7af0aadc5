import { type Caller, requireApi } from "./callers.ts";
import { invalidField, TollgateError } from "./errors.ts";
import { pageSizeOf, pageTokenOf, positionOf } from "./page-token.ts";
import type { Policy } from "./policy.ts";
import { type PolicySet, policiesOfDirectory } from "./policy-set.ts";
import type { Deadline, DirectoryStore, MemberFields, WorkspaceFields } from "./ports.ts";
import type { AuditEntry, MemberRecord, WorkspaceRecord } from "./records.ts";

/** Which workspace; `directory` is empty where there is only one. */
export interface WorkspaceTarget {
  readonly directory: string;
  readonly workspaceId: string;
}

export interface MemberTarget extends WorkspaceTarget {
  readonly userId: string;
}

/** A change of a record. `replace`: the whole, unnamed fields are emptied; else only what `fields` names. */
export interface RecordChange<Fields> {
  readonly fields: Partial<Fields>;
  readonly replace: boolean;
  /** The host's version; 0n: none. */
  readonly sourceVersion: bigint;
}

export interface PageInput {
  /** 0: the default. */
  readonly pageSize: number;
  readonly pageToken: string;
}

/** Workspaces and members. Everything is as in the proto's DirectoryService; errors are TollgateErrors. */
export interface Directory {
  putWorkspace(
    input: WorkspaceTarget & RecordChange<WorkspaceFields>,
    caller: Caller,
    deadline: Deadline,
  ): Promise<WorkspaceRecord>;
  getWorkspace(input: WorkspaceTarget, caller: Caller, deadline: Deadline): Promise<WorkspaceRecord>;
  listWorkspaces(
    input: { directory: string } & PageInput,
    caller: Caller,
    deadline: Deadline,
  ): Promise<{ workspaces: readonly WorkspaceRecord[]; nextPageToken: string }>;
  deleteWorkspace(input: WorkspaceTarget, caller: Caller, deadline: Deadline): Promise<void>;
  putMember(
    input: MemberTarget & RecordChange<MemberFields>,
    caller: Caller,
    deadline: Deadline,
  ): Promise<MemberRecord>;
  getMember(input: MemberTarget, caller: Caller, deadline: Deadline): Promise<MemberRecord>;
  listMembers(
    input: WorkspaceTarget & PageInput,
    caller: Caller,
    deadline: Deadline,
  ): Promise<{ members: readonly MemberRecord[]; nextPageToken: string }>;
  removeMember(
    input: MemberTarget & { sourceVersion: bigint },
    caller: Caller,
    deadline: Deadline,
  ): Promise<void>;
}

export interface DirectoryDependencies {
  readonly policies: () => PolicySet;
  readonly store: DirectoryStore;
  readonly nowMs: () => number;
}

const NO_WORKSPACE_FIELDS: WorkspaceFields = {
  name: "",
  plan: "",
  features: [],
  withheldScopes: [],
  suspended: false,
};
const NO_MEMBER_FIELDS: MemberFields = { role: "", allLocations: false, locationIds: [] };

export function createDirectory(dependencies: DirectoryDependencies): Directory {
  const { store, nowMs } = dependencies;

  /** The directory's name and policies; a caller limited to some apis needs all that share it. */
  function open(name: string, caller: Caller): { directory: string; policies: readonly Policy[] } {
    const policies = policiesOfDirectory(dependencies.policies(), name);
    for (const policy of policies) requireApi(caller, policy.api);
    return { directory: (policies[0] as Policy).directory, policies };
  }

  return {
    async putWorkspace(input, caller, deadline) {
      const { directory, policies } = open(input.directory, caller);
      const result = await store.putWorkspace(
        { directory, workspaceId: input.workspaceId },
        {
          sourceVersion: input.sourceVersion,
          next(stored) {
            if (stored === undefined && !input.replace) throw workspaceNotFound();
            const base = input.replace ? NO_WORKSPACE_FIELDS : workspaceFields(stored as WorkspaceRecord);
            const fields = { ...base, ...input.fields };
            checkWorkspace(policies, fields, stored);
            return fields;
          },
          audit: auditOf(caller, "workspace.put", {
            directory,
            workspace_id: input.workspaceId,
            fields: Object.keys(input.fields).sort(),
          }),
          deadline,
        },
      );
      if (result === "stale") throw staleVersion();
      return result.record;
    },

    async getWorkspace(input, caller, deadline) {
      const { directory } = open(input.directory, caller);
      const workspace = await store.getWorkspace(directory, input.workspaceId, deadline);
      if (workspace === undefined) throw workspaceNotFound();
      return workspace;
    },

    async listWorkspaces(input, caller, deadline) {
      const { directory } = open(input.directory, caller);
      const filter = ["workspaces", directory];
      const page = await store.listWorkspaces(
        directory,
        { size: pageSizeOf(input.pageSize), after: positionOf(input.pageToken, filter) },
        deadline,
      );
      return { workspaces: page.records, nextPageToken: pageTokenOf(page.next, filter) };
    },

    async deleteWorkspace(input, caller, deadline) {
      const { directory, policies } = open(input.directory, caller);
      const { workspaceId } = input;
      await store.deleteWorkspace(
        { directory, workspaceId },
        {
          apis: policies.map((policy) => policy.api),
          revokeReason: "The workspace was deleted.",
          nowMs: nowMs(),
          audit: auditOf(caller, "workspace.delete", { directory, workspace_id: workspaceId }),
          deadline,
        },
      );
    },

    async putMember(input, caller, deadline) {
      const { directory, policies } = open(input.directory, caller);
      const { workspaceId, userId } = input;
      const result = await store.putMember(
        { directory, workspaceId, userId },
        {
          sourceVersion: input.sourceVersion,
          next(stored) {
            if (stored === undefined && !input.replace) throw memberNotFound();
            const base = input.replace ? NO_MEMBER_FIELDS : memberFields(stored as MemberRecord);
            const fields = { ...base, ...input.fields };
            checkMember(policies, fields, stored);
            return fields;
          },
          audit: auditOf(caller, "member.put", {
            directory,
            workspace_id: workspaceId,
            user_id: userId,
            fields: Object.keys(input.fields).sort(),
          }),
          deadline,
        },
      );
      if (result === "stale") throw staleVersion();
      if (result === "no_workspace") throw workspaceNotFound();
      return result.record;
    },

    async getMember(input, caller, deadline) {
      const { directory } = open(input.directory, caller);
      const member = await store.getMember(directory, input.workspaceId, input.userId, deadline);
      if (member === undefined) throw memberNotFound();
      return member;
    },

    async listMembers(input, caller, deadline) {
      const { directory } = open(input.directory, caller);
      const filter = ["members", directory, input.workspaceId];
      const page = await store.listMembers(
        directory,
        input.workspaceId,
        { size: pageSizeOf(input.pageSize), after: positionOf(input.pageToken, filter) },
        deadline,
      );
      return { members: page.records, nextPageToken: pageTokenOf(page.next, filter) };
    },

    async removeMember(input, caller, deadline) {
      const { directory } = open(input.directory, caller);
      const { workspaceId, userId } = input;
      const result = await store.removeMember(
        { directory, workspaceId, userId },
        {
          sourceVersion: input.sourceVersion,
          audit: auditOf(caller, "member.remove", { directory, workspace_id: workspaceId, user_id: userId }),
          deadline,
        },
      );
      if (result === "stale") throw staleVersion();
    },
  };
}

/** What is new must be known to a policy of the directory; what was stored before and dropped since may stay. */
function checkWorkspace(
  policies: readonly Policy[],
  fields: WorkspaceFields,
  stored: WorkspaceRecord | undefined,
): void {
  const plans = policies.flatMap((policy) => policy.plans);
  const isKnown = fields.plan === "" || fields.plan === stored?.plan || plans.length === 0;
  if (!isKnown && !plans.includes(fields.plan)) {
    throw invalidField("workspace.plan", `must be one of ${[...new Set(plans)].join(", ")}`);
  }
  for (const [index, scope] of fields.withheldScopes.entries()) {
    const wasStored = stored?.withheldScopes.includes(scope) === true;
    if (!wasStored && !policies.some((policy) => policy.scopes.has(scope))) {
      throw invalidField(`workspace.withheld_scopes[${index}]`, `there is no scope ${JSON.stringify(scope)}`);
    }
  }
}

function checkMember(
  policies: readonly Policy[],
  fields: MemberFields,
  stored: MemberRecord | undefined,
): void {
  const roles = new Set(policies.flatMap((policy) => [...policy.roles.keys()]));
  if (fields.role !== stored?.role && !roles.has(fields.role)) {
    throw invalidField("member.role", `must be one of ${[...roles].join(", ")}`);
  }
  const usesLocations = policies.some((policy) => policy.usesLocations);
  if (usesLocations && !fields.allLocations && fields.locationIds.length === 0) {
    throw invalidField("member.location_ids", "name at least one location, or set all_locations");
  }
  // The service behind a gateway reads it as all of them.
  const all = fields.locationIds.indexOf("*");
  if (all !== -1) throw invalidField(`member.location_ids[${all}]`, 'write all_locations for "*"');
}

function workspaceFields(record: WorkspaceRecord): WorkspaceFields {
  const { name, plan, features, withheldScopes, suspended } = record;
  return { name, plan, features, withheldScopes, suspended };
}

function memberFields(record: MemberRecord): MemberFields {
  const { role, allLocations, locationIds } = record;
  return { role, allLocations, locationIds };
}

function auditOf(caller: Caller, action: string, detail: AuditEntry["detail"]): AuditEntry {
  return { callerId: caller.id, actorUserId: "", action, detail };
}

function workspaceNotFound(): TollgateError {
  return new TollgateError("not_found", "There is no such workspace.", { reason: "WORKSPACE_UNKNOWN" });
}

function memberNotFound(): TollgateError {
  return new TollgateError("not_found", "There is no such member.", { reason: "MEMBER_UNKNOWN" });
}

function staleVersion(): TollgateError {
  return new TollgateError("failed_precondition", "A newer source_version is stored already.", {
    reason: "SOURCE_VERSION_STALE",
  });
}
