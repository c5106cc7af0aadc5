import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createJsonApi,
  createKey,
  errorInfo,
  type JsonApi,
  putWorld,
  succeed,
  violatedFields,
} from "../support/json-api.ts";
import { createDatabase } from "../support/postgres.ts";
import { redisUrl } from "../support/redis.ts";
import { runTollgate } from "../support/run-tollgate.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";

/** The same on the embedded default and on Postgres and Redis. */
describe.each(["embedded", "Postgres and Redis"])("the service on %s", (stores) => {
  let server: TollgateProcess;
  let call: JsonApi;
  let drop = async (): Promise<void> => {};

  beforeAll(async () => {
    let env: Record<string, string> = {};
    if (stores !== "embedded") {
      const database = await createDatabase();
      drop = database.drop;
      env = { DATABASE_URL: database.url, REDIS_URL: redisUrl(), TOLLGATE_POINTS_BUDGET: PATIENT };
      await runTollgate(["migrate"], { env });
    }
    server = await startTollgate({ env });
    call = createJsonApi(server.url, server.adminToken);
    await putWorld(call, "w1");
  });

  afterAll(async () => {
    await server?.stop();
    await drop();
  });

  it("issues a key, admits it, charges it, blocks it, revokes it", async () => {
    await putWorld(call, "story");
    const key = await createKey(call, { workspaceId: "story" });
    expect(key.secret).toMatch(/^retool_[0-9A-Za-z]{49}$/);

    const check = { api: "retool", key: key.secret, http: { method: "GET", path: "/api/v2/users" } };
    const first = await call("Check", check);
    expect(first.body).toMatchObject({
      allowed: true,
      reason: "DENY_REASON_UNSPECIFIED",
      httpStatus: 200,
      retryAfterMs: 0,
      principal: {
        api: "retool",
        keyId: key.id,
        workspaceId: "story",
        createdBy: "ann",
        environment: "live",
      },
      points: { limitName: "points", limit: 300, cost: 2, remaining: 298, windowSeconds: 60, blockedMs: 0 },
    });
    const rest = await Promise.all(Array.from({ length: 149 }, () => call("Check", check)));
    expect(rest.filter(({ body }) => body.allowed)).toHaveLength(149);

    const exceeded = await call("Check", check);
    expect(exceeded.body).toMatchObject({
      allowed: false,
      reason: "DENY_REASON_POINTS_EXCEEDED",
      httpStatus: 429,
      points: { remaining: 0 },
    });
    expect(exceeded.body.points.blockedMs).toBeGreaterThan(55_000);
    expect(exceeded.body.points.blockedMs).toBeLessThanOrEqual(60_000);
    expect(exceeded.body.retryAfterMs).toBeGreaterThanOrEqual(exceeded.body.points.blockedMs);
    expect((await call("Check", check)).body).toMatchObject({
      reason: "DENY_REASON_BLOCKED",
      httpStatus: 429,
    });

    const revoked = await call("RevokeKey", { key: key.secret, reason: "story" });
    expect(revoked.body.key).toMatchObject({
      id: key.id,
      status: "KEY_STATUS_REVOKED",
      revokeReason: "story",
    });
    expect((await call("Check", check)).body).toMatchObject({
      reason: "DENY_REASON_KEY_REVOKED",
      httpStatus: 401,
    });
  });

  it("writes false and 0 in JSON, and says in which order BatchCheck was asked", async () => {
    await putWorld(call, "batch");
    const { secret } = await createKey(call, { workspaceId: "batch" });
    const { body } = await call("BatchCheck", {
      checks: [
        { api: "retool", key: "", permission: "users.read" },
        { api: "retool", key: secret, permission: "permissions.read" },
        { api: "retool", key: secret, permission: "groups.read" },
      ],
    });
    expect(body.results).toMatchObject([
      {
        allowed: false,
        reason: "DENY_REASON_KEY_MISSING",
        retryAfterMs: 0,
        degraded: [],
        shadowReason: "DENY_REASON_UNSPECIFIED",
      },
      { allowed: true, points: { cost: 10, remaining: 290, blockedMs: 0 } },
      {
        allowed: false,
        reason: "DENY_REASON_SCOPE_INSUFFICIENT",
        requiredScopes: ["groups.read", "groups.write"],
      },
    ]);
  });

  it("shares one batch's points exactly", async () => {
    await putWorld(call, "shared");
    const { secret } = await createKey(call, { workspaceId: "shared" });
    const checks = Array.from({ length: 40 }, () => ({
      api: "retool",
      key: secret,
      permission: "permissions.read",
    }));
    const { body } = await call("BatchCheck", { checks });
    expect(body.results.filter((result: { allowed: boolean }) => result.allowed)).toHaveLength(30);
  });

  it("charges none of a batch in which the caller made a mistake", async () => {
    await putWorld(call, "mistaken");
    const { id, secret } = await createKey(call, { workspaceId: "mistaken" });
    const good = { api: "retool", key: secret, permission: "users.read" };
    const failed = await call("BatchCheck", { checks: [good, { ...good, permission: "users.eat" }, good] });
    expect(failed.status).toBe(400);
    expect(violatedFields(failed)).toEqual(["checks[1].permission"]);
    expect((await call("ConsumePoints", { keyId: id, points: 0 })).body.points.remaining).toBe(300);
  });

  it("consumes points by key id, looks without charging, and charges a request_id once", async () => {
    await putWorld(call, "consume");
    const { id } = await createKey(call, { workspaceId: "consume" });
    const consume = async (fields: object) => (await call("ConsumePoints", { keyId: id, ...fields })).body;
    expect(await consume({ points: 100, requestId: "r1" })).toMatchObject({
      allowed: true,
      points: { remaining: 200 },
    });
    expect(await consume({ points: 100, requestId: "r1" })).toMatchObject({
      allowed: true,
      points: { remaining: 200 },
    });
    expect(await consume({ points: 0 })).toMatchObject({
      allowed: true,
      points: { remaining: 200, cost: 0 },
    });
    expect(await consume({ points: 4294967295 })).toMatchObject({
      allowed: false,
      reason: "DENY_REASON_COST_ABOVE_LIMIT",
      httpStatus: 400,
    });
    const reused = await call("ConsumePoints", { keyId: id, points: 99, requestId: "r1" });
    expect(reused.status).toBe(400);
    expect(errorInfo(reused).reason).toBe("REQUEST_ID_REUSED");
    expect(await consume({ points: 250, mode: "MODE_RECORD" })).toMatchObject({
      allowed: true,
      points: { remaining: 0 },
    });
    expect(await consume({ points: 1 })).toMatchObject({ reason: "DENY_REASON_BLOCKED" });
  });

  it("rotates with an overlap, lists by filter and page, updates by mask", async () => {
    await putWorld(call, "manage");
    const made = [];
    for (let index = 0; index < 3; index++) made.push(await createKey(call, { workspaceId: "manage" }));
    const [first] = made;
    const rotated = await call("RotateKey", { keyId: first?.id, overlap: "60s" });
    expect(rotated.body.key.previousSecretExpireTime).toBeDefined();
    for (const key of [first?.secret, rotated.body.secret]) {
      expect((await call("Check", { api: "retool", key, permission: "users.read" })).body.allowed).toBe(true);
    }
    const page = await call("ListKeys", { api: "retool", workspaceId: "manage", pageSize: 2 });
    expect(page.body.keys.map((key: { id: string }) => key.id)).toEqual([made[2]?.id, made[1]?.id]);
    const rest = await call("ListKeys", {
      api: "retool",
      workspaceId: "manage",
      pageSize: 2,
      pageToken: page.body.nextPageToken,
    });
    expect(rest.body).toMatchObject({ keys: [{ id: first?.id }], nextPageToken: "" });
    const stolen = await call("ListKeys", { api: "retrac", pageToken: page.body.nextPageToken });
    expect(violatedFields(stolen)).toEqual(["page_token"]);

    const updated = await call("UpdateKey", {
      key: { id: first?.id, name: "renamed", status: "KEY_STATUS_DISABLED" },
      updateMask: "name,status",
    });
    expect(updated.body.key).toMatchObject({ name: "renamed", status: "KEY_STATUS_DISABLED" });
    const disabled = await call("ListKeys", { workspaceId: "manage", status: "KEY_STATUS_DISABLED" });
    expect(disabled.body.keys).toHaveLength(1);
    expect((await call("GetKey", { keyId: first?.id })).body.key.name).toBe("renamed");
  });

  it("keeps the whole of Retrac's rules for a full access key", async () => {
    await putWorld(call, "retrac-w");
    const { secret } = await createKey(call, {
      workspaceId: "retrac-w",
      api: "retrac",
      type: "full_access",
      scopes: [],
    });
    expect(secret).toMatch(/^[0-9A-Za-z]{49}$/);
    const check = async (path: string, scheme = "https") =>
      (
        await call("Check", {
          key: secret,
          http: { method: "GET", path, scheme, host: "api.retrac.co" },
        })
      ).body;
    expect(await check("/items?workspaceId=retrac-w")).toMatchObject({
      allowed: true,
      principal: { role: "owner" },
    });
    expect(await check("/items")).toMatchObject({
      reason: "DENY_REASON_WORKSPACE_REQUIRED",
      httpStatus: 400,
    });
    expect(await check("/items?workspaceId=other")).toMatchObject({ reason: "DENY_REASON_NOT_A_MEMBER" });
    expect(await check("/items?workspaceId=retrac-w", "http")).toMatchObject({
      reason: "DENY_REASON_INSECURE_TRANSPORT",
      httpStatus: 403,
    });
    expect(await check("/workspaces")).toMatchObject({ allowed: true });
    expect(await check("/items/../workspaces")).toMatchObject({
      reason: "DENY_REASON_ROUTE_UNKNOWN",
      httpStatus: 404,
    });
  });

  describe("refuses clearly, and goes on serving:", () => {
    const ann = {
      api: "retool",
      type: "access_token",
      workspaceId: "w1",
      userId: "ann",
      name: "n",
      scopes: ["users.read"],
    };

    it.each<[string, string, object, string]>([
      ["an empty name", "CreateKey", { ...ann, name: "" }, "name"],
      ["a name of 10,000 characters", "CreateKey", { ...ann, name: "x".repeat(10_000) }, "name"],
      ["an unknown type", "CreateKey", { ...ann, type: "nope" }, "type"],
      ["an unknown scope", "CreateKey", { ...ann, scopes: ["users.eat"] }, "scopes"],
      ["an unknown preset", "CreateKey", { ...ann, scopes: ["apis.all"] }, "scopes"],
      ["an expiry in the past", "CreateKey", { ...ann, expireTime: "2020-01-01T00:00:00Z" }, "expire_time"],
      ["a workspace id with CR and LF", "CreateKey", { ...ann, workspaceId: "w1\r\n" }, "workspace_id"],
      ["a user id with a comma", "CreateKey", { ...ann, userId: "a,b" }, "user_id"],
      ["an id that is not ASCII", "CreateKey", { ...ann, userId: "änn" }, "user_id"],
      ["no target", "Check", { api: "retool", key: "x" }, "target"],
      ["an unknown permission", "Check", { api: "retool", key: "x", permission: "users.eat" }, "permission"],
      ["no api where there are two", "Check", { key: "x", permission: "users.read" }, "api"],
      ["no mask", "UpdateKey", { key: { id: "key_x", name: "n" } }, "update_mask"],
      [
        "a mask of what cannot be changed",
        "UpdateKey",
        { key: { id: "key_x" }, updateMask: "id" },
        "update_mask",
      ],
      ["a junk page token", "ListKeys", { pageToken: "junk" }, "page_token"],
      ["a page of 501", "ListKeys", { pageSize: 501 }, "page_size"],
      [
        "a member with neither all locations nor ids",
        "DirectoryService/PutMember",
        { member: { directory: "retrac", workspaceId: "w1", userId: "bob", role: "member" } },
        "member.location_ids",
      ],
      [
        "an unknown role",
        "DirectoryService/PutMember",
        { member: { directory: "retool", workspaceId: "w1", userId: "bob", role: "king" } },
        "member.role",
      ],
      [
        "an unknown plan",
        "DirectoryService/PutWorkspace",
        { workspace: { directory: "retrac", id: "w2", plan: "gold" } },
        "workspace.plan",
      ],
    ])("%s", async (_, method, request, field) => {
      const answer = await call(method, request);
      expect(answer.status).toBe(400);
      expect(answer.body.code).toBe("invalid_argument");
      expect(violatedFields(answer).join()).toContain(field);
      expect((await call("GetKey", { keyId: "key_none" })).body.code).toBe("not_found");
    });

    it.each<[string, string, object, string, string]>([
      ["an unknown api", "Check", { api: "nope", key: "x", permission: "p" }, "not_found", "API_UNKNOWN"],
      [
        "an unknown workspace",
        "CreateKey",
        { ...ann, workspaceId: "nope" },
        "not_found",
        "WORKSPACE_UNKNOWN",
      ],
      ["who is no member", "CreateKey", { ...ann, userId: "eve" }, "permission_denied", "NOT_A_MEMBER"],
      ["an unknown key", "RevokeKey", { keyId: "key_none" }, "not_found", "KEY_UNKNOWN"],
      [
        "an old source_version",
        "DirectoryService/PutWorkspace",
        { workspace: { directory: "retool", id: "versioned" }, sourceVersion: "1" },
        "failed_precondition",
        "SOURCE_VERSION_STALE",
      ],
    ])("%s", async (_, method, request, code, reason) => {
      await call("DirectoryService/PutWorkspace", {
        workspace: { directory: "retool", id: "versioned" },
        sourceVersion: "2",
      });
      const answer = await call(method, request);
      expect(answer.body.code).toBe(code);
      expect(errorInfo(answer)).toMatchObject({ reason, domain: "tollgate.v1" });
    });

    it.each<[string, (secret: string) => string]>([
      ["a wrong checksum", (secret) => `${secret.slice(0, -1)}${secret.endsWith("0") ? "1" : "0"}`],
      ["a wrong prefix", (secret) => secret.replace("retool_", "retrac_")],
      ["a letter that is not ASCII", (secret) => `${secret}é`],
      ["a NUL", (secret) => `${secret}\0`],
      ["a megabyte", () => "a".repeat(1_000_000)],
      ["Bearer before it", (secret) => `Bearer ${secret}`],
    ])("a key with %s is a denial, not an error", async (_, change) => {
      const { secret } = await createKey(call, { workspaceId: "w1" });
      const answer = await call("Check", { api: "retool", key: change(secret), permission: "users.read" });
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({
        allowed: false,
        reason: "DENY_REASON_KEY_MALFORMED",
        httpStatus: 401,
      });
      expect(answer.body.message).not.toContain(secret.slice(8, 20));
    });
  });

  it("shows a blocked key's points, gives them back, and lets it pass again", async () => {
    await putWorld(call, "support");
    const { id, secret } = await createKey(call, { workspaceId: "support" });
    const check = { api: "retool", key: secret, permission: "users.read", points: 200 };
    const reasons: string[] = [];
    for (let request = 0; request < 3; request++) reasons.push((await call("Check", check)).body.reason);
    expect(reasons).toEqual([
      "DENY_REASON_UNSPECIFIED",
      "DENY_REASON_POINTS_EXCEEDED",
      "DENY_REASON_BLOCKED",
    ]);
    const subject = { keyId: id };
    const { body } = await succeed(call("PointsService/ShowPoints", { subject }));
    expect(body).toMatchObject({
      keyId: id,
      workspaceId: "support",
      limits: [{ limitName: "points", limit: 300 }],
    });
    expect(body.limits[0].blockedMs).toBeGreaterThan(0);
    const grant = { subject, points: 60, requestId: "case-1", reason: "a loop of ours" };
    const granted = await succeed(call("PointsService/GrantPoints", grant));
    expect(granted.body.given).toEqual([{ limitName: "points", points: 60 }]);
    expect((await succeed(call("PointsService/GrantPoints", grant))).body.given).toEqual(granted.body.given);
    expect((await call("Check", check)).body.reason).toBe("DENY_REASON_BLOCKED");
    const reset = await succeed(call("PointsService/ResetPoints", { subject: { secret } }));
    expect(reset.body.limits).toMatchObject([{ remaining: 300, resetMs: 0, blockedMs: 0 }]);
    expect((await call("Check", check)).body).toMatchObject({ allowed: true, points: { remaining: 100 } });
  });

  it("never tells a caller without a token anything", async () => {
    for (const token of ["", "junk", `tgc_${"a".repeat(49)}`]) {
      const answer = await call("Check", { api: "retool", key: "x", permission: "users.read" }, { token });
      expect(answer.status).toBe(401);
    }
  });

  it("limits a caller token to its grants and apis, and ends it at once", async () => {
    const made = await call("CallerService/CreateCallerToken", {
      name: "sidecar",
      grants: ["GRANT_CHECK"],
      apis: ["retool"],
    });
    const token: string = made.body.secret;
    expect(token).toMatch(/^tgc_[0-9A-Za-z]{49}$/);
    const { secret } = await createKey(call, { workspaceId: "w1" });
    const check = { api: "retool", key: secret, permission: "users.read" };
    expect((await call("Check", check, { token })).body.allowed).toBe(true);
    expect((await call("Check", { ...check, api: "retrac" }, { token })).body.code).toBe("permission_denied");
    expect((await call("ListKeys", {}, { token })).body.code).toBe("permission_denied");
    await call("CallerService/RevokeCallerToken", { callerTokenId: made.body.callerToken.id });
    expect((await call("Check", check, { token })).status).toBe(401);
    const listed = await call("CallerService/ListCallerTokens", {});
    expect(JSON.stringify(listed.body)).not.toContain(token);
  });
});
