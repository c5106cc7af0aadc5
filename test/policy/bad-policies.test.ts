import { describe, expect, test } from "vitest";
import { problemsOf, SHOP, shopWith } from "./policy-text.ts";

const KEY_TYPE = "{prefix: shop_, workspace: bound, scopes: selected, acts_as: creator}";
const POINTS = "{name: points, per: workspace, points: 100, window: 60s}";
const ITEMS = '{match: "GET /items", permission: items.read}';

/** What is wrong, the text that is, and all that is said of it. */
const ROWS: readonly (readonly [what: string, text: string, problems: readonly string[]])[] = [
  [
    "an empty file",
    "",
    [
      "1:1: The file: write a map with api, directory, hosts, base_path, https, enforcement, tag, on_outage, on_error, grace, plans, requires, allowed_cidrs, locations, write_implies_read, metadata_upstream, permissions, roles, key_types, scopes, presets, routes, limits.",
    ],
  ],
  [
    "a list",
    "- api: shop\n",
    [
      "1:1: The file: write a map with api, directory, hosts, base_path, https, enforcement, tag, on_outage, on_error, grace, plans, requires, allowed_cidrs, locations, write_implies_read, metadata_upstream, permissions, roles, key_types, scopes, presets, routes, limits.",
    ],
  ],
  [
    "no YAML",
    "api: [shop\n",
    [
      "2:1: This is not YAML: Flow sequence in block collection must be sufficiently indented and end with a ]",
    ],
  ],
  [
    "a field twice",
    shopWith(["plans: [free, pro]", "plans: [free, pro]\nplans: [free]"]),
    ["4:1: This key stands twice in the map; keep one."],
  ],
  ["two documents", `${SHOP}---\n${SHOP}`, ["22:1: There are several documents; write one a file."]],
  ["tabs", shopWith(["  items.read: 1", "\titems.read: 1"]), ["5:1: Tabs may not indent; use spaces."]],
  [
    "an unknown tag",
    shopWith(["api: shop", "api: !secret shop"]),
    ["1:6: This is not YAML: Unresolved tag: !secret"],
  ],
  [
    "an unknown field",
    shopWith(["plans:", "plan:"]),
    ['3:1: There is no field "plan". Did you mean "plans"?'],
  ],
  [
    "an unknown field of a role",
    shopWith(["creates_keys", "create_keys"]),
    ['8:31: There is no field "create_keys" in roles.owner. Did you mean "creates_keys"?'],
  ],
  [
    "an unknown field of a route",
    shopWith(["location:", "locations:"]),
    ['19:63: There is no field "locations" in routes[1]. Did you mean "location"?'],
  ],
  [
    "an unknown field of a permission",
    shopWith(["items.read: 1", "items.read: {cst: 1}"]),
    [
      '5:16: There is no field "cst" in permissions.items.read. Did you mean "cost"?',
      '18:39: "GET /items" has no cost, and its permission "items.read" has none either; write a cost in one of both places.',
      '19:51: "GET /shops/:shop/items" has no cost, and its permission "items.read" has none either; write a cost in one of both places.',
    ],
  ],
  [
    "an unknown field far from any",
    shopWith(["api: shop", "api: shop\nzzzzzz: 1"]),
    [
      '2:1: There is no field "zzzzzz". There is api, directory, hosts, base_path, https, enforcement, tag, on_outage, on_error, grace, plans, requires, and 11 more.',
    ],
  ],
  [
    "a missing field",
    shopWith(["api: shop\n", ""]),
    [
      "1:1: The file lacks api: write a name of lower-case letters, digits, _ and -, beginning with a letter, at most 64 long.",
    ],
  ],
  [
    "a missing field of a limit",
    shopWith([", window: 60s", ""]),
    ["21:5: limits[0] lacks window: write a duration such as 500ms, 60s, 5m, 1h or 30d."],
  ],
  [
    "a missing field of a key type",
    shopWith(["prefix: shop_, ", ""]),
    [
      '11:3: key_types.secret lacks prefix: write "" for none, or at most 32 letters, digits, _ and - that end in _ or -, such as acme_live_: without that end it could not be told from the random part.',
    ],
  ],
  [
    "a malformed api",
    shopWith(["api: shop", "api: Shop"]),
    [
      "1:6: api: write a name of lower-case letters, digits, _ and -, beginning with a letter, at most 64 long.",
    ],
  ],
  [
    "a malformed permission name",
    shopWith(["  items.read: 1", "  Items.read: 1\n  items.read: 1"]),
    [
      "5:3: permissions.Items.read: write a name of lower-case letters, digits, . _ : and -, beginning with a letter, at most 128 long.",
    ],
  ],
  [
    "a permission that is __proto__",
    shopWith(["  items.read: 1", "  items.read: 1\n  __proto__: 1"]),
    ["6:3: This cannot be a key; write a name."],
  ],
  [
    "a misspelt choice",
    shopWith(["per: workspace", "per: workspce"]),
    ['21:25: limits[0].per: write one of key, user, workspace, api, descriptor. Did you mean "workspace"?'],
  ],
  [
    "a yes for a flag",
    shopWith(["creates_keys: true", "creates_keys: yes"]),
    ["8:45: roles.owner.creates_keys: write true or false."],
  ],
  [
    "a window without a unit",
    shopWith(["window: 60s", "window: 60"]),
    ["21:57: limits[0].window: write a duration such as 500ms, 60s, 5m, 1h or 30d."],
  ],
  ["a window of no time", shopWith(["window: 60s", "window: 0s"]), ["21:57: A window is from 100ms to 30d."]],
  [
    "a window of a year",
    shopWith(["window: 60s", "window: 365d"]),
    ["21:57: A window is from 100ms to 30d."],
  ],
  [
    "a block of no time",
    shopWith(["window: 60s", "window: 60s, block: 0s"]),
    ["21:69: A block is from 100ms to 30d; leave it out for none."],
  ],
  [
    "a limit of 0",
    shopWith(["points: 100", "points: 0"]),
    [
      "21:44: limits[0].points: a limit of less than 1 point would refuse everything; write at least 1, or leave the limit out.",
    ],
  ],
  [
    "a limit of half a point",
    shopWith(["points: 100", "points: 0.5"]),
    ["21:44: limits[0].points: write a whole number of points."],
  ],
  [
    "a warning at more than all points",
    shopWith(["points: 100", "points: 100, warn_at: 90"]),
    ["21:58: limits[0].warn_at: write a share of the points: a number above 0 and up to 1, such as 0.9."],
  ],
  [
    "a warning at none",
    shopWith(["points: 100", "points: 100, warn_at: 0"]),
    ["21:58: limits[0].warn_at: write a share of the points: a number above 0 and up to 1, such as 0.9."],
  ],
  [
    "a limit of too many points",
    shopWith(["points: 100", "points: 4294967296"]),
    ["21:44: limits[0].points: write at most 1000000000 points."],
  ],
  [
    "a negative cost",
    shopWith(["items.read: 1", "items.read: -1"]),
    ["5:15: permissions.items.read: write a whole number of points, 0 or more, at most 1000000000."],
  ],
  [
    "a cost in words",
    shopWith(["items.read: 1", "items.read: one"]),
    ["5:15: permissions.items.read: write its cost in points, or a map with cost, any_key, description."],
  ],
  [
    "two limits of one name",
    shopWith([POINTS, `${POINTS}\n  - ${POINTS}`]),
    ['22:12: The limit "points" stands twice; each needs a name of its own.'],
  ],
  [
    "a descriptor of a limit per workspace",
    shopWith(["points: 100", "descriptor: {path: /login}, points: 100"]),
    ["21:36: Only a limit with per: descriptor has a descriptor."],
  ],
  [
    "a limit per descriptor that does not say which",
    shopWith(["per: workspace", "per: descriptor"]),
    ['21:25: A limit per descriptor says which it counts, such as descriptor: {remote_address: "*"}.'],
  ],
  [
    "a limit per descriptor without entries",
    shopWith(["per: workspace", "per: descriptor, descriptor: {}"]),
    ['21:49: A limit per descriptor says which it counts, such as descriptor: {remote_address: "*"}.'],
  ],
  [
    "a limit per descriptor of a checked key",
    shopWith(["per: workspace", 'per: descriptor, descriptor: {workspace_id: "*", key_id: "*"}']),
    [
      "21:49: Descriptors of key_id, or of key_id and workspace_id, are charged what a check of that key is; write the limit per key or per workspace, or give the descriptor another entry.",
    ],
  ],
  [
    "a limit per descriptor by plan and environment",
    shopWith([
      "per: workspace",
      "per: descriptor, descriptor: {key_id: k}, plan_points: {pro: 5}, environments: [live]",
    ]),
    [
      "21:49: Descriptors of key_id, or of key_id and workspace_id, are charged what a check of that key is; write the limit per key or per workspace, or give the descriptor another entry.",
      "21:62: A limit per descriptor has no plan_points: no descriptor tells of them.",
      "21:85: A limit per descriptor has no environments: no descriptor tells of them.",
    ],
  ],
  [
    "a number in a descriptor",
    shopWith(["per: workspace", "per: descriptor, descriptor: {status: 429}"]),
    [
      '21:58: limits[0].descriptor.status: write a text such as "/login", or "*" for any value; put a number in quotes.',
    ],
  ],
  [
    "a descriptor's key with a space",
    shopWith(["per: workspace", 'per: descriptor, descriptor: {"remote address": "*"}']),
    [
      "21:50: limits[0].descriptor.remote address: write an entry's key, such as remote_address: letters, digits and _ . : / -, beginning with a letter or digit, at most 128 long.",
    ],
  ],
  [
    "points for an unknown plan",
    shopWith(["window: 60s", "window: 60s, plan_points: {por: 5}"]),
    ['21:76: There is no plan "por" in plans. Did you mean "pro"?'],
  ],
  [
    "a limit for an unknown environment",
    shopWith(["window: 60s", "window: 60s, environments: [lve]"]),
    ['21:77: No key type has the environment "lve". Did you mean "live"?'],
  ],
  [
    "a cost above the limit",
    shopWith(["items.write: 2", "items.write: 101"]),
    ['6:16: A cost of 101 can never pass: the limit "points" is 100 points.'],
  ],
  [
    "a route's cost above the limit",
    shopWith([ITEMS, '{match: "GET /items", permission: items.read, cost: 500}']),
    ['18:57: A cost of 500 can never pass: the limit "points" is 100 points.'],
  ],
  [
    "a cost above the limit of each environment",
    shopWith(["window: 60s}", "window: 60s, environments: [live]}"], ["items.write: 2", "items.write: 101"]),
    ['6:16: A cost of 101 can never pass: the limit "points" is 100 points.'],
  ],
  ["a plan twice", shopWith(["[free, pro]", "[free, pro, free]"]), ['3:20: The plan "free" stands twice.']],
  [
    "an unknown required plan",
    shopWith(["permissions:\n", "requires: {plan: por}\npermissions:\n"]),
    ['4:18: There is no plan "por" in plans. Did you mean "pro"?'],
  ],
  [
    "an unknown plan of a scope",
    shopWith(["items.write: {}", "items.write: {requires: {plan: gold}}"]),
    ['14:34: There is no plan "gold" in plans. There is free, pro.'],
  ],
  [
    "an unknown permission in a role",
    shopWith(["[items.read]", "[items.red]"]),
    ['9:25: There is no permission "items.red". Did you mean "items.read"?'],
  ],
  [
    "a role's pattern that matches nothing",
    shopWith(["[items.read]", '["tags.*"]']),
    ['9:25: No permission matches "tags.*"; correct the pattern, or leave it out.'],
  ],
  [
    "an unknown permission in a scope",
    shopWith(["items.write: {}", "items.write: {grants: [items.wirte, items.write]}"]),
    ['14:26: There is no permission "items.wirte". Did you mean "items.write"?'],
  ],
  [
    "a scope without a permission",
    shopWith(["items.write: {}", "items.write: {}\n  tags.read: {}"]),
    [
      '15:3: The scope "tags.read" grants nothing: there is no permission of that name, and it lists no grants. There is items.read, items.write.',
    ],
  ],
  [
    "a scope that grants nothing",
    shopWith(["items.write: {}", "items.write: {}\n  tags.read: {grants: []}"]),
    ['15:23: The scope "tags.read" grants nothing; list a permission, or leave the scope out.'],
  ],
  [
    "a scope that is null",
    shopWith(["items.write: {}", "items.write:"]),
    ["14:15: scopes.items.write: write a map with description, grants, requires, shadow."],
  ],
  [
    "a permission that nothing grants",
    shopWith(["  items.write: 2", "  items.write: 2\n  tags.read: 1"]),
    [
      '7:3: No scope grants "tags.read", so no key could ever do it; add it to a scope, or say any_key: true.',
    ],
  ],
  [
    "a permission for any key that a scope grants",
    shopWith(
      ["items.read: 1", "items.read: {cost: 1, any_key: true}"],
      ["permissions: [items.read]", "permissions: []"],
    ),
    ['5:34: Any key may do "items.read", and yet the scope items.read grants it; keep one of both.'],
  ],
  [
    "a permission for any key that a role lists",
    shopWith(
      ["items.read: 1", "items.read: 1\n  ping: {cost: 1, any_key: true}"],
      ["[items.read]}", "[items.read, ping]}"],
    ),
    ['10:37: Any key may do "ping", so it is not for a role to give; leave it out here.'],
  ],
  [
    "no permissions",
    "api: a\npermissions: {}\nroles: {}\nkey_types: {}\n",
    [
      "2:14: There are no permissions; write at least one.",
      "3:8: There are no roles, so nobody could create a key; write at least one.",
      "4:12: There are no key types; write at least one.",
    ],
  ],
  [
    "an unknown scope in a preset",
    shopWith(['everything: ["*"]', "everything: [items.reed]"]),
    ['16:16: There is no scope "items.reed". Did you mean "items.read"?'],
  ],
  [
    "a preset's pattern that matches nothing",
    shopWith(['everything: ["*"]', 'everything: ["*.admin"]']),
    ['16:16: No scope matches "*.admin"; correct the pattern, or leave it out.'],
  ],
  [
    "an empty preset",
    shopWith(['everything: ["*"]', "everything: []"]),
    ['16:15: The preset "everything" stands for no scope; list some, or leave it out.'],
  ],
  [
    "a preset named as a scope",
    shopWith(["everything:", "items.read:"]),
    ['16:3: "items.read" is a scope already; a preset needs a name of its own.'],
  ],
  [
    "a route twice",
    shopWith([ITEMS, `${ITEMS}\n  - ${ITEMS}`]),
    ['19:13: The route "GET /items" stands twice.'],
  ],
  [
    "two routes for the same requests",
    shopWith([ITEMS, `${ITEMS}\n  - {match: "GET /shops/:id/items", permission: items.read}`]),
    ['20:13: "GET /shops/:shop/items" matches the same requests as "GET /shops/:id/items"; keep one.'],
  ],
  [
    "a route without a permission",
    shopWith([ITEMS, '{match: "GET /items"}']),
    ['18:5: The route "GET /items" names no permission; write one, or access: public if it needs no key.'],
  ],
  [
    "a route with an unknown permission",
    shopWith([ITEMS, '{match: "GET /items", permission: item.read}']),
    ['18:39: There is no permission "item.read". Did you mean "items.read"?'],
  ],
  [
    "a route without a cost",
    shopWith(["items.read: 1", "items.read: {}"]),
    [
      '18:39: "GET /items" has no cost, and its permission "items.read" has none either; write a cost in one of both places.',
      '19:51: "GET /shops/:shop/items" has no cost, and its permission "items.read" has none either; write a cost in one of both places.',
    ],
  ],
  [
    "a public route with a permission and a cost",
    shopWith([ITEMS, '{match: "OPTIONS /items", access: public, permission: items.read, cost: 1}']),
    [
      '18:47: "OPTIONS /items" is public: no key is asked for, so permission has no meaning.',
      '18:71: "OPTIONS /items" is public: no key is asked for, so cost has no meaning.',
    ],
  ],
  [
    "a route for HEAD",
    shopWith(["GET /items", "HEAD /items"]),
    ['18:13: "HEAD /items": HEAD follows GET; write the GET route.'],
  ],
  [
    "a route for an unknown method",
    shopWith(["GET /items", "GTE /items"]),
    [
      '18:13: "GTE /items": there is no method "GTE"; write one of GET, POST, PUT, PATCH, DELETE, OPTIONS. Did you mean "GET"?',
    ],
  ],
  [
    "a route without a slash",
    shopWith(["GET /items", "GET items"]),
    ['18:13: "GET items": the path must begin with "/".'],
  ],
  [
    "a route without a method",
    shopWith(["GET /items", "/items"]),
    ['18:13: routes[0].match: write a method and a path, such as "GET /items/:id".'],
  ],
  [
    "a route with a dot segment",
    shopWith(["GET /items", "GET /../items"]),
    [
      '18:13: "GET /../items": no request could match it: write no empty or dot segments, no *, ; or %-escapes, and only letters, digits and -._~!$&\'()+,=:@.',
    ],
  ],
  [
    "a route with a wildcard",
    shopWith(["GET /items", "GET /items/*"]),
    [
      '18:13: "GET /items/*": no request could match it: write no empty or dot segments, no *, ; or %-escapes, and only letters, digits and -._~!$&\'()+,=:@.',
    ],
  ],
  [
    "a route with half a parameter",
    shopWith(["GET /items", "GET /items/:id.json"]),
    [
      '18:13: "GET /items/:id.json": ":id.json" is no parameter; a parameter is a whole segment, ":" and a name of letters, digits and _.',
    ],
  ],
  [
    "a route with a parameter twice",
    shopWith(["GET /items", "GET /:a/:a"]),
    ['18:13: "GET /:a/:a": the parameter ":a" stands twice.'],
  ],
  [
    "an unknown path parameter",
    shopWith(["path.shop", "path.shp"]),
    ['19:73: The path of "GET /shops/:shop/items" has no parameter "shp". Did you mean "shop"?'],
  ],
  [
    "a location that is none",
    shopWith(["path.shop", "query.shop"]),
    ["19:73: routes[1].location: write path. and a parameter of the route, such as path.location_id."],
  ],
  [
    "a base path that ends with a slash",
    shopWith(["plans:", "base_path: /v1/\nplans:"]),
    ['3:12: base_path: write a path that begins with "/" and does not end with one, such as /api/v2.'],
  ],
  [
    "a base path with a parameter",
    shopWith(["plans:", "base_path: /:v\nplans:"]),
    ['3:12: "/:v": a base path has no parameters.'],
  ],
  [
    "a host with a port",
    shopWith(["api.shop.example", "api.shop.example:443"]),
    ['2:9: hosts[0]: write a host in lower case and without a port: "api.example.com" or "*.example.com".'],
  ],
  [
    "a host twice",
    shopWith(["[api.shop.example]", "[api.shop.example, {host: api.shop.example, environment: live}]"]),
    ['2:27: The host "api.shop.example" stands twice.'],
  ],
  [
    "a host of an unknown environment",
    shopWith(["[api.shop.example]", "[{host: t.shop.example, environment: tst}]"]),
    ['2:45: No key type has the environment "tst". There is live.'],
  ],
  [
    "an address range with bits after its prefix",
    shopWith(["plans:", "allowed_cidrs: [10.0.0.1/8]\nplans:"]),
    [
      '3:17: "10.0.0.1/8" is no address range; write an address, or the first of a range with its length, such as 10.0.0.0/8 or 2001:db8::/32.',
    ],
  ],
  [
    "a prefix without an end",
    shopWith(["prefix: shop_", "prefix: shop"]),
    [
      '11:20: key_types.secret.prefix: write "" for none, or at most 32 letters, digits, _ and - that end in _ or -, such as acme_live_: without that end it could not be told from the random part.',
    ],
  ],
  [
    "a prefix of caller tokens",
    shopWith(["prefix: shop_", "prefix: tgc_"]),
    ["11:20: Caller tokens begin with tgc_; choose another prefix."],
  ],
  [
    "a prefix that is too long",
    shopWith(["prefix: shop_", `prefix: ${"s".repeat(32)}_`]),
    [
      '11:20: key_types.secret.prefix: write "" for none, or at most 32 letters, digits, _ and - that end in _ or -, such as acme_live_: without that end it could not be told from the random part.',
    ],
  ],
  [
    "a prefix twice",
    shopWith([`secret: ${KEY_TYPE}`, `secret: ${KEY_TYPE}\n  other: ${KEY_TYPE}`]),
    ['12:19: The key type "secret" has the prefix "shop_" too; their keys could not be told apart.'],
  ],
  [
    "a key that acts as a workspace that requests name",
    shopWith([
      "workspace: bound, scopes: selected, acts_as: creator",
      "workspace: {query: ws}, scopes: selected, acts_as: workspace",
    ]),
    [
      "11:38: Keys that act as a workspace must be bound to a workspace, or any of them could name any workspace; write workspace: bound.",
    ],
  ],
  [
    "two parameters for the workspace",
    shopWith([
      `secret: ${KEY_TYPE}`,
      `secret: ${KEY_TYPE}\n  a: {prefix: a_, workspace: {query: ws}, scopes: all, acts_as: creator}\n  b: {prefix: b_, workspace: {query: wid}, scopes: all, acts_as: creator}`,
    ]),
    ['13:38: The key type "a" reads the workspace from ws; one api has one such parameter.'],
  ],
  [
    "one parameter for workspace and location",
    shopWith(["workspace: bound", "workspace: {query: id}"], ["plans:", "locations: {query: id}\nplans:"]),
    ["12:46: The query parameter id names locations already."],
  ],
  [
    "a workspace that is neither form",
    shopWith(["workspace: bound", "workspace: {quer: ws}"]),
    [
      "11:27: key_types.secret.workspace lacks query: write a query parameter's name, such as workspaceId.",
      '11:39: There is no field "quer" in key_types.secret.workspace. Did you mean "query"?',
    ],
  ],
  [
    "a legacy pattern that is not anchored",
    shopWith(["prefix: shop_", 'prefix: shop_, legacy: ["sk_[0-9a-f]{32}"]']),
    ["11:36: key_types.secret.legacy[0]: it must match the whole secret: begin it with ^ and end it with $."],
  ],
  [
    "a legacy pattern that could be slow",
    shopWith(["prefix: shop_", 'prefix: shop_, legacy: ["^(a+)+$"]']),
    [
      '11:36: key_types.secret.legacy[0]: "(a+)+$" is not allowed; use characters, classes such as [A-Za-z0-9], and bounded repetitions such as {32}, and write alternatives as patterns of their own.',
    ],
  ],
  [
    "a life of no time",
    shopWith(["prefix: shop_", "prefix: shop_, max_ttl: 0s"]),
    ["11:36: A key's longest life is from 1s to 36500d."],
  ],
  [
    "an overlap of a year",
    shopWith(["prefix: shop_", "prefix: shop_, rotation_overlap: 365d"]),
    ["11:45: An overlap is at most 30d."],
  ],
  [
    "selected scopes where there are none",
    "api: a\npermissions: {p: {cost: 1, any_key: true}}\nroles: {r: {permissions: []}}\nkey_types:\n  k: {prefix: k_, workspace: bound, scopes: selected, acts_as: creator}\n",
    ["5:45: There are no scopes to select from; write some under scopes, or say scopes: all."],
  ],
  [
    "several faults",
    shopWith(["plans:", "plan:"], ["[items.read]", "[items.red]"], ["points: 100", "points: 0"]),
    [
      '3:1: There is no field "plan". Did you mean "plans"?',
      '9:25: There is no permission "items.red". Did you mean "items.read"?',
      "21:44: limits[0].points: a limit of less than 1 point would refuse everything; write at least 1, or leave the limit out.",
    ],
  ],
  [
    "an unknown field beside a fault of meaning",
    shopWith(["api: shop", "api: shop\nhost: a"], ["[items.read]", "[items.red]"]),
    [
      '2:1: There is no field "host". Did you mean "hosts"?',
      '10:25: There is no permission "items.red". Did you mean "items.read"?',
    ],
  ],
];

