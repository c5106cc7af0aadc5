import { beforeEach, describe, expect, it } from "vitest";
import { type IssuedKey, keyStatus, type RevokeKeysInput } from "../../src/core/keys.ts";
import { admin, callerWith, createWorld, NO_DEADLINE } from "./world.ts";

const desk = `
api: desk
plans: [free, team, business]
requires: {plan: team, feature: api}
permissions: {tickets.read: 1, tickets.write: 1, tickets.purge: 1, staff.write: 1, reports.read: 1}
roles:
  owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}
  agent: {permissions: [tickets.read, tickets.write], creates_keys: true, manages_keys: own}
  guest: {permissions: [tickets.read]}
scopes:
  tickets.read: {}
  tickets.write: {grants: [tickets.write, tickets.purge]}
  staff.write: {}
  reports.read: {requires: {feature: reports}}
presets: {all: ["*"], read: ["*.read"]}
key_types:
  personal: {prefix: desk_, workspace: bound, scopes: selected, acts_as: creator, rotation_overlap: 1h}
  short: {prefix: desk_tmp_, workspace: bound, scopes: selected, acts_as: creator, max_ttl: 1h}
  robot: {prefix: desk_bot_, workspace: bound, scopes: selected, acts_as: service_account}
  roaming: {prefix: desk_any_, workspace: {query: desk}, scopes: all, acts_as: creator}
limits: [{name: points, per: workspace, points: 100, window: 60s}]
`;
const HOUR = 3_600_000;
const keysOnly = callerWith(["keys"]);

let world: ReturnType<typeof createWorld>;

beforeEach(async () => {
  world = createWorld(desk);
  await world.putWorkspace("w1", { plan: "business", features: ["api"] });
  await world.putMember("w1", "olga", { role: "owner" });
  await world.putMember("w1", "ali", { role: "agent" });
  await world.putMember("w1", "gus", { role: "guest" });
});

const by = (userId: string, scopes: readonly string[] = ["tickets.read"], fields: object = {}) => ({
  workspaceId: "w1",
  userId,
  type: "personal",
  scopes,
  ...fields,
});

