import type { JsonObject } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { answerOf, bearer, failureFrom, protocols } from "./clients.ts";
import { keyRecord, NOW_MS, startTestServer, type TestServer } from "./test-server.ts";

const { createKey, revokeKey, revokeKeys, rotateKey, updateKey, getKey, listKeys } =
  AuthorizationService.method;
const call = protocols["Connect JSON on HTTP/1.1"]!;

let server: TestServer;
let asked: unknown[] = [];
let found = keyRecord();

beforeAll(async () => {
  const issue = async (input: unknown) => {
    asked.push(input);
    return { key: found, secret: "the secret" };
  };
  const tell = async (input: unknown) => {
    asked.push(input);
    return found;
  };
  server = await startTestServer({
    keys: {
      create: issue,
      rotate: issue,
      revoke: tell,
      revokeAll: async (input: unknown) => {
        asked.push(input);
        return { keyIds: ["key_1", "key_2"], more: true };
      },
      update: tell,
      get: tell,
      list: async (input: unknown) => {
        asked.push(input);
        return { keys: [found, keyRecord({ id: "key_2" })], nextPageToken: "next" };
      },
    },
  });
});
beforeEach(() => {
  asked = [];
  found = keyRecord();
});
afterAll(() => server.stop());

const ask = (method: (typeof AuthorizationService.methods)[number], request: JsonObject) =>
  call(server, method as never, request, bearer(server.adminToken));

test("CreateKey hands every field to the core, and its answer alone holds the secret", async () => {
  const answer = await answerOf(
    ask(createKey, {
      api: "retrac",
      type: "restricted",
      workspaceId: "w1",
      userId: "u1",
      name: "Warehouse",
      description: "for the scanners",
      scopes: ["items.read tags.read", "apis.read"],
      expireTime: "2027-01-01T00:00:00.5Z",
      metadata: { team: "ops" },
      allowedCidrs: ["10.0.0.0/8"],
      role: "member",
      requestId: "r1",
    }),
  );
  expect(asked).toEqual([
    {
      api: "retrac",
      type: "restricted",
      workspaceId: "w1",
      userId: "u1",
      name: "Warehouse",
      description: "for the scanners",
      scopes: ["items.read tags.read", "apis.read"],
      expireTimeMs: Date.UTC(2027, 0, 1) + 500,
      metadata: { team: "ops" },
      allowedCidrs: ["10.0.0.0/8"],
      role: "member",
      requestId: "r1",
    },
  ]);
  expect(answer["secret"]).toBe("the secret");
  expect(JSON.stringify(answer["key"])).not.toContain('secret":"the');
});

test("a key is told with all its fields, and never with a digest", async () => {
  found = keyRecord({
    description: "d",
    metadata: { a: "b" },
    allowedCidrs: ["10.0.0.0/8"],
    expireTimeMs: NOW_MS + 1,
    revokeTimeMs: NOW_MS,
    revokeReason: "leaked",
    lastUseTimeMs: NOW_MS - 500,
    previousDigest: "e".repeat(64),
    previousExpireTimeMs: NOW_MS + 60_000,
    previousLastUseTimeMs: NOW_MS - 250,
  });
  const { key } = await answerOf(ask(getKey, { keyId: found.id }));
  expect(key).toEqual({
    id: "key_0123456789ABCDEFGHIJKL",
    api: "retrac",
    type: "restricted",
    environment: "live",
    workspaceId: "w1",
    userId: "u1",
    createdBy: "u1",
    role: "",
    name: "Warehouse",
    description: "d",
    scopes: ["items.read"],
    preview: "retrac_…wxyz",
    status: "KEY_STATUS_REVOKED",
    metadata: { a: "b" },
    allowedCidrs: ["10.0.0.0/8"],
    createTime: "2026-11-22T11:59:59Z",
    expireTime: "2026-11-22T12:00:00.001Z",
    revokeTime: "2026-11-22T12:00:00Z",
    revokeReason: "leaked",
    lastUseTime: "2026-11-22T11:59:59.500Z",
    previousSecretExpireTime: "2026-11-22T12:01:00Z",
    previousSecretLastUseTime: "2026-11-22T11:59:59.750Z",
  });
});