describe("a bad policy is told with line, column and what would be right", () => {
  test.each(ROWS)("%s", (_, text, problems) => {
    expect(problemsOf(text)).toEqual(problems);
  });
});

test("the good policy, of which the bad ones are changes, is good", () => {
  expect(problemsOf(SHOP)).toEqual([]);
});

test("a file above 1 MiB is refused unread", () => {
  expect(problemsOf(`${SHOP}#${"x".repeat(1024 * 1024)}`)).toEqual([
    "1:1: The file is larger than 1048576 bytes.",
  ]);
});

test("aliases that multiply are refused before they are expanded", () => {
  const bomb = Array.from({ length: 30 }, (_, level) => {
    const before = level === 0 ? "[x, x]" : `[*a${level - 1}, *a${level - 1}]`;
    return `a${level}: &a${level} ${before}`;
  }).join("\n");
  expect(problemsOf(bomb)).toEqual([expect.stringMatching(/^1:1: Aliases are used too often: /)]);
});

test("a problem within an alias is told where the alias stands or its anchor", () => {
  const text = shopWith([
    "clerk: {permissions: [items.read]}",
    "clerk: &clerk {permissions: [items.red]}\n  temp: *clerk",
  ]);
  expect(problemsOf(text)).toEqual(['9:32: There is no permission "items.red". Did you mean "items.read"?']);
});