describe("creating a key", () => {
  it("stores the selection sorted, splits at spaces, and shows no secret", async () => {
    const { key, secret } = await world.createKey(
      by("olga", ["tickets.write tickets.read", "read", "tickets.read"]),
    );
    expect(key.scopes).toEqual(["read", "tickets.read", "tickets.write"]);
    expect(key.preview).toBe(`desk_…${secret.slice(-4)}`);
    expect(JSON.stringify(await world.keys.get(key.id, admin, NO_DEADLINE))).not.toContain(secret);
    expect(await world.check(secret, "tickets.read")).toMatchObject({ allowed: true });
  });

  it.each<[string, object, object]>([
    ["a role that may not create", by("gus"), { reason: "ROLE_INSUFFICIENT" }],
    ["who is no member", by("eve"), { reason: "NOT_A_MEMBER" }],
    ["a scope beyond the creator's role", by("ali", ["staff.write"]), { reason: "ROLE_INSUFFICIENT" }],
    [
      "a scope whose feature the workspace lacks",
      by("olga", ["reports.read"]),
      { reason: "SCOPE_UNAVAILABLE" },
    ],
    [
      "a service account with more than the creator's role",
      by("ali", ["tickets.read"], { type: "robot", role: "owner" }),
      { reason: "ROLE_INSUFFICIENT" },
    ],
  ])("is denied to %s", async (_, request, error) => {
    await expect(world.createKey(request as ReturnType<typeof by>)).rejects.toMatchObject({
      code: "permission_denied",
      ...error,
    });
  });

  it.each<[string, object, string]>([
    ["an unknown type", by("olga", ["tickets.read"], { type: "nope" }), "type"],
    ["no type where there are several", by("olga", ["tickets.read"], { type: "" }), "type"],
    ["an unknown scope", by("olga", ["tickets.eat"]), "scopes"],
    ["no scope", by("olga", []), "scopes"],
    ["only spaces", by("olga", ["   "]), "scopes"],
    ["scopes for a type that has all", by("olga", ["tickets.read"], { type: "roaming" }), "scopes"],
    ["an expiry in the past", by("olga", ["tickets.read"], { expireTimeMs: 1 }), "expire_time"],
    [
      "an expiry beyond the type's",
      by("olga", ["tickets.read"], { type: "short", expireTimeMs: Date.UTC(2030, 1) }),
      "expire_time",
    ],
    [
      "a bad address range",
      by("olga", ["tickets.read"], { allowedCidrs: ["10.0.0.1/8"] }),
      "allowed_cidrs[0]",
    ],
    ["a role on what is no service account", by("olga", ["tickets.read"], { role: "agent" }), "role"],
    ["a service account without a role", by("olga", ["tickets.read"], { type: "robot" }), "role"],
  ])("with %s is INVALID_ARGUMENT that names the field", async (_, request, field) => {
    await expect(world.createKey(request as ReturnType<typeof by>)).rejects.toMatchObject({
      code: "invalid_argument",
      violations: [{ field }],
    });
  });

  it("is denied on a lower plan, without the feature, and when suspended", async () => {
    await world.putWorkspace("w1", { plan: "free", features: ["api"] });
    await expect(world.createKey(by("olga"))).rejects.toMatchObject({ reason: "PLAN_REQUIRED" });
    await world.putWorkspace("w1", { plan: "", features: ["api"] });
    await expect(world.createKey(by("olga"))).rejects.toMatchObject({ reason: "PLAN_REQUIRED" });
    await world.putWorkspace("w1", { plan: "team" });
    await expect(world.createKey(by("olga"))).rejects.toMatchObject({ reason: "FEATURE_REQUIRED" });
    await world.putWorkspace("w1", { plan: "team", features: ["api"], suspended: true });
    await expect(world.createKey(by("olga"))).rejects.toMatchObject({ reason: "WORKSPACE_SUSPENDED" });
  });

  it("lets a member choose a preset that is more than his role: it means what the role allows", async () => {
    const { secret } = await world.createKey(by("ali", ["all"]));
    expect(await world.check(secret, "tickets.write")).toMatchObject({ allowed: true });
    expect(await world.check(secret, "staff.write")).toMatchObject({ reason: "ROLE_INSUFFICIENT" });
  });

  it("lets a member choose a scope of which his role allows a part", async () => {
    const { secret } = await world.createKey(by("ali", ["tickets.write"]));
    expect(await world.check(secret, "tickets.write")).toMatchObject({ allowed: true });
    expect(await world.check(secret, "tickets.purge")).toMatchObject({ reason: "ROLE_INSUFFICIENT" });
  });

  it("gives a type with a longest life that life", async () => {
    const { key } = await world.createKey(by("olga", ["tickets.read"], { type: "short" }));
    expect(key.expireTimeMs).toBe(world.now() + HOUR);
  });

  it("twice with one request_id makes one key, and says which", async () => {
    const { key } = await world.createKey(by("olga", ["tickets.read"], { requestId: "r1" }));
    await expect(world.createKey(by("olga", ["tickets.read"], { requestId: "r1" }))).rejects.toMatchObject({
      code: "already_exists",
      metadata: { key_id: key.id },
    });
    await world.createKey(by("olga", ["tickets.read"], { requestId: "r1" }), keysOnly);
    const { keys } = await world.keys.list(
      { api: "desk", workspaceId: "", userId: "", status: undefined, pageSize: 0, pageToken: "" },
      admin,
      NO_DEADLINE,
    );
    expect(keys).toHaveLength(2);
  });
});

