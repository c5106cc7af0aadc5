import type { DescMethodUnary, JsonObject } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { CallerTokenRecord, MemberRecord, WorkspaceRecord } from "../../src/core/records.ts";
import { CallerService } from "../../src/gen/tollgate/v1/caller_service_pb.ts";
import { DirectoryService } from "../../src/gen/tollgate/v1/directory_service_pb.ts";
import { answerOf, bearer, failureFrom, protocols } from "./clients.ts";
import { NOW_MS, startTestServer, type TestServer } from "./test-server.ts";

const workspace: WorkspaceRecord = {
  directory: "retrac",
  id: "w1",
  name: "Shop",
  plan: "business",
  features: ["api"],
  withheldScopes: ["tags.write"],
  suspended: false,
  sourceVersion: 7n,
  revision: 3,
};
const member: MemberRecord = {
  directory: "retrac",
  workspaceId: "w1",
  userId: "u1",
  role: "owner",
  allLocations: false,
  locationIds: ["l1"],
  sourceVersion: 7n,
  revision: 3,
};
const token: CallerTokenRecord = {
  id: "ct_1",
  name: "sidecar",
  grants: ["check", "consume", "keys", "directory", "admin"],
  apis: ["retrac"],
  digest: "d".repeat(64),
  createTimeMs: NOW_MS,
  expireTimeMs: NOW_MS + 1000,
  revokeTimeMs: undefined,
};

const workspaceAnswer = {
  directory: "retrac",
  id: "w1",
  name: "Shop",
  plan: "business",
  features: ["api"],
  withheldScopes: ["tags.write"],
  suspended: false,
};
const memberAnswer = {
  directory: "retrac",
  workspaceId: "w1",
  userId: "u1",
  role: "owner",
  allLocations: false,
  locationIds: ["l1"],
};
const tokenAnswer = {
  id: "ct_1",
  name: "sidecar",
  grants: ["GRANT_CHECK", "GRANT_CONSUME", "GRANT_KEYS", "GRANT_DIRECTORY", "GRANT_ADMIN"],
  apis: ["retrac"],
  createTime: "2026-11-22T12:00:00Z",
  expireTime: "2026-11-22T12:00:01Z",
};

let server: TestServer;
let asked: [string, unknown][] = [];

beforeAll(async () => {
  const answers = (name: string, answer: unknown) => async (input: unknown) => {
    asked.push([name, input]);
    return answer as never;
  };
  server = await startTestServer({
    directory: {
      putWorkspace: answers("putWorkspace", workspace),
      getWorkspace: answers("getWorkspace", workspace),
      listWorkspaces: answers("listWorkspaces", { workspaces: [workspace], nextPageToken: "n" }),
      deleteWorkspace: answers("deleteWorkspace", undefined),
      putMember: answers("putMember", member),
      getMember: answers("getMember", member),
      listMembers: answers("listMembers", { members: [member], nextPageToken: "" }),
      removeMember: answers("removeMember", undefined),
    },
    callerTokens: {
      create: answers("create", { token, secret: "tgc_once" }),
      list: answers("list", { tokens: [token], nextPageToken: "n" }),
      revoke: answers("revoke", { ...token, revokeTimeMs: NOW_MS }),
    },
  });
});
beforeEach(() => {
  asked = [];
});
afterAll(() => server.stop());

const directory = DirectoryService.method;
const callers = CallerService.method;
const target = { directory: "retrac", workspaceId: "w1" };

