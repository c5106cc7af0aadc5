import { describe, expect, test } from "vitest";
import { has } from "../../src/core/permission-set.ts";
import { permissionNames } from "../../src/policy/permission-names.ts";
import { policyOf, SHOP, shopWith } from "./policy-text.ts";

describe("defaults", () => {
  const policy = policyOf(SHOP);

  test("settings that are not written are the safe ones", () => {
    expect(policy).toMatchObject({
      api: "shop",
      directory: "shop",
      basePath: "",
      https: "required",
      enforcement: "enforce",
      tag: "workspace",
      onOutage: "local",
      onError: "deny",
      graceMs: 0,
      requires: { plan: "", feature: "" },
      allowedCidrs: [],
      locationQuery: "",
      metadataUpstream: [],
    });
  });

  test("roles create and manage nothing, limits slide over all environments and block nobody", () => {
    expect(policy.roles.get("clerk")).toMatchObject({ createsKeys: false, managesKeys: "none" });
    expect(policy.limits).toMatchObject([
      { shape: "sliding", blockMs: 0, environments: [], windowMs: 60_000, warnAt: 0.9, shadow: false },
    ]);
    expect(policy.scopes.get("items.read")).toMatchObject({ shadow: false });
  });

  test("keys are live, live until revoked, and overlap for a day when rotated", () => {
    expect(policy.keyTypes.get("secret")).toMatchObject({
      environment: "live",
      maxTtlMs: undefined,
      rotationOverlapMs: 86_400_000,
      legacy: [],
      workspaceQuery: "",
    });
  });
});

describe("rights", () => {
  test("a role has what its patterns match and nothing else", () => {
    const policy = policyOf(shopWith(["permissions: [items.read]}", 'permissions: ["*.read"]}']));
    const names = (role: string) =>
      permissionNames(policy, policy.roles.get(role)?.permissions ?? new Uint32Array(1));
    expect(names("owner")).toEqual(["items.read", "items.write"]);
    expect(names("clerk")).toEqual(["items.read"]);
  });

  test("a new permission is nobody's until a role or a scope has it", () => {
    const policy = policyOf(
      shopWith(
        ['permissions: ["*"]', "permissions: [items.read, items.write]"],
        ["  items.write: 2\n", "  items.write: 2\n  items.purge: 2\n"],
        ["  items.write: {}", "  items.write: {}\n  items.purge: {}"],
      ),
    );
    const index = policy.permissions.get("items.purge")?.index ?? -1;
    expect([...policy.roles.values()].filter((role) => has(role.permissions, index))).toEqual([]);
    expect(policy.permissions.get("items.purge")?.grantedBy.map(({ name }) => name)).toEqual(["items.purge"]);
  });

  test("write implies read where the policy says so, and only for scopes", () => {
    const implied = policyOf(shopWith(["plans:", "write_implies_read: true\nplans:"]));
    const write = implied.scopes.get("items.write");
    expect(permissionNames(implied, write?.grants ?? new Uint32Array(1))).toEqual([
      "items.read",
      "items.write",
    ]);
    const read = implied.permissions.get("items.read");
    expect(read?.scopes.map(({ name }) => name)).toEqual(["items.read"]);
    expect(read?.grantedBy.map(({ name }) => name)).toEqual(["items.read", "items.write"]);

    const not = policyOf(SHOP);
    expect(permissionNames(not, not.scopes.get("items.write")?.grants ?? new Uint32Array(1))).toEqual([
      "items.write",
    ]);
  });

  test("a preset stands for each scope once, in the order of scopes", () => {
    const policy = policyOf(
      shopWith(['everything: ["*"]', 'everything: [items.write, "*.read", "items.*"]']),
    );
    expect(policy.presets.get("everything")?.map(({ name }) => name)).toEqual(["items.read", "items.write"]);
  });

  test("more permissions than bits in a word are kept apart", () => {
    const names = Array.from({ length: 70 }, (_, index) => `p${index}`);
    const policy = policyOf(
      `api: many
permissions: {${names.map((name) => `${name}: 1`).join(", ")}}
roles: {odd: {permissions: [${names.filter((_, index) => index % 2 === 1).join(", ")}]}}
key_types: {k: {prefix: k_, workspace: bound, scopes: selected, acts_as: creator}}
scopes: {${names.map((name) => `${name}: {}`).join(", ")}}
`,
    );
    const odd = policy.roles.get("odd")?.permissions ?? new Uint32Array(3);
    expect(permissionNames(policy, odd)).toEqual(names.filter((_, index) => index % 2 === 1).sort());
    expect(permissionNames(policy, policy.allPermissions)).toEqual([...names].sort());
  });
});

describe("a limit per descriptor", () => {
  const limit = (descriptor: string) => `per: descriptor, descriptor: ${descriptor}`;

  test("has the entries of its descriptors, and others have none", () => {
    const entries = (text: string) => [...(policyOf(text).limits[0]?.descriptor ?? [])];
    expect(entries(shopWith(["per: workspace", limit('{remote_address: "*", path: /login}')]))).toEqual([
      ["remote_address", "*"],
      ["path", "/login"],
    ]);
    expect(entries(SHOP)).toEqual([]);
  });

  test("may have key_id beside entries of others", () => {
    const policy = policyOf(shopWith(["per: workspace", limit('{key_id: "*", path: /export}')]));
    expect(policy.limits).toMatchObject([{ per: "descriptor" }]);
  });

  test("bounds no cost, because no request of a key is charged by it", () => {
    const policy = policyOf(
      shopWith(["per: workspace", limit("{path: /login}")], ["items.write: 2", "items.write: 400"]),
    );
    expect(policy.permissions.get("items.write")?.cost).toBe(400);
  });

  test("means the same in whatever order its entries are written, and something else with other values", () => {
    const digestOf = (descriptor: string) => policyOf(shopWith(["per: workspace", limit(descriptor)])).digest;
    expect(digestOf("{a: x, b: y}")).toBe(digestOf("{b: y, a: x}"));
    expect(digestOf("{a: x, b: y}")).not.toBe(digestOf("{a: y, b: x}"));
  });
});