describe("who may manage a key", () => {
  it.each([
    ["its creator", "ali"],
    ["who manages the workspace's", "olga"],
  ])("%s", async (_, actorUserId) => {
    const { key } = await world.createKey(by("ali"));
    const revoked = await world.keys.revoke(
      { target: { keyId: key.id }, reason: "", actorUserId },
      keysOnly,
      NO_DEADLINE,
    );
    expect(keyStatus(revoked, world.now())).toBe("revoked");
  });

  it.each([
    ["a role that manages none", "gus"],
    ["who is no member", "eve"],
  ])("not %s", async (_, actorUserId) => {
    const { key } = await world.createKey(by("ali"));
    const revoked = world.keys.revoke(
      { target: { keyId: key.id }, reason: "", actorUserId },
      keysOnly,
      NO_DEADLINE,
    );
    await expect(revoked).rejects.toMatchObject({ code: "permission_denied" });
  });

  it("not one who manages only his own, for another's", async () => {
    const { key } = await world.createKey(by("olga"));
    await expect(
      world.keys.revoke({ target: { keyId: key.id }, reason: "", actorUserId: "ali" }, keysOnly, NO_DEADLINE),
    ).rejects.toMatchObject({ reason: "ROLE_INSUFFICIENT" });
  });

  it("nobody in particular only for callers with admin", async () => {
    const { key } = await world.createKey(by("ali"));
    const target = { target: { keyId: key.id }, reason: "", actorUserId: "" };
    await expect(world.keys.revoke(target, keysOnly, NO_DEADLINE)).rejects.toMatchObject({
      reason: "ACTOR_REQUIRED",
    });
    await world.keys.revoke(target, admin, NO_DEADLINE);
  });

  it("its creator alone, when it is bound to no workspace", async () => {
    const { key } = await world.createKey(by("ali", [], { type: "roaming" }));
    const revoke = (actorUserId: string) =>
      world.keys.revoke({ target: { keyId: key.id }, reason: "", actorUserId }, keysOnly, NO_DEADLINE);
    await expect(revoke("olga")).rejects.toMatchObject({ reason: "ROLE_INSUFFICIENT" });
    expect((await revoke("ali")).revokeTimeMs).toBeDefined();
  });

  it("no caller for another api, to whom it does not exist", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    const elsewhere = callerWith(["keys", "admin"], ["other"]);
    await expect(world.keys.get(key.id, elsewhere, NO_DEADLINE)).rejects.toMatchObject({ code: "not_found" });
    await expect(
      world.keys.revoke({ target: { key: secret }, reason: "", actorUserId: "" }, elsewhere, NO_DEADLINE),
    ).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("revoking", () => {
  it("by the secret works, and a second time answers the first one's reason", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    const revoke = (reason: string) =>
      world.keys.revoke({ target: { key: secret }, reason, actorUserId: "" }, admin, NO_DEADLINE);
    await revoke("leak");
    world.wait(1000);
    expect(await revoke("again")).toMatchObject({
      id: key.id,
      revokeReason: "leak",
      revokeTimeMs: world.now() - 1000,
    });
    expect(await world.check(secret, "tickets.read")).toMatchObject({ reason: "KEY_REVOKED" });
  });

  it("by an old secret whose overlap has ended is NOT_FOUND, and the new one lives", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    const rotated = await world.keys.rotate(
      { keyId: key.id, overlapMs: 1000, actorUserId: "", requestId: "" },
      admin,
      NO_DEADLINE,
    );
    world.wait(1000);
    await expect(
      world.keys.revoke({ target: { key: secret }, reason: "", actorUserId: "" }, admin, NO_DEADLINE),
    ).rejects.toMatchObject({ code: "not_found" });
    expect(await world.check(rotated.secret, "tickets.read")).toMatchObject({ allowed: true });
  });

  it("what is revoked already drops it from this replica's cache all the same", async () => {
    const { key } = await world.createKey(by("ali"));
    const revoke = () =>
      world.keys.revoke({ target: { keyId: key.id }, reason: "", actorUserId: "" }, admin, NO_DEADLINE);
    await revoke();
    expect(world.forgotten).toEqual([]);
    await revoke();
    expect(world.forgotten).toEqual([key.id]);
  });

  it("an unknown id or secret is NOT_FOUND", async () => {
    for (const target of [{ keyId: "key_none" }, { key: "secret" }]) {
      await expect(
        world.keys.revoke({ target, reason: "", actorUserId: "" }, admin, NO_DEADLINE),
      ).rejects.toMatchObject({ code: "not_found" });
    }
  });
});

describe("revoking many", () => {
  const revokeAll = (fields: Partial<RevokeKeysInput>, caller = admin) =>
    world.keys.revokeAll(
      { api: "", workspaceId: "", userId: "", reason: "left", actorUserId: "", ...fields },
      caller,
      NO_DEADLINE,
    );
  const idsOf = (...issued: readonly IssuedKey[]) => issued.map(({ key }) => key.id).sort();
  const isAllowed = async (...issued: readonly IssuedKey[]) =>
    Promise.all(issued.map(async ({ secret }) => (await world.check(secret, "tickets.read")).allowed));
  let first: IssuedKey;
  let second: IssuedKey;
  let roaming: IssuedKey;
  let elsewhere: IssuedKey;
  let olgas: IssuedKey;

  beforeEach(async () => {
    await world.putWorkspace("w2", { plan: "business", features: ["api"] });
    await world.putMember("w2", "ali", { role: "agent" });
    first = await world.createKey(by("ali"));
    second = await world.createKey(by("ali"));
    roaming = await world.createKey(by("ali", [], { type: "roaming" }));
    elsewhere = await world.createKey(by("ali", ["tickets.read"], { workspaceId: "w2" }));
    olgas = await world.createKey(by("olga"));
  });

  it("ends what a user made in a workspace, and nothing else", async () => {
    const revoked = await revokeAll({ workspaceId: "w1", userId: "ali" });
    expect(revoked).toEqual({ keyIds: idsOf(first, second), more: false });
    expect(await isAllowed(first, second, elsewhere, olgas)).toEqual([false, false, true, true]);
    expect(await world.keys.get(first.key.id, admin, NO_DEADLINE)).toMatchObject({
      revokeTimeMs: world.now(),
      revokeReason: "left",
    });
  });

  it("without a workspace ends all that a user made, also what is bound to none", async () => {
    const revoked = await revokeAll({ userId: "ali" });
    expect(revoked.keyIds).toEqual(idsOf(first, second, roaming, elsewhere));
    expect(await isAllowed(olgas)).toEqual([true]);
  });

  it("without a user ends all that is bound to a workspace", async () => {
    expect((await revokeAll({ workspaceId: "w1" })).keyIds).toEqual(idsOf(first, second, olgas));
    expect(await isAllowed(elsewhere)).toEqual([true]);
  });

  it("ends disabled and expired keys too, which could be brought back, and leaves what was revoked as it is", async () => {
    await world.keys.update(
      { keyId: first.key.id, changes: { disabled: true }, actorUserId: "" },
      admin,
      NO_DEADLINE,
    );
    const short = await world.createKey(by("ali", ["tickets.read"], { type: "short" }));
    world.wait(2 * HOUR);
    const target = { target: { keyId: second.key.id }, reason: "leaked", actorUserId: "" };
    await world.keys.revoke(target, admin, NO_DEADLINE);
    const revoked = await revokeAll({ workspaceId: "w1", userId: "ali" });
    expect(revoked.keyIds).toEqual(idsOf(first, short));
    expect(await world.keys.get(second.key.id, admin, NO_DEADLINE)).toMatchObject({ revokeReason: "leaked" });
  });

  it("a repeat ends nothing more", async () => {
    await revokeAll({ userId: "ali" });
    expect(await revokeAll({ userId: "ali" })).toEqual({ keyIds: [], more: false });
  });

  it.each([
    ["who manages the workspace's keys", { workspaceId: "w1", actorUserId: "olga" }],
    [
      "who manages the workspace's keys, for one user's",
      { workspaceId: "w1", userId: "ali", actorUserId: "olga" },
    ],
    ["who manages his own, for his own", { workspaceId: "w1", userId: "ali", actorUserId: "ali" }],
    ["who manages his own in each of his workspaces", { userId: "ali", actorUserId: "ali" }],
  ])("on behalf of one %s", async (_, fields) => {
    expect((await revokeAll(fields, keysOnly)).keyIds).toContain(first.key.id);
    expect(await isAllowed(first)).toEqual([false]);
  });

  it.each([
    ["nobody, by a caller without admin", { userId: "ali" }, "ACTOR_REQUIRED"],
    [
      "who manages his own, for the workspace's",
      { workspaceId: "w1", actorUserId: "ali" },
      "ROLE_INSUFFICIENT",
    ],
    [
      "who manages his own, for another's",
      { workspaceId: "w1", userId: "olga", actorUserId: "ali" },
      "ROLE_INSUFFICIENT",
    ],
    ["who manages none", { workspaceId: "w1", userId: "gus", actorUserId: "gus" }, "ROLE_INSUFFICIENT"],
    ["who is no member", { workspaceId: "w1", actorUserId: "eve" }, "NOT_A_MEMBER"],
    ["who manages some of a user's keys only", { userId: "ali", actorUserId: "olga" }, /./],
  ])("not on behalf of %s, and then nothing is done", async (_, fields, reason) => {
    await expect(revokeAll(fields, keysOnly)).rejects.toMatchObject({
      code: "permission_denied",
      reason: expect.stringMatching(reason),
    });
    expect(await isAllowed(first, second, elsewhere, olgas)).toEqual([true, true, true, true]);
    expect((await world.keys.get(roaming.key.id, admin, NO_DEADLINE)).revokeTimeMs).toBeUndefined();
  });

  it("names a user or a workspace, and an api that the caller may change", async () => {
    await expect(revokeAll({})).rejects.toMatchObject({ code: "invalid_argument" });
    await expect(revokeAll({ api: "none", userId: "ali" })).rejects.toMatchObject({ reason: "API_UNKNOWN" });
    const other = callerWith(["keys", "admin"], ["other"]);
    await expect(revokeAll({ userId: "ali" }, other)).rejects.toMatchObject({ reason: "API_NOT_GRANTED" });
    expect(await isAllowed(first)).toEqual([true]);
  });

  it("ends 10,000 keys a call, and says that there are more", async () => {
    for (let made = 0; made < 10_000; made++) await world.createKey(by("olga"));
    const revoked = await revokeAll({ userId: "olga" });
    expect([revoked.keyIds.length, revoked.more]).toEqual([10_000, true]);
    expect(await revokeAll({ userId: "olga" })).toEqual({ keyIds: [olgas.key.id], more: false });
  });
});

describe("rotating", () => {
  const rotate = (keyId: string, fields: object = {}) =>
    world.keys.rotate(
      { keyId, overlapMs: undefined, actorUserId: "", requestId: "", ...fields },
      admin,
      NO_DEADLINE,
    );

  it("lets both secrets in until the overlap ends, and tells which was used", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    const rotated = await rotate(key.id);
    expect(rotated.key.previousExpireTimeMs).toBe(world.now() + HOUR);
    expect(await world.check(secret, "tickets.read")).toMatchObject({ allowed: true });
    expect(await world.check(rotated.secret, "tickets.read")).toMatchObject({ allowed: true });
    expect(world.uses.map((use) => use.secret)).toEqual(["previous", "current"]);
    world.wait(HOUR);
    expect(await world.check(secret, "tickets.read")).toMatchObject({ reason: "KEY_EXPIRED" });
    expect(await world.check(rotated.secret, "tickets.read")).toMatchObject({ allowed: true });
  });

  it("with overlap 0 ends the old secret now, also one whose overlap still ran", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    const second = await rotate(key.id);
    await expect(rotate(key.id)).rejects.toMatchObject({
      code: "failed_precondition",
      reason: "ROTATION_IN_PROGRESS",
    });
    const third = await rotate(key.id, { overlapMs: 0 });
    expect((await world.check(secret, "tickets.read")).allowed).toBe(false);
    expect((await world.check(second.secret, "tickets.read")).allowed).toBe(false);
    expect((await world.check(third.secret, "tickets.read")).allowed).toBe(true);
  });

  it("never lets the old secret outlive the key", async () => {
    const { key, secret } = await world.createKey(
      by("ali", ["tickets.read"], { expireTimeMs: world.now() + 1000 }),
    );
    await rotate(key.id);
    world.wait(1000);
    expect(await world.check(secret, "tickets.read")).toMatchObject({ reason: "KEY_EXPIRED" });
    await expect(rotate(key.id, { overlapMs: 0 })).rejects.toMatchObject({ reason: "KEY_EXPIRED" });
  });

  it("a revoked key is FAILED_PRECONDITION, and revoking ends both secrets", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    const rotated = await rotate(key.id);
    await world.keys.revoke({ target: { key: secret }, reason: "", actorUserId: "" }, admin, NO_DEADLINE);
    for (const each of [secret, rotated.secret]) {
      expect(await world.check(each, "tickets.read")).toMatchObject({ reason: "KEY_REVOKED" });
    }
    await expect(rotate(key.id)).rejects.toMatchObject({
      code: "failed_precondition",
      reason: "KEY_REVOKED",
    });
  });

  it("gives nobody a secret that may do more than he", async () => {
    const lesser = desk.replace(
      "agent: {",
      "lead: {permissions: [tickets.read], manages_keys: workspace}\n  agent: {",
    );
    world.reload(lesser);
    await world.putMember("w1", "lea", { role: "lead" });
    const { key } = await world.createKey(by("ali"));
    const asLea = { actorUserId: "lea", overlapMs: 0 };
    await expect(rotate(key.id, asLea)).rejects.toMatchObject({ reason: "ROLE_INSUFFICIENT" });
    expect(await rotate(key.id, { actorUserId: "olga", overlapMs: 0 })).toMatchObject({
      key: { id: key.id },
    });
    expect(
      await world.keys.revoke(
        { target: { keyId: key.id }, reason: "", actorUserId: "lea" },
        keysOnly,
        NO_DEADLINE,
      ),
    ).toMatchObject({ id: key.id });
  });

  it("twice with one request_id is ALREADY_EXISTS also while the first one's overlap runs", async () => {
    const { key } = await world.createKey(by("ali"));
    await rotate(key.id, { requestId: "r2" });
    await expect(rotate(key.id, { requestId: "r2" })).rejects.toMatchObject({ code: "already_exists" });
  });

  it("twice with one request_id changes nothing the second time", async () => {
    const { key } = await world.createKey(by("ali"));
    const rotated = await rotate(key.id, { requestId: "r1", overlapMs: 0 });
    await expect(rotate(key.id, { requestId: "r1", overlapMs: 0 })).rejects.toMatchObject({
      code: "already_exists",
      metadata: { key_id: key.id },
    });
    expect(await world.check(rotated.secret, "tickets.read")).toMatchObject({ allowed: true });
  });
});

