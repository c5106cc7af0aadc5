import { beforeEach, describe, expect, it } from "vitest";
import { admin, callerWith, createWorld, NO_DEADLINE } from "./world.ts";

const store = `
api: store
directory: company
plans: [free, pro]
permissions: {items.read: 1}
roles: {owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}}
scopes: {items.read: {}}
locations: {query: shop}
key_types: {token: {prefix: store_, workspace: bound, scopes: selected, acts_as: creator}}
limits: [{name: points, per: workspace, points: 100, window: 60s}]
`;
const billing = store
  .replace("api: store", "api: billing")
  .replace("store_", "billing_")
  .replace("[free, pro]", "[free, pro, max]")
  .replace("{owner:", "{auditor: {permissions: [items.read]}, owner:");

let world: ReturnType<typeof createWorld>;
const target = { directory: "company", workspaceId: "w1" };
const put = (input: object, caller = admin) =>
  world.directory.putWorkspace(
    { ...target, fields: {}, replace: true, sourceVersion: 0n, ...input },
    caller,
    NO_DEADLINE,
  );
const putAnn = (input: object) =>
  world.directory.putMember(
    {
      ...target,
      userId: "ann",
      fields: { role: "owner", allLocations: true },
      replace: true,
      sourceVersion: 0n,
      ...input,
    },
    admin,
    NO_DEADLINE,
  );

beforeEach(() => {
  world = createWorld(store, billing);
});

describe("a directory that several apis share", () => {
  it("need not be named when it is the only one, and takes what any of them knows", async () => {
    await world.putWorkspace("w1", { plan: "max" });
    await world.putMember("w1", "ann", { role: "auditor" });
    expect(await world.directory.getWorkspace(target, admin, NO_DEADLINE)).toMatchObject({ plan: "max" });
  });

  it("is closed to a caller who is limited to one of them", async () => {
    await expect(put({}, callerWith(["directory"], ["store"]))).rejects.toMatchObject({
      reason: "API_NOT_GRANTED",
    });
    await put({}, callerWith(["directory"], ["store", "billing"]));
  });

  it("deleted, takes the keys of all of them with it, for good", async () => {
    await put({ fields: { plan: "free" } });
    await putAnn({});
    const secrets: [string, string][] = [];
    for (const api of ["store", "billing"]) {
      const { secret } = await world.createKey({
        api,
        workspaceId: "w1",
        userId: "ann",
        scopes: ["items.read"],
      });
      secrets.push([api, secret]);
      expect(await world.check(secret, "items.read", { api })).toMatchObject({ allowed: true });
    }
    await world.directory.deleteWorkspace(target, admin, NO_DEADLINE);
    await put({ fields: { plan: "free" } });
    await putAnn({});
    for (const [api, secret] of secrets) {
      expect(await world.check(secret, "items.read", { api })).toMatchObject({ reason: "KEY_REVOKED" });
    }
    await world.directory.deleteWorkspace({ ...target, workspaceId: "none" }, admin, NO_DEADLINE);
  });
});

describe("a workspace", () => {
  it("with a mask keeps what is not named, and must exist", async () => {
    await expect(put({ fields: { plan: "pro" }, replace: false })).rejects.toMatchObject({
      code: "not_found",
    });
    await put({ fields: { name: "One", plan: "pro", features: ["a"] } });
    expect(await put({ fields: { plan: "free" }, replace: false })).toMatchObject({
      name: "One",
      plan: "free",
      features: ["a"],
    });
    expect(await put({ fields: { plan: "free" } })).toMatchObject({ name: "", features: [] });
  });

  it.each([
    ["plan", { plan: "gold" }, "workspace.plan"],
    ["withheld scope", { withheldScopes: ["items.read", "items.eat"] }, "workspace.withheld_scopes[1]"],
  ])("with an unknown %s is INVALID_ARGUMENT", async (_, fields, field) => {
    await expect(put({ fields })).rejects.toMatchObject({
      code: "invalid_argument",
      violations: [{ field }],
    });
  });

  it("is not restored by a late message", async () => {
    await put({ fields: { suspended: true }, sourceVersion: 8n });
    await expect(put({ sourceVersion: 7n })).rejects.toMatchObject({
      code: "failed_precondition",
      reason: "SOURCE_VERSION_STALE",
    });
    await put({ fields: { suspended: true }, sourceVersion: 8n });
    expect(await world.directory.getWorkspace(target, admin, NO_DEADLINE)).toMatchObject({ suspended: true });
  });
});

describe("a member", () => {
  it("needs a workspace, a known role, and where there are locations, some", async () => {
    await expect(putAnn({})).rejects.toMatchObject({ code: "not_found" });
    await put({});
    await expect(putAnn({ fields: { role: "king", allLocations: true } })).rejects.toMatchObject({
      violations: [{ field: "member.role" }],
    });
    await expect(putAnn({ fields: { role: "owner" } })).rejects.toMatchObject({
      violations: [{ field: "member.location_ids" }],
    });
    await expect(putAnn({ fields: { role: "owner", locationIds: ["north", "*"] } })).rejects.toMatchObject({
      violations: [{ field: "member.location_ids[1]" }],
    });
    await putAnn({ fields: { role: "owner", locationIds: ["north"] } });
  });

  it("removed and put again has his keys again, unless the put is older than the removal", async () => {
    await put({ fields: { plan: "free" } });
    await putAnn({ sourceVersion: 3n });
    const { secret } = await world.createKey({
      api: "store",
      workspaceId: "w1",
      userId: "ann",
      scopes: ["items.read"],
    });
    const remove = (sourceVersion: bigint) =>
      world.directory.removeMember({ ...target, userId: "ann", sourceVersion }, admin, NO_DEADLINE);
    await remove(5n);
    expect(await world.check(secret, "items.read", { api: "store" })).toMatchObject({
      reason: "NOT_A_MEMBER",
    });
    await expect(putAnn({ sourceVersion: 4n })).rejects.toMatchObject({ reason: "SOURCE_VERSION_STALE" });
    await putAnn({ sourceVersion: 6n });
    expect(await world.check(secret, "items.read", { api: "store" })).toMatchObject({ allowed: true });
  });

  it("that is not there is NOT_FOUND, and no error to remove", async () => {
    await expect(
      world.directory.getMember({ ...target, userId: "eve" }, admin, NO_DEADLINE),
    ).rejects.toMatchObject({ code: "not_found" });
    await world.directory.removeMember({ ...target, userId: "eve", sourceVersion: 0n }, admin, NO_DEADLINE);
  });
});
