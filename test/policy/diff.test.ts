import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { diffPolicies } from "../../src/policy/diff.ts";
import { policyOf, SHOP, shopWith } from "./policy-text.ts";

const NONE = { plans: [], roles: [], scopes: [], presets: [], keyTypes: [] };

/** Changes as "kind about: message". */
function changes(before: string, after: string): string[] {
  return diffPolicies(policyOf(before), policyOf(after)).changes.map(
    ({ kind, about, message }) => `${kind} ${about}: ${message}`,
  );
}

test("a policy and itself differ in nothing", () => {
  const retrac = policyOf(readFileSync("policies/retrac.yaml", "utf8"));
  expect(diffPolicies(retrac, retrac)).toEqual({ changes: [], dropped: NONE });
});

type Row = readonly [
  what: string,
  from: string,
  to: string,
  wide: readonly string[],
  narrow: readonly string[],
];

/** A wider piece of text in place of a narrower: what that gives, and what the way back takes. */
const ROWS: readonly Row[] = [
  [
    "a cost",
    "items.write: 2",
    "items.write: 1",
    [
      "gives permissions.items.write: the cost was 2, and is 1",
      "gives POST /items: the cost was 2, and is 1",
    ],
    [
      "takes permissions.items.write: the cost was 1, and is 2",
      "takes POST /items: the cost was 1, and is 2",
    ],
  ],
  [
    "a role's permission",
    "permissions: [items.read]}",
    "permissions: [items.read, items.write]}",
    ["gives roles.clerk: may now items.write"],
    ["takes roles.clerk: may no longer items.write"],
  ],
  [
    "who creates keys",
    "clerk: {permissions: [items.read]}",
    "clerk: {permissions: [items.read], creates_keys: true}",
    ["gives roles.clerk: creates_keys was false, and is true"],
    ["takes roles.clerk: creates_keys was true, and is false"],
  ],
  [
    "who manages keys",
    "clerk: {permissions: [items.read]}",
    "clerk: {permissions: [items.read], manages_keys: own}",
    ["gives roles.clerk: manages_keys was none, and is own"],
    ["takes roles.clerk: manages_keys was own, and is none"],
  ],
  [
    "what a scope grants",
    "  items.write: {}",
    "  items.write: {grants: [items.read, items.write]}",
    ["gives scopes.items.write: now grants items.read"],
    ["takes scopes.items.write: no longer grants items.read"],
  ],
  [
    "a scope's gate",
    "  items.write: {requires: {plan: pro, feature: beta}}",
    "  items.write: {}",
    [
      'gives scopes.items.write.requires: the required plan was "pro", and is none',
      'gives scopes.items.write.requires: the required feature was "beta", and is none',
    ],
    [
      'takes scopes.items.write.requires: the required plan was none, and is "pro"',
      'takes scopes.items.write.requires: the required feature was none, and is "beta"',
    ],
  ],
  [
    "a preset",
    "everything: [items.read]",
    'everything: ["*"]',
    ["gives presets.everything: now stands also for items.write"],
    ["takes presets.everything: no longer stands for items.write"],
  ],
  [
    "https",
    "plans:",
    "https: any\nplans:",
    ["gives https: https was required, and is any"],
    ["takes https: https was any, and is required"],
  ],
  [
    "shadow",
    "plans:",
    "enforcement: shadow\nplans:",
    ["gives enforcement: enforcement was enforce, and is shadow"],
    ["takes enforcement: enforcement was shadow, and is enforce"],
  ],
  [
    "the required plan",
    "plans: [free, pro]",
    "plans: [free, pro]\nrequires: {plan: free}",
    ['takes requires: the required plan was none, and is "free"'],
    ['gives requires: the required plan was "free", and is none'],
  ],
  [
    "a lower required plan",
    "plans: [free, pro]\nrequires: {plan: pro}",
    "plans: [free, pro]\nrequires: {plan: free}",
    ['gives requires: the required plan was "pro", and is "free"'],
    ['takes requires: the required plan was "free", and is "pro"'],
  ],
  [
    "the clients' addresses",
    "plans:",
    "allowed_cidrs: [10.0.0.0/8]\nplans:",
    ["takes allowed_cidrs: the clients' addresses was any, and is 10.0.0.0/8"],
    ["gives allowed_cidrs: the clients' addresses was 10.0.0.0/8, and is any"],
  ],
  [
    "the key type's scopes",
    "scopes: selected",
    "scopes: all",
    ["gives key_types.secret: scopes was selected, and is all"],
    ["takes key_types.secret: scopes was all, and is selected"],
  ],
  [
    "the longest life",
    "prefix: shop_,",
    "prefix: shop_, max_ttl: 30d,",
    ["takes key_types.secret: max_ttl was none, and is 30d"],
    ["gives key_types.secret: max_ttl was 30d, and is none"],
  ],
  [
    "a longer life",
    "prefix: shop_, max_ttl: 30d,",
    "prefix: shop_, max_ttl: 60d,",
    ["gives key_types.secret: max_ttl was 30d, and is 60d"],
    ["takes key_types.secret: max_ttl was 60d, and is 30d"],
  ],
  [
    "a legacy pattern",
    "prefix: shop_,",
    'prefix: shop_, legacy: ["^[0-9a-f]{32}$"],',
    ["gives key_types.secret.legacy: new: ^[0-9a-f]{32}$"],
    ["takes key_types.secret.legacy: no longer: ^[0-9a-f]{32}$"],
  ],
  [
    "a limit's points",
    "points: 100",
    "points: 200",
    ["gives limits.points: the points was 100, and is 200"],
    ["takes limits.points: the points was 200, and is 100"],
  ],
  [
    "a plan's points",
    "window: 60s",
    "window: 60s, plan_points: {pro: 500}",
    ['gives limits.points: the points on plan "pro" was 100, and is 500'],
    ['takes limits.points: the points on plan "pro" was 500, and is 100'],
  ],
  [
    "a limit's window",
    "window: 60s",
    "window: 30s",
    ["gives limits.points: the window was 60s, and is 30s"],
    ["takes limits.points: the window was 30s, and is 60s"],
  ],
  [
    "a limit's warning",
    "window: 60s",
    "window: 60s, warn_at: 0.5",
    ["changes limits.points: the share to warn at was 0.9, and is 0.5"],
    ["changes limits.points: the share to warn at was 0.5, and is 0.9"],
  ],
  [
    "a limit's block",
    "window: 60s",
    "window: 60s, block: 5m",
    ["takes limits.points: the block was none, and is 5m"],
    ["gives limits.points: the block was 5m, and is none"],
  ],
  [
    "a limit's subject",
    "per: workspace",
    'per: descriptor, descriptor: {remote_address: "*", path: /a}',
    [
      "changes limits.points: per was workspace, and is descriptor",
      'changes limits.points: the descriptor was none, and is {path: "/a", remote_address: "*"}',
    ],
    [
      "changes limits.points: per was descriptor, and is workspace",
      'changes limits.points: the descriptor was {path: "/a", remote_address: "*"}, and is none',
    ],
  ],
  [
    "a limit's shape",
    "window: 60s",
    "window: 60s, shape: fixed",
    ["gives limits.points: the shape was sliding, and is fixed"],
    ["takes limits.points: the shape was fixed, and is sliding"],
  ],
  [
    "a limit's environments",
    "window: 60s",
    "window: 60s, environments: [live]",
    ["gives limits.points: the environments was all, and is live"],
    ["takes limits.points: the environments was live, and is all"],
  ],
  [
    "a limit in shadow",
    "window: 60s",
    "window: 60s, shadow: true",
    ["gives limits.points: shadow was false, and is true"],
    ["takes limits.points: shadow was true, and is false"],
  ],
  [
    "a limit in shadow with other points",
    "points: 100, window: 60s",
    "points: 50, window: 60s, shadow: true",
    [
      "changes limits.points: the points was 100, and is 50",
      "gives limits.points: shadow was false, and is true",
    ],
    [
      "takes limits.points: shadow was true, and is false",
      "changes limits.points: the points was 50, and is 100",
    ],
  ],
  [
    "a new limit in shadow",
    "limits:\n",
    "limits:\n  - {name: burst, per: key, points: 10, window: 1s, shadow: true}\n",
    ["changes limits.burst: a new limit: 10 points in 1s per key, sliding, in shadow: refuses nothing"],
    ["changes limits.burst: there is no such limit any more"],
  ],
  [
    "a scope in shadow",
    "  items.write: {}",
    "  items.write: {shadow: true}",
    ["gives scopes.items.write: shadow was false, and is true"],
    ["takes scopes.items.write: shadow was true, and is false"],
  ],
  [
    "a new scope in shadow",
    "presets:",
    "  all: {grants: [items.read], shadow: true}\npresets:",
    [
      "gives scopes.all: a new scope, in shadow: keys that lack it may do what it grants",
      "gives presets.everything: now stands also for all",
    ],
    [
      "takes scopes.all: there is no such scope any more; keys with it lose it",
      "takes presets.everything: no longer stands for all",
    ],
  ],
  [
    "what buckets lie together by",
    "plans:",
    "tag: api\nplans:",
    ['changes tag: tag was "workspace", and is "api"'],
    ['changes tag: tag was "api", and is "workspace"'],
  ],
  [
    "a route's cost",
    "permission: items.read}",
    "permission: items.read, cost: 0}",
    ["gives GET /items: the cost was 1, and is 0"],
    ["takes GET /items: the cost was 0, and is 1"],
  ],
  [
    "a route's location",
    ", location: path.shop",
    "",
    ["gives GET /shops/:shop/items: no longer names a location by segment 2"],
    ["takes GET /shops/:shop/items: now names a location by segment 2"],
  ],
  [
    "a route's workspace",
    "permission: items.read}",
    "permission: items.read, workspace: none}",
    ["gives GET /items: the workspace was asked for, and is not asked for"],
    ["takes GET /items: the workspace was not asked for, and is asked for"],
  ],
  [
    "a new route",
    "limits:",
    '  - {match: "PUT /items", permission: items.write}\nlimits:',
    ["gives PUT /items: is a new route"],
    ["takes PUT /items: is no route any more"],
  ],
  [
    "a new role",
    "key_types:",
    "  temp: {permissions: []}\nkey_types:",
    ["gives roles.temp: a new role"],
    ["takes roles.temp: there is no such role any more; its members may do nothing"],
  ],
  [
    "a new limit",
    "limits:\n",
    "limits:\n  - {name: burst, per: key, points: 10, window: 1s, block: 10s}\n",
    ["takes limits.burst: a new limit: 10 points in 1s per key, sliding, then blocked for 10s"],
    ["gives limits.burst: there is no such limit any more"],
  ],
  [
    "another prefix",
    "prefix: shop_,",
    "prefix: shop_live_,",
    ['takes key_types.secret: the prefix was "shop_", and is "shop_live_"'],
    ['takes key_types.secret: the prefix was "shop_live_", and is "shop_"'],
  ],
  [
    "another host",
    "[api.shop.example]",
    "[www.shop.example]",
    ["takes hosts: no longer: api.shop.example", "gives hosts: new: www.shop.example"],
    ["takes hosts: no longer: www.shop.example", "gives hosts: new: api.shop.example"],
  ],
  [
    "the outage",
    "plans:",
    "on_outage: deny\nplans:",
    ['changes on_outage: on_outage was "local", and is "deny"'],
    ['changes on_outage: on_outage was "deny", and is "local"'],
  ],
  [
    "what gateways do on errors",
    "plans:",
    "on_error: gateway\nplans:",
    ['changes on_error: on_error was "deny", and is "gateway"'],
    ['changes on_error: on_error was "gateway", and is "deny"'],
  ],
];

