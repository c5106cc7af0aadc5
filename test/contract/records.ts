import { randomBytes } from "node:crypto";
import type { MemberFields, WorkspaceFields } from "../../src/core/ports.ts";
import type { AuditEntry, CallerTokenRecord, KeyRecord } from "../../src/core/records.ts";

/** Long enough for any machine: the suites ask what is done, not how fast. */
export function soon(): number {
  return performance.now() + 20_000;
}

/** Of its own for each test, so that tests can share a database. */
export function unique(prefix: string): string {
  return `${prefix}_${randomBytes(8).toString("hex")}`;
}

export function digest(): string {
  return randomBytes(32).toString("hex");
}

export const audit: AuditEntry = {
  callerId: "ct_test",
  actorUserId: "user-1",
  action: "test",
  detail: { text: "a", number: 1, flag: true, list: ["b"] },
};

export function keyRecord(fields: Partial<KeyRecord> = {}): KeyRecord {
  return {
    id: unique("key"),
    api: "retrac",
    type: "restricted",
    environment: "live",
    workspaceId: "",
    userId: "user-1",
    createdBy: "user-1",
    role: "",
    name: "name",
    description: "",
    scopes: [],
    preview: "retrac_…abcd",
    disabled: false,
    metadata: {},
    allowedCidrs: [],
    createTimeMs: 1_700_000_000_000,
    expireTimeMs: undefined,
    revokeTimeMs: undefined,
    revokeReason: "",
    lastUseTimeMs: undefined,
    digest: digest(),
    previousDigest: "",
    previousExpireTimeMs: undefined,
    previousLastUseTimeMs: undefined,
    revision: 1,
    ...fields,
  };
}

export function workspaceFields(fields: Partial<WorkspaceFields> = {}): WorkspaceFields {
  return { name: "Name", plan: "pro", features: [], withheldScopes: [], suspended: false, ...fields };
}

export function memberFields(fields: Partial<MemberFields> = {}): MemberFields {
  return { role: "member", allLocations: true, locationIds: [], ...fields };
}

export function callerTokenRecord(fields: Partial<CallerTokenRecord> = {}): CallerTokenRecord {
  return {
    id: unique("ct"),
    name: "sidecar",
    grants: ["check"],
    apis: [],
    digest: digest(),
    createTimeMs: 1_700_000_000_000,
    expireTimeMs: undefined,
    revokeTimeMs: undefined,
    ...fields,
  };
}