test.each([
  ["KEY_STATUS_ACTIVE", {}],
  ["KEY_STATUS_DISABLED", { disabled: true }],
  ["KEY_STATUS_EXPIRED", { expireTimeMs: NOW_MS }],
  ["KEY_STATUS_REVOKED", { revokeTimeMs: NOW_MS, disabled: true }],
])("a key's status is %s", async (status, change) => {
  found = keyRecord(change);
  expect(await answerOf(ask(getKey, { keyId: found.id }))).toMatchObject({ key: { status } });
});

test("an old secret whose overlap has ended is not told of", async () => {
  found = keyRecord({ previousExpireTimeMs: NOW_MS, previousLastUseTimeMs: NOW_MS - 1 });
  const { key } = await answerOf(ask(getKey, { keyId: found.id }));
  expect(key).not.toHaveProperty("previousSecretExpireTime");
  expect(key).not.toHaveProperty("previousSecretLastUseTime");
});

test("RevokeKey takes an id or a secret", async () => {
  await answerOf(ask(revokeKey, { keyId: "key_1", reason: "leaked", actorUserId: "u1" }));
  await answerOf(ask(revokeKey, { key: "retrac_leaked" }));
  expect(asked).toEqual([
    { target: { keyId: "key_1" }, reason: "leaked", actorUserId: "u1" },
    { target: { key: "retrac_leaked" }, reason: "", actorUserId: "" },
  ]);
  expect(await failureFrom(ask(revokeKey, {}))).toMatchObject({ violations: [{ field: "target" }] });
});

test("RevokeKeys hands its selection to the core, and answers the ids and whether there are more", async () => {
  const request = { api: "retrac", workspaceId: "w1", userId: "u1", reason: "left", actorUserId: "u2" };
  expect(await answerOf(ask(revokeKeys, request))).toEqual({ keyIds: ["key_1", "key_2"], more: true });
  expect(asked).toEqual([request]);
});

test.each([
  [undefined, undefined],
  ["0s", 0],
  ["0.000000001s", 1],
  ["1.5s", 1500],
  ["2592000s", 2_592_000_000],
])("RotateKey's overlap %s is %s ms", async (overlap, overlapMs) => {
  await answerOf(ask(rotateKey, { keyId: "key_1", ...(overlap === undefined ? {} : { overlap }) }));
  expect(asked).toEqual([{ keyId: "key_1", overlapMs, actorUserId: "", requestId: "" }]);
});

test.each(["-1s", "2592001s"])("RotateKey's overlap %s is out of bounds", async (overlap) => {
  expect(await failureFrom(ask(rotateKey, { keyId: "key_1", overlap }))).toMatchObject({
    code: "invalid_argument",
    violations: [{ field: "overlap" }],
  });
});

const everything = {
  id: "key_1",
  name: "New",
  description: "new",
  status: "KEY_STATUS_DISABLED",
  scopes: ["tags.read"],
  expireTime: "2027-01-01T00:00:00Z",
  metadata: { a: "b" },
  allowedCidrs: ["10.0.0.0/8"],
};

test("UpdateKey changes what the mask names and nothing else that stands in the message", async () => {
  await answerOf(ask(updateKey, { key: everything, updateMask: "name", actorUserId: "u1" }));
  await answerOf(
    ask(updateKey, {
      key: everything,
      updateMask: "description,status,scopes,expireTime,metadata,allowedCidrs",
    }),
  );
  expect(asked).toEqual([
    { keyId: "key_1", changes: { name: "New" }, actorUserId: "u1" },
    {
      keyId: "key_1",
      changes: {
        description: "new",
        disabled: true,
        scopes: ["tags.read"],
        expireTimeMs: Date.UTC(2027, 0, 1),
        metadata: { a: "b" },
        allowedCidrs: ["10.0.0.0/8"],
      },
      actorUserId: "",
    },
  ]);
});

test("UpdateKey with a field in the mask and not in the message empties it", async () => {
  await answerOf(ask(updateKey, { key: { id: "key_1" }, updateMask: "expireTime,scopes,metadata" }));
  const [{ changes }] = asked as [{ changes: object }];
  expect(changes).toStrictEqual({ expireTimeMs: undefined, scopes: [], metadata: {} });
  expect("expireTimeMs" in changes).toBe(true);
});