/** SHOP, with a route that writes and the narrower piece of text. */
const BASE = shopWith(["limits:", '  - {match: "POST /items", permission: items.write}\nlimits:']);

describe("a change is told with what it gives, and its way back with what it takes", () => {
  test.each(ROWS)("%s", (_, from, to, there, back) => {
    const before = narrowed(from);
    expect(before).toContain(from);
    const after = before.replace(from, () => to);
    expect(changes(before, after)).toEqual(there);
    expect(changes(after, before)).toEqual(back);
  });
});

/** BASE, with a field that the row begins with and BASE does not have. */
function narrowed(from: string): string {
  if (BASE.includes(from)) return BASE;
  return BASE.replace('everything: ["*"]', from.startsWith("everything") ? from : 'everything: ["*"]')
    .replace("  items.write: {}", from.startsWith("  items.write: {") ? from : "  items.write: {}")
    .replace("plans: [free, pro]", from.startsWith("plans: ") ? from : "plans: [free, pro]")
    .replace("prefix: shop_,", from.startsWith("prefix: ") ? from : "prefix: shop_,");
}

test("the names that disappear are listed, so that their users can be counted", () => {
  const after = shopWith(
    ["plans: [free, pro]", "plans: [pro]"],
    ["  clerk: {permissions: [items.read]}\n", ""],
    ["  secret: {prefix: shop_", "  other: {prefix: other_"],
    ["  items.write: 2\n", ""],
    ["  items.write: {}\n", ""],
    ["presets:\n  everything:", "presets:\n  all:"],
  );
  expect(diffPolicies(policyOf(SHOP), policyOf(after)).dropped).toEqual({
    plans: ["free"],
    roles: ["clerk"],
    scopes: ["items.write"],
    presets: ["everything"],
    keyTypes: ["secret"],
  });
});

test("what is taken comes first, what is given last", () => {
  const kinds = diffPolicies(
    policyOf(SHOP),
    policyOf(shopWith(["points: 100", "points: 50"], ["plans:", "on_outage: deny\nhttps: any\nplans:"])),
  ).changes.map(({ kind }) => kind);
  expect(kinds).toEqual(["takes", "changes", "gives"]);
});

test("policies of the same meaning have no difference, and others have one", () => {
  const same = shopWith(['permissions: ["*"]', "permissions: [items.write, items.read]"]);
  expect(changes(SHOP, same)).toEqual([]);
});
