import { beforeEach, expect, test } from "vitest";
import type { PointsSubject } from "../../src/core/points.ts";
import { admin, callerWith, createWorld, NO_DEADLINE } from "./world.ts";

const shop = `
api: shop
plans: [free, pro]
permissions: {items.read: {cost: 1, any_key: true}}
roles:
  owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}
key_types:
  bound: {prefix: shop_, workspace: bound, scopes: all, acts_as: creator, environment: live}
  roaming: {prefix: "", workspace: {query: w}, scopes: all, acts_as: creator, environment: live}
limits:
  - {name: all, per: workspace, points: 10, plan_points: {pro: 20}, window: 60s, block: 5m}
  - {name: mine, per: key, points: 8, window: 60s}
`;

let world: ReturnType<typeof createWorld>;
let keyId = "";
let secret = "";
const order = { reason: "the client retried in a loop", actorUserId: "sam" };

beforeEach(async () => {
  world = createWorld(shop);
  for (const workspace of ["w1", "w2"]) {
    await world.putWorkspace(workspace, { plan: "free" });
    await world.putMember(workspace, "u1", { role: "owner" });
  }
  const made = await world.createKey({ type: "bound", workspaceId: "w1", userId: "u1" });
  keyId = made.key.id;
  secret = made.secret;
});

function subject(change: Partial<PointsSubject> = {}): PointsSubject {
  return { key: { keyId }, workspaceId: "", limitName: "", ...change };
}

const show = (change: Partial<PointsSubject> = {}, caller = admin) =>
  world.points.show(subject(change), caller, NO_DEADLINE);
const reset = (change: Partial<PointsSubject> = {}, caller = admin) =>
  world.points.reset({ ...subject(change), ...order }, caller, NO_DEADLINE);
const grant = (points: number, change: Partial<PointsSubject> & { requestId?: string } = {}) =>
  world.points.grant({ requestId: "", ...subject(change), ...order, points }, admin, NO_DEADLINE);
const left = ({ limits }: { limits: readonly { limitName: string; remaining: number }[] }) =>
  Object.fromEntries(limits.map(({ limitName, remaining }) => [limitName, remaining]));

test("the state of every limit is shown, by id and by secret, with the points of the workspace's plan", async () => {
  await world.consume(keyId, 3);
  const expected = {
    api: "shop",
    keyId,
    workspaceId: "w1",
    limits: [
      {
        limitName: "all",
        limit: 10,
        cost: 0,
        remaining: 7,
        windowSeconds: 60,
        resetMs: 60_000,
        blockedMs: 0,
      },
      {
        limitName: "mine",
        limit: 8,
        cost: 0,
        remaining: 5,
        windowSeconds: 60,
        resetMs: 60_000,
        blockedMs: 0,
      },
    ],
  };
  expect(await show()).toEqual(expected);
  expect(await show({ key: { secret } })).toEqual(expected);
  await world.putWorkspace("w1", { plan: "pro" });
  expect(left(await show({ limitName: "all" }))).toEqual({ all: 17 });
});

test("to be shown costs nothing, starts no block, and does not wait for one to end", async () => {
  await world.consume(keyId, 8);
  for (let call = 0; call < 20; call++) expect(left(await show())).toEqual({ all: 2, mine: 0 });
  expect((await show()).limits.map(({ blockedMs }) => blockedMs)).toEqual([0, 0]);
  await world.consume(keyId, 5);
  expect((await show()).limits[0]).toMatchObject({ remaining: 0, blockedMs: 300_000 });
  expect(world.audited).toEqual([]);
});

test("a reset gives all points back and ends the block, of all limits or the named one", async () => {
  await world.consume(keyId, 8);
  expect((await world.consume(keyId, 5)).reason).toBe("POINTS_EXCEEDED");
  expect((await world.consume(keyId, 0)).reason).toBe("BLOCKED");
  expect(left(await reset({ limitName: "all" }))).toEqual({ all: 10 });
  expect(left(await show())).toEqual({ all: 10, mine: 0 });
  expect(left(await reset())).toEqual({ all: 10, mine: 8 });
  expect((await world.consume(keyId, 8)).allowed).toBe(true);
});

test("a grant lowers what is spent, at most to nothing, and says by how much", async () => {
  await world.consume(keyId, 3);
  expect(await grant(2)).toMatchObject({ given: [2, 2] });
  expect(await grant(5, { limitName: "mine" })).toMatchObject({
    given: [1],
    limits: [{ limitName: "mine", remaining: 8 }],
  });
  expect(left(await show())).toEqual({ all: 9, mine: 8 });
});