describe("updating", () => {
  const update = (keyId: string, changes: object, actorUserId = "") =>
    world.keys.update({ keyId, changes, actorUserId }, admin, NO_DEADLINE);

  it("changes what is named, and leaves the rest", async () => {
    const { key } = await world.createKey(by("ali", ["tickets.read"], { description: "d" }));
    expect(await update(key.id, { name: "new", disabled: true })).toMatchObject({
      name: "new",
      description: "d",
      disabled: true,
      scopes: ["tickets.read"],
      revision: 2,
    });
  });

  it("disables and enables", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    await update(key.id, { disabled: true });
    expect(await world.check(secret, "tickets.read")).toMatchObject({ reason: "KEY_DISABLED" });
    await update(key.id, { disabled: false });
    expect(await world.check(secret, "tickets.read")).toMatchObject({ allowed: true });
  });

  it("passes what is added, and only that, through the gates of creation", async () => {
    const { key } = await world.createKey(by("ali", ["tickets.read", "tickets.write"]));
    await expect(update(key.id, { scopes: ["staff.write"] })).rejects.toMatchObject({
      reason: "ROLE_INSUFFICIENT",
    });
    await expect(update(key.id, { scopes: ["tickets.read", "reports.read"] })).rejects.toMatchObject({
      reason: "SCOPE_UNAVAILABLE",
    });
    await world.putWorkspace("w1", { plan: "free", features: ["api"] });
    expect(await update(key.id, { scopes: ["tickets.read"] })).toMatchObject({ scopes: ["tickets.read"] });
    await expect(update(key.id, { scopes: ["tickets.write"] })).rejects.toMatchObject({
      reason: "PLAN_REQUIRED",
    });
  });

  it("lets an expiry come earlier always, and later only through the gates", async () => {
    const { key } = await world.createKey(by("ali", ["tickets.read"], { expireTimeMs: world.now() + HOUR }));
    await world.putMember("w1", "ali", { role: "guest" });
    await update(key.id, { expireTimeMs: world.now() + 1000 });
    await expect(update(key.id, { expireTimeMs: undefined })).rejects.toMatchObject({
      reason: "ROLE_INSUFFICIENT",
    });
    await expect(update(key.id, { expireTimeMs: world.now() })).rejects.toMatchObject({
      code: "invalid_argument",
    });
    expect(await update(key.id, { expireTimeMs: undefined }, "olga")).toMatchObject({
      expireTimeMs: undefined,
    });
  });

  it("a revoked key is FAILED_PRECONDITION", async () => {
    const { key } = await world.createKey(by("ali"));
    await world.keys.revoke({ target: { keyId: key.id }, reason: "", actorUserId: "" }, admin, NO_DEADLINE);
    await expect(update(key.id, { disabled: false })).rejects.toMatchObject({ reason: "KEY_REVOKED" });
  });
});