test.each([
  ["no mask", {}, "update_mask"],
  ["an empty mask", { updateMask: "" }, "update_mask"],
  ["a path that may not be changed", { updateMask: "name,workspaceId" }, "update_mask.paths[1]"],
  ["a path that is no field", { updateMask: "nonsense" }, "update_mask.paths[0]"],
])("UpdateKey with %s is refused and names what is allowed", async (_name, mask, field) => {
  const failure = await failureFrom(ask(updateKey, { key: everything, ...mask }));
  expect(failure).toMatchObject({
    code: "invalid_argument",
    reason: "FIELD_INVALID",
    violations: [{ field }],
  });
  expect(failure.violations[0]?.description).toContain(
    "name, description, status, scopes, expire_time, metadata, allowed_cidrs",
  );
  expect(asked).toEqual([]);
});

test.each(["KEY_STATUS_UNSPECIFIED", "KEY_STATUS_EXPIRED", "KEY_STATUS_REVOKED"])(
  "UpdateKey cannot set the status %s",
  async (status) => {
    expect(
      await failureFrom(ask(updateKey, { key: { id: "key_1", status }, updateMask: "status" })),
    ).toMatchObject({ code: "invalid_argument", violations: [{ field: "key.status" }] });
  },
);

test("UpdateKey without a key, or without its id, is refused", async () => {
  expect(await failureFrom(ask(updateKey, { updateMask: "name" }))).toMatchObject({
    violations: [{ field: "key" }],
  });
  expect(await failureFrom(ask(updateKey, { key: { name: "x" }, updateMask: "name" }))).toMatchObject({
    violations: [{ field: "key.id" }],
  });
});

test("ListKeys hands its filters to the core and its page on to the caller", async () => {
  const answer = await answerOf(
    ask(listKeys, {
      api: "retrac",
      workspaceId: "w1",
      userId: "u1",
      status: "KEY_STATUS_EXPIRED",
      pageSize: 500,
      pageToken: "t",
    }),
  );
  await answerOf(ask(listKeys, {}));
  expect(asked).toEqual([
    { api: "retrac", workspaceId: "w1", userId: "u1", status: "expired", pageSize: 500, pageToken: "t" },
    { api: "", workspaceId: "", userId: "", status: undefined, pageSize: 0, pageToken: "" },
  ]);
  expect((answer["keys"] as { id: string }[]).map(({ id }) => id)).toEqual([found.id, "key_2"]);
  expect(answer["nextPageToken"]).toBe("next");
});

test.each([
  ["a name of 10,000 characters", createKey, { name: "x".repeat(10_000) }, "name"],
  ["no name", createKey, { name: "" }, "name"],
  ["a workspace with a line feed", createKey, { workspaceId: "w\n1" }, "workspace_id"],
  ["a user beyond ASCII", createKey, { userId: "ü" }, "user_id"],
  ["a user with a comma", createKey, { userId: "a,b" }, "user_id"],
  [
    "33 metadata entries",
    createKey,
    { metadata: Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`k${n}`, ""])) },
    "metadata",
  ],
  ["a metadata key with a space", createKey, { metadata: { "a b": "" } }, 'metadata["a b"]'],
  ["a page of 501", listKeys, { pageSize: 501 }, "page_size"],
  ["a page token of 2 KiB", listKeys, { pageToken: "x".repeat(2048) }, "page_token"],
  ["a reason of 501 characters", revokeKeys, { userId: "u1", reason: "x".repeat(501) }, "reason"],
  ["an empty key id", getKey, { keyId: "" }, "key_id"],
] as const)("%s is refused, and the field is named", async (_name, method, change, field) => {
  const request = method === createKey ? { workspaceId: "w1", userId: "u1", name: "n", ...change } : change;
  const failure = await failureFrom(ask(method, request));
  expect(failure).toMatchObject({ code: "invalid_argument", reason: "FIELD_INVALID" });
  expect(failure.violations.map((violation) => violation.field)).toEqual([field]);
  expect(asked).toEqual([]);
});

test("a time that is none is refused", async () => {
  const grpc = protocols["gRPC by grpc-js"]!;
  for (const expireTime of [
    { seconds: "253402300800", nanos: 0 },
    { seconds: "0", nanos: -1 },
  ]) {
    const failure = await failureFrom(
      grpc(
        server,
        createKey,
        { workspaceId: "w1", userId: "u1", name: "n", expireTime },
        bearer(server.adminToken),
      ),
    );
    expect(failure).toMatchObject({ code: "invalid_argument", violations: [{ field: "expire_time" }] });
  }
});