test("a grant is given once for a request_id, which is none of a charge", async () => {
  await world.consume(keyId, 4, { requestId: "r" });
  expect((await grant(4, { requestId: "r" })).given).toEqual([4, 4]);
  await world.consume(keyId, 6);
  expect((await grant(4, { requestId: "r" })).given).toEqual([4, 4]);
  expect(left(await show())).toEqual({ all: 4, mine: 2 });
});

test("what is given back is in the audit log before it is done, with who, whose and why", async () => {
  await world.consume(keyId, 3);
  await reset({ limitName: "all" });
  await grant(2, { requestId: "r" });
  const who = { callerId: "ct_admin", actorUserId: "sam" };
  const whose = { key_id: keyId, api: "shop", workspace_id: "w1", reason: order.reason };
  expect(world.audited).toEqual([
    { ...who, action: "points.reset", detail: { ...whose, limits: ["all"] } },
    {
      ...who,
      action: "points.grant",
      detail: { ...whose, limits: ["all", "mine"], points: 2, request_id: "r" },
    },
  ]);
  expect(JSON.stringify(world.audited)).not.toContain(secret);
});

test("where the audit log cannot be written, nothing is given back", async () => {
  await world.consume(keyId, 3);
  world.failAudit(new Error("no log"));
  await expect(reset()).rejects.toThrow("no log");
  await expect(grant(1)).rejects.toThrow("no log");
  expect(left(await show())).toEqual({ all: 7, mine: 5 });
});

test("a key that is bound to no workspace has the points of the named one, or those outside of any", async () => {
  const { key } = await world.createKey({ type: "roaming", workspaceId: "w1", userId: "u1" });
  await world.consume(key.id, 2, { workspaceId: "w2" });
  const ofKey = { key: { keyId: key.id } };
  expect(left(await show({ ...ofKey, workspaceId: "w2" }))).toEqual({ all: 8, mine: 6 });
  expect(left(await show({ ...ofKey, workspaceId: "w1" }))).toEqual({ all: 10, mine: 6 });
  expect(left(await show(ofKey))).toEqual({ all: 10, mine: 6 });
  await expect(show({ ...ofKey, workspaceId: "none" })).rejects.toMatchObject({
    reason: "WORKSPACE_UNKNOWN",
  });
});

test("a bound key's workspace may be named, and no other", async () => {
  expect((await show({ workspaceId: "w1" })).workspaceId).toBe("w1");
  await expect(show({ workspaceId: "w2" })).rejects.toMatchObject({
    code: "invalid_argument",
    violations: [{ field: "subject.workspace_id" }],
  });
});

test("the points of a revoked key are still shown and given back", async () => {
  await world.consume(keyId, 3);
  await world.keys.revoke({ target: { keyId }, reason: "", actorUserId: "" }, admin, NO_DEADLINE);
  expect(left(await show())).toEqual({ all: 7, mine: 5 });
  expect(left(await reset())).toEqual({ all: 10, mine: 8 });
});

test("keys that there are not, or of other apis, and limits that do not apply, are refused and not audited", async () => {
  const unknown = { code: "not_found", reason: "KEY_UNKNOWN" };
  await expect(reset({ key: { keyId: "key_none" } })).rejects.toMatchObject(unknown);
  await expect(reset({ key: { secret: `${secret}x` } })).rejects.toMatchObject(unknown);
  await expect(reset({}, callerWith(["admin"], ["other"]))).rejects.toMatchObject(unknown);
  await expect(grant(1, { limitName: "none" })).rejects.toMatchObject({
    code: "invalid_argument",
    violations: [{ field: "limit_name" }],
  });
  expect(world.audited).toEqual([]);
});

test("an old secret names the key until its overlap ends", async () => {
  const overlap = { keyId, overlapMs: 1000, actorUserId: "", requestId: "" };
  const rotated = await world.keys.rotate(overlap, admin, NO_DEADLINE);
  expect((await show({ key: { secret } })).keyId).toBe(keyId);
  expect((await show({ key: { secret: rotated.secret } })).keyId).toBe(keyId);
  world.wait(1000);
  await expect(show({ key: { secret } })).rejects.toMatchObject({ reason: "KEY_UNKNOWN" });
});

test("a store that does not answer is an error", async () => {
  world.replaceBuckets({
    take: async () => ({ outcome: "unavailable", states: [], decidedBy: "store" }),
  });
  await expect(show()).rejects.toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
});