describe("a policy that drops what is in use", () => {
  it("a scope: the key may it no more, and again when it comes back", async () => {
    const { secret } = await world.createKey(by("olga", ["staff.write", "tickets.read"]));
    world.reload(desk.replace("  staff.write: {}\n", "").replace(", staff.write: 1", ""));
    expect(await world.check(secret, "tickets.read")).toMatchObject({
      allowed: true,
      principal: { permissions: ["tickets.read"] },
    });
    world.reload(desk);
    expect(await world.check(secret, "staff.write")).toMatchObject({ allowed: true });
  });

  it("a role: its members may nothing, and can be given another", async () => {
    const { secret } = await world.createKey(by("ali"));
    world.reload(desk.replace(/ {2}agent:.*\n/, ""));
    expect(await world.check(secret, "tickets.read")).toMatchObject({ reason: "ROLE_INSUFFICIENT" });
    await expect(world.createKey(by("ali"))).rejects.toMatchObject({ reason: "ROLE_INSUFFICIENT" });
    await expect(world.putMember("w1", "new", { role: "agent" })).rejects.toMatchObject({
      code: "invalid_argument",
    });
    await world.putMember("w1", "ali", { role: "agent" });
    await world.putMember("w1", "ali", { role: "guest" });
    expect(await world.check(secret, "tickets.read")).toMatchObject({ allowed: true });
  });

  it("a plan: workspaces on it rank below the lowest", async () => {
    const { secret } = await world.createKey(by("ali"));
    world.reload(desk.replace(", business", ""));
    expect(await world.check(secret, "tickets.read")).toMatchObject({ reason: "PLAN_REQUIRED" });
  });

  it("a key type: its keys are refused, and can still be revoked", async () => {
    const { key, secret } = await world.createKey(by("ali"));
    world.reload(desk.replace(/ {2}personal:.*\n/, ""));
    expect(await world.check(secret, "tickets.read")).toMatchObject({ reason: "KEY_MALFORMED" });
    await expect(
      world.keys.rotate({ keyId: key.id, overlapMs: 0, actorUserId: "", requestId: "" }, admin, NO_DEADLINE),
    ).rejects.toMatchObject({ reason: "KEY_TYPE_UNKNOWN" });
    expect(
      await world.keys.revoke(
        { target: { keyId: key.id }, reason: "", actorUserId: "olga" },
        keysOnly,
        NO_DEADLINE,
      ),
    ).toMatchObject({ id: key.id });
  });
});

describe("listing", () => {
  it("pages through the filter, newest first, and refuses another query's token", async () => {
    const made: string[] = [];
    for (let index = 0; index < 5; index++) {
      world.wait(1);
      made.unshift((await world.createKey(by(index % 2 === 0 ? "ali" : "olga"))).key.id);
    }
    const list = (fields: object) =>
      world.keys.list(
        {
          api: "desk",
          workspaceId: "",
          userId: "",
          status: undefined,
          pageSize: 2,
          pageToken: "",
          ...fields,
        },
        admin,
        NO_DEADLINE,
      );
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await list({ pageToken });
      seen.push(...page.keys.map((key) => key.id));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toEqual(made);
    const first = await list({});
    await expect(list({ userId: "ali", pageToken: first.nextPageToken })).rejects.toMatchObject({
      code: "invalid_argument",
      violations: [{ field: "page_token" }],
    });
  });
});
