import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKey, type JsonApi, succeed } from "../support/json-api.ts";
import { reapFolder } from "../support/reaper.ts";
import type { ChangeKind } from "./history.ts";

/** A workspace with one member, his key, and the caller token that asks about it. All is there unless it was taken. */
export interface Subject {
  readonly name: string;
  keyId: string;
  secret: string;
  tokenId: string;
  token: string;
}

/** One thing that is taken from a subject, and how it is given back. */
export interface Taking {
  /** What is of no use after it. */
  readonly credential: string;
  /** Safe to ask again, of any replica, when it is not known whether it was done. */
  take(call: JsonApi): Promise<unknown>;
  giveBack(call: JsonApi): Promise<unknown>;
  /** When it comes into force by itself, on the wall clock; undefined: with its answer. */
  readonly effectiveMs?: number;
}

const directory = "revocation";
const scopes = ["items.read", "items.write"];
const FAR = "2100-01-01T00:00:00Z";
/** Ahead of now: longer than a call takes. */
const EXPIRY_MS = 300;

const policy = `api: ${directory}
https: any
plans: [free, business]
requires: {plan: business}
permissions: {items.read: 1, items.write: 1}
roles:
  admin: {permissions: ["*"], creates_keys: true, manages_keys: workspace}
  viewer: {permissions: []}
scopes: {items.read: {}, items.write: {}}
key_types:
  restricted: {prefix: revocation_, workspace: bound, scopes: selected, acts_as: creator}
limits:
  - {name: plenty, per: key, points: 1000000, window: 1s}
`;

/** A folder with the policy of all subjects; it goes when this process ends. */
export function writePolicy(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-revocation-"));
  reapFolder(folder);
  writeFileSync(join(folder, `${directory}.yaml`), policy);
  return folder;
}

export async function createSubject(call: JsonApi, name: string): Promise<Subject> {
  const subject: Subject = { name, keyId: "", secret: "", tokenId: "", token: "" };
  await putWorkspace(call, name);
  await putMember(call, name);
  await renewKey(call, subject);
  await renewToken(call, subject);
  return subject;
}

export function takingOf(kind: ChangeKind, subject: Subject): Taking {
  const { name, keyId, secret } = subject;
  const workspace = (fields: object) => (call: JsonApi) => putWorkspace(call, name, fields);
  const update = (key: object, paths: string) => (call: JsonApi) =>
    succeed(call("UpdateKey", { key: { id: keyId, ...key }, updateMask: paths }));
  const anew = (call: JsonApi) => renewKey(call, subject);
  switch (kind) {
    case "RevokeKey":
      return { credential: secret, take: (call) => succeed(call("RevokeKey", { keyId })), giveBack: anew };
    case "UpdateKey disabled":
      return {
        credential: secret,
        take: update({ status: "KEY_STATUS_DISABLED" }, "status"),
        giveBack: update({ status: "KEY_STATUS_ACTIVE" }, "status"),
      };
    case "UpdateKey scopes":
      return {
        credential: secret,
        take: update({ scopes: ["items.write"] }, "scopes"),
        giveBack: update({ scopes }, "scopes"),
      };
    case "UpdateKey expiry": {
      const effectiveMs = Date.now() + EXPIRY_MS;
      const early = update({ expireTime: new Date(effectiveMs).toISOString() }, "expireTime");
      return {
        credential: secret,
        // Asked again too late, its time has passed: what was asked for holds by then, or was never stored.
        take: (call) =>
          Date.now() < effectiveMs ? early(call) : update({ status: "KEY_STATUS_DISABLED" }, "status")(call),
        giveBack: async (call) => {
          await update({ expireTime: FAR, status: "KEY_STATUS_ACTIVE" }, "expireTime,status")(call);
        },
        effectiveMs,
      };
    }
    case "RotateKey":
      return {
        credential: secret,
        async take(call) {
          const { body } = await succeed(call("RotateKey", { keyId, overlap: "0s" }));
          subject.secret = body.secret;
        },
        giveBack: async () => {},
      };
    case "PutMember role":
      return {
        credential: secret,
        take: (call) => putMember(call, name, "viewer"),
        giveBack: (call) => putMember(call, name),
      };
    case "RemoveMember":
      return {
        credential: secret,
        take: (call) =>
          succeed(call("DirectoryService/RemoveMember", { directory, workspaceId: name, userId: "ann" })),
        giveBack: (call) => putMember(call, name),
      };
    case "PutWorkspace plan":
      return { credential: secret, take: workspace({ plan: "free" }), giveBack: workspace({}) };
    case "PutWorkspace withheld":
      return {
        credential: secret,
        take: workspace({ withheldScopes: ["items.read"] }),
        giveBack: workspace({}),
      };
    case "PutWorkspace suspended":
      return { credential: secret, take: workspace({ suspended: true }), giveBack: workspace({}) };
    case "DeleteWorkspace":
      return {
        credential: secret,
        take: (call) => succeed(call("DirectoryService/DeleteWorkspace", { directory, workspaceId: name })),
        async giveBack(call) {
          await putWorkspace(call, name);
          await putMember(call, name);
          await renewKey(call, subject);
        },
      };
    case "RevokeCallerToken":
      return {
        credential: subject.token,
        take: (call) => succeed(call("CallerService/RevokeCallerToken", { callerTokenId: subject.tokenId })),
        giveBack: (call) => renewToken(call, subject),
      };
  }
}

async function putWorkspace(call: JsonApi, id: string, fields: object = {}): Promise<void> {
  const workspace = { directory, id, plan: "business", withheldScopes: [], suspended: false, ...fields };
  await succeed(call("DirectoryService/PutWorkspace", { workspace }));
}

async function putMember(call: JsonApi, workspaceId: string, role = "admin"): Promise<void> {
  const member = { directory, workspaceId, userId: "ann", role, allLocations: true };
  await succeed(call("DirectoryService/PutMember", { member }));
}

async function renewKey(call: JsonApi, subject: Subject): Promise<void> {
  const fields = { api: "revocation", type: "restricted", scopes, workspaceId: subject.name };
  const { id, secret } = await createKey(call, fields);
  subject.keyId = id;
  subject.secret = secret;
}

async function renewToken(call: JsonApi, subject: Subject): Promise<void> {
  const { body } = await succeed(
    call("CallerService/CreateCallerToken", { name: subject.name, grants: ["GRANT_CHECK"] }),
  );
  subject.tokenId = body.callerToken.id;
  subject.token = body.secret;
}
