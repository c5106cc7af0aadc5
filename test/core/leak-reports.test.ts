import { beforeEach, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import { createLeakReports, type Leak } from "../../src/core/leak-reports.ts";
import { admin, createWorld, NO_DEADLINE } from "./world.ts";

const shop = `
api: shop
permissions: {read: 1}
roles: {owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}}
scopes: {read: {}}
key_types: {personal: {prefix: shop_, workspace: bound, scopes: selected, acts_as: creator}}
limits: [{name: points, per: workspace, points: 100, window: 60s}]
`;

let world: ReturnType<typeof createWorld>;
let counted: string[];

beforeEach(async () => {
  counted = [];
  world = createWorld(shop);
  await world.putWorkspace("w1");
  await world.putMember("w1", "olga", { role: "owner" });
});

const createKey = () => world.createKey({ workspaceId: "w1", userId: "olga", scopes: ["read"] });
const leak = (token: string, fields: Partial<Leak> = {}): Leak => ({
  token,
  url: "https://example.com/a/b",
  source: "content",
  ...fields,
});
const report = (...leaks: readonly Leak[]) =>
  createLeakReports({ keys: world.keys, onLeak: (label) => counted.push(label) }).report(leaks, NO_DEADLINE);
const reasonOf = async (id: string) => (await world.keys.get(id, admin, NO_DEADLINE)).revokeReason;

test("what is a key's is revoked, what is nobody's is not; each is labelled, in order, and counted", async () => {
  const { key, secret } = await createKey();
  const other = await createKey();
  const labels = await report(leak("shop_nothing"), leak(secret), leak(secret));
  expect(labels).toEqual(["false_positive", "true_positive", "true_positive"]);
  expect(counted).toEqual(labels);
  expect(await reasonOf(key.id)).toBe("leaked: content, https://example.com/a/b");
  expect(await world.check(secret, "read")).toMatchObject({ reason: "KEY_REVOKED" });
  expect(await world.check(other.secret, "read")).toMatchObject({ allowed: true });
});

test("a repeat is a true positive again, and keeps the first reason", async () => {
  const { key, secret } = await createKey();
  await report(leak(secret));
  expect(await report(leak(secret, { source: "commit" }))).toEqual(["true_positive"]);
  expect(await reasonOf(key.id)).toBe("leaked: content, https://example.com/a/b");
});

test.each<[string, (secret: string) => Partial<Leak>, string]>([
  [
    "user, query and fragment are dropped",
    () => ({ url: "https://u:p@h.example/x?a=b#c" }),
    "leaked: content, https://h.example/x",
  ],
  ["a secret in the path", (secret) => ({ url: `https://h.example/${secret}` }), "leaked: content"],
  ["no address", () => ({ url: "" }), "leaked: content"],
  ["an address of another kind", () => ({ url: "javascript:alert(1)" }), "leaked: content"],
  ["a source that is no word", () => ({ source: "a\nb", url: "" }), "leaked: unknown source"],
  [
    "a secret as the source",
    (secret) => ({ source: secret.slice(0, 64), url: "" }),
    "leaked: unknown source",
  ],
])("the reason is for people, and holds no secret: %s", async (_, fields, reason) => {
  const { key, secret } = await createKey();
  await report(leak(secret, fields(secret)));
  const stored = await reasonOf(key.id);
  expect(stored).toBe(reason);
  expect(stored).not.toContain(secret);
});

test("an address is cut to 300 characters, well within what a reason may have", async () => {
  const { key, secret } = await createKey();
  await report(leak(secret, { url: `https://h.example/${"x".repeat(5000)}` }));
  expect(await reasonOf(key.id)).toHaveLength("leaked: content, ".length + 300);
});

test("what could not be decided is no label but an error, and counts nothing", async () => {
  const failure = new TollgateError("unavailable", "no store", { reason: "STORE_UNAVAILABLE" });
  const { report } = createLeakReports({
    keys: { revoke: () => Promise.reject(failure) },
    onLeak: (label) => counted.push(label),
  });
  await expect(report([leak("shop_x")], NO_DEADLINE)).rejects.toBe(failure);
  expect(counted).toEqual([]);
});