const rows: [string, DescMethodUnary, JsonObject, [string, unknown], JsonObject][] = [
  [
    "PutWorkspace without a mask replaces the whole",
    directory.putWorkspace,
    { workspace: { id: "w1", name: "Shop", plan: "pro" }, sourceVersion: "7" },
    [
      "putWorkspace",
      {
        directory: "",
        workspaceId: "w1",
        fields: { name: "Shop", plan: "pro", features: [], withheldScopes: [], suspended: false },
        replace: true,
        sourceVersion: 7n,
      },
    ],
    { workspace: workspaceAnswer },
  ],
  [
    "PutWorkspace with an empty mask replaces the whole",
    directory.putWorkspace,
    { workspace: { id: "w1", suspended: true }, updateMask: "" },
    [
      "putWorkspace",
      {
        directory: "",
        workspaceId: "w1",
        fields: { name: "", plan: "", features: [], withheldScopes: [], suspended: true },
        replace: true,
        sourceVersion: 0n,
      },
    ],
    { workspace: workspaceAnswer },
  ],
  [
    "PutWorkspace with a mask sets the named fields only",
    directory.putWorkspace,
    {
      workspace: { ...workspaceAnswer, suspended: true },
      updateMask: "suspended,withheldScopes",
      sourceVersion: "9223372036854775807",
    },
    [
      "putWorkspace",
      {
        ...target,
        fields: { withheldScopes: ["tags.write"], suspended: true },
        replace: false,
        sourceVersion: 2n ** 63n - 1n,
      },
    ],
    { workspace: workspaceAnswer },
  ],
  ["GetWorkspace", directory.getWorkspace, target, ["getWorkspace", target], { workspace: workspaceAnswer }],
  [
    "ListWorkspaces",
    directory.listWorkspaces,
    { directory: "retrac", pageSize: 2, pageToken: "t" },
    ["listWorkspaces", { directory: "retrac", pageSize: 2, pageToken: "t" }],
    { workspaces: [workspaceAnswer], nextPageToken: "n" },
  ],
  ["DeleteWorkspace", directory.deleteWorkspace, target, ["deleteWorkspace", target], {}],
  [
    "PutMember without a mask replaces the whole",
    directory.putMember,
    { member: { workspaceId: "w1", userId: "u1", role: "owner", allLocations: true } },
    [
      "putMember",
      {
        directory: "",
        workspaceId: "w1",
        userId: "u1",
        fields: { role: "owner", allLocations: true, locationIds: [] },
        replace: true,
        sourceVersion: 0n,
      },
    ],
    { member: memberAnswer },
  ],
  [
    "PutMember with a mask sets the named fields only",
    directory.putMember,
    { member: memberAnswer, updateMask: "locationIds", sourceVersion: "8" },
    [
      "putMember",
      { ...target, userId: "u1", fields: { locationIds: ["l1"] }, replace: false, sourceVersion: 8n },
    ],
    { member: memberAnswer },
  ],
  [
    "GetMember",
    directory.getMember,
    { ...target, userId: "u1" },
    ["getMember", { ...target, userId: "u1" }],
    { member: memberAnswer },
  ],
  [
    "ListMembers",
    directory.listMembers,
    { ...target, pageSize: 2, pageToken: "t" },
    ["listMembers", { ...target, pageSize: 2, pageToken: "t" }],
    { members: [memberAnswer], nextPageToken: "" },
  ],
  [
    "RemoveMember",
    directory.removeMember,
    { ...target, userId: "u1", sourceVersion: "9" },
    ["removeMember", { ...target, userId: "u1", sourceVersion: 9n }],
    {},
  ],
  [
    "CreateCallerToken",
    callers.createCallerToken,
    {
      name: "sidecar",
      grants: ["GRANT_CHECK", "GRANT_ADMIN"],
      apis: ["retrac"],
      expireTime: "2027-01-01T00:00:00Z",
    },
    [
      "create",
      { name: "sidecar", grants: ["check", "admin"], apis: ["retrac"], expireTimeMs: Date.UTC(2027, 0, 1) },
    ],
    { callerToken: tokenAnswer, secret: "tgc_once" },
  ],
  [
    "ListCallerTokens",
    callers.listCallerTokens,
    { pageSize: 2, pageToken: "t" },
    ["list", { pageSize: 2, pageToken: "t" }],
    { callerTokens: [tokenAnswer], nextPageToken: "n" },
  ],
  [
    "RevokeCallerToken",
    callers.revokeCallerToken,
    { callerTokenId: "ct_1" },
    ["revoke", "ct_1"],
    { callerToken: { ...tokenAnswer, revokeTime: "2026-11-22T12:00:00Z" } },
  ],
];

test("each method of both services has a row", () => {
  const covered = new Set(rows.map(([, method]) => method));
  expect(
    [...DirectoryService.methods, ...CallerService.methods].filter((each) => !covered.has(each as never)),
  ).toEqual([]);
});

test.each(rows)("%s", async (_name, method, request, input, answer) => {
  const call = protocols["Connect JSON on HTTP/1.1"]!;
  expect(await answerOf(call(server, method, request, bearer(server.adminToken)))).toEqual(answer);
  expect(asked).toStrictEqual([input]);
});

const refused: [string, DescMethodUnary, JsonObject, string][] = [
  [
    "an unknown path",
    directory.putWorkspace,
    { workspace: { id: "w1" }, updateMask: "plan,id" },
    "update_mask.paths[1]",
  ],
  ["no workspace", directory.putWorkspace, {}, "workspace"],
  ["a workspace without an id", directory.putWorkspace, { workspace: {} }, "workspace.id"],
  [
    "a feature twice",
    directory.putWorkspace,
    { workspace: { id: "w1", features: ["a", "a"] } },
    "workspace.features",
  ],
  [
    "a member's unknown path",
    directory.putMember,
    { member: memberAnswer, updateMask: "plan" },
    "update_mask.paths[0]",
  ],
  ["no member", directory.putMember, {}, "member"],
  ["no grants", callers.createCallerToken, { name: "x" }, "grants"],
  ["the grant 0", callers.createCallerToken, { name: "x", grants: ["GRANT_UNSPECIFIED"] }, "grants[0]"],
];

test.each(refused)("%s is refused, and the field is named", async (_name, method, request, field) => {
  for (const protocol of ["Connect JSON on HTTP/1.1", "gRPC by Connect"]) {
    const failure = await failureFrom(
      protocols[protocol]!(server, method, request, bearer(server.adminToken)),
    );
    expect(failure).toMatchObject({ code: "invalid_argument", reason: "FIELD_INVALID" });
    expect(failure.violations.map((violation) => violation.field)).toEqual([field]);
  }
  expect(asked).toEqual([]);
});