describe("locations", () => {
  test("are used where a route or a query parameter names them", () => {
    expect(policyOf(SHOP).usesLocations).toBe(true);
    const none = shopWith([", location: path.shop", ""]);
    expect(policyOf(none).usesLocations).toBe(false);
    expect(policyOf(none.replace("plans:", "locations: {query: shop}\nplans:")).usesLocations).toBe(true);
  });
});

describe("a cost", () => {
  test("may be above the limit of some plan or environment, as long as it can pass in one", () => {
    const planned = shopWith(
      ["window: 60s", "window: 60s, plan_points: {pro: 500}"],
      ["items.write: 2", "items.write: 400"],
    );
    expect(policyOf(planned).permissions.get("items.write")?.cost).toBe(400);
    const test = "{prefix: test_, environment: test, workspace: bound, scopes: all, acts_as: creator}";
    const elsewhere = shopWith(
      ["scopes:\n", `  trial: ${test}\nscopes:\n`],
      ["window: 60s", "window: 60s, environments: [test]"],
      ["items.write: 2", "items.write: 400"],
    );
    expect(policyOf(elsewhere).permissions.get("items.write")?.cost).toBe(400);
  });

  test("may be above a limit in shadow, which refuses nothing", () => {
    const watched = shopWith(
      ["window: 60s", "window: 60s, shadow: true"],
      ["items.write: 2", "items.write: 400"],
    );
    expect(policyOf(watched).limits).toMatchObject([{ shadow: true }]);
  });

  test("of 0 is written, never assumed", () => {
    expect(policyOf(shopWith(["items.read: 1", "items.read: 0"])).permissions.get("items.read")?.cost).toBe(
      0,
    );
    const unstated = shopWith(["items.write: 2", "items.write: {}"]);
    expect(policyOf(unstated).permissions.get("items.write")?.cost).toBeUndefined();
  });
});

describe("the digest", () => {
  const { digest } = policyOf(SHOP);

  test.each([
    ["comments", `# ours\n${SHOP}`],
    [
      "the order of fields",
      shopWith(["plans: [free, pro]\n", ""], ["limits:", "plans: [free, pro]\nlimits:"]),
    ],
    [
      "the order of permissions",
      shopWith(["  items.read: 1\n  items.write: 2", "  items.write: 2\n  items.read: 1"]),
    ],
    [
      "the order of routes",
      shopWith(
        ['  - {match: "GET /items", permission: items.read}\n', ""],
        ["limits:", '  - {match: "GET /items", permission: items.read}\nlimits:'],
      ),
    ],
    ["a pattern for its names", shopWith(['permissions: ["*"]', "permissions: [items.write, items.read]"])],
    ["the spelling of a duration", shopWith(["window: 60s", "window: 1m"])],
    ["a default that is written", shopWith(["plans:", "https: required\non_outage: local\nplans:"])],
  ])("is not changed by %s", (_, text) => {
    expect(policyOf(text).digest).toBe(digest);
  });

  test.each([
    ["a cost", shopWith(["items.write: 2", "items.write: 3"])],
    ["a role's permission", shopWith(["permissions: [items.read]}", "permissions: []}"])],
    ["a gate", shopWith(["plans:", "requires: {feature: api}\nplans:"])],
    ["the order of plans", shopWith(["[free, pro]", "[pro, free]"])],
    ["a limit's points", shopWith(["points: 100", "points: 101"])],
    ["a limit's block", shopWith(["window: 60s", "window: 60s, block: 60s"])],
    ["a limit's shadow", shopWith(["window: 60s", "window: 60s, shadow: true"])],
    ["a scope's shadow", shopWith(["items.write: {}", "items.write: {shadow: true}"])],
    ["the tag", shopWith(["plans:", "tag: api\nplans:"])],
    ["a route's location", shopWith([", location: path.shop", ""])],
    ["a parameter that two routes read differently", shopWith(["/shops/:shop/items", "/shops/:shop/parts"])],
    ["a key type's prefix", shopWith(["prefix: shop_", "prefix: shop_live_"])],
    ["a legacy pattern", shopWith(["prefix: shop_", 'prefix: shop_, legacy: ["^[0-9a-f]{32}$"]'])],
    ["https", shopWith(["plans:", "https: any\nplans:"])],
    ["a host", shopWith(["api.shop.example", "www.shop.example"])],
  ])("is changed by %s", (_, text) => {
    expect(policyOf(text).digest).not.toBe(digest);
  });

  test("one digest means the same bits, whatever the order of the file", () => {
    const turned = policyOf(
      shopWith(["  items.read: 1\n  items.write: 2", "  items.write: 2\n  items.read: 1"]),
    );
    expect(turned.permissions.get("items.read")?.index).toBe(
      policyOf(SHOP).permissions.get("items.read")?.index,
    );
  });
});
