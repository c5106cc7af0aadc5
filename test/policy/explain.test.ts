import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { explainPolicy, explainRoute } from "../../src/policy/explain.ts";
import { policyOf, shopWith } from "./policy-text.ts";

const retrac = policyOf(readFileSync("policies/retrac.yaml", "utf8"));
const retool = policyOf(readFileSync("policies/retool.yaml", "utf8"));

describe("a policy is told in facts", () => {
  const summary = explainPolicy(retrac);

  test("each permission with its cost, roles and scopes", () => {
    expect(summary.permissions.find(({ name }) => name === "transfers.revert")).toEqual({
      name: "transfers.revert",
      cost: 2,
      anyKey: false,
      roles: ["owner"],
      scopes: ["transfers.write"],
      shadowScopes: [],
    });
    expect(explainPolicy(retool).permissions.find(({ name }) => name === "users.read")?.scopes).toEqual([
      "users.read",
      "users.write",
    ]);
    expect(explainPolicy(retool).permissions.find(({ name }) => name === "apps.use")).toMatchObject({
      anyKey: true,
      scopes: [],
    });
  });

  test("key types in a sentence", () => {
    expect(summary.keyTypes.map(({ name, text }) => `${name}: ${text}`)).toEqual([
      "full_access: acts as its creator, in the workspace that each request names in ?workspaceId, with all scopes, until revoked",
      "restricted: acts as its creator, in the workspace it was made in, with the scopes selected for it, until revoked",
    ]);
  });

  test("limits in a sentence", () => {
    expect(explainPolicy(retool).limits).toEqual([
      { name: "points", text: "300 points in 60s per workspace, sliding, then blocked for 60s" },
    ]);
  });

  test("limits per descriptor with their entries", () => {
    const limit = 'per: descriptor, descriptor: {remote_address: "*", path: /login}';
    expect(explainPolicy(policyOf(shopWith(["per: workspace", limit]))).limits).toEqual([
      {
        name: "points",
        text: '100 points in 60s per descriptor {path: "/login", remote_address: "*"}, sliding',
      },
    ]);
  });

  test("what is in shadow, and what limits lie together by", () => {
    const shop = policyOf(
      shopWith(
        ["  items.write: {}", "  items.write: {shadow: true}"],
        ["window: 60s", "window: 60s, block: 5m, shadow: true"],
        ["plans:", "tag: api\nplans:"],
      ),
    );
    expect(explainPolicy(shop)).toMatchObject({
      tag: "api",
      limits: [
        {
          text: "100 points in 60s per workspace, sliding, then blocked for 5m, in shadow: refuses nothing",
        },
      ],
      scopes: [
        { name: "items.read", shadow: false },
        { name: "items.write", shadow: true },
      ],
      permissions: [{ shadowScopes: [] }, { shadowScopes: ["items.write"] }],
    });
    expect(explainRoute(shop, "GET", "/items")).toMatchObject({ limits: [{ requestsAtMost: undefined }] });
  });

  test("gates, presets, and routes with their whole path", () => {
    expect(summary).toMatchObject({ requiredPlan: "business", requiredFeature: "", https: "required" });
    expect(summary.presets.find(({ name }) => name === "apis.read")?.scopes).toHaveLength(6);
    expect(explainPolicy(retool).routes[0]).toEqual({
      method: "GET",
      path: "/api/v2/apps",
      permission: "apps.use",
      cost: 2,
      inWorkspace: true,
      locations: [],
    });
  });

  test("and is JSON as it is", () => {
    expect(JSON.parse(JSON.stringify(summary))).toEqual(summary);
  });
});

describe("a request is told what it needs", () => {
  test("its permission, cost, locations, and how often it passes", () => {
    expect(explainRoute(retrac, "PUT", "/locations/berlin/stock?x=1")).toEqual({
      route: {
        method: "PUT",
        path: "/locations/:location_id/stock",
        permission: "inventory.write",
        cost: 2,
        inWorkspace: true,
        locations: ["location_id"],
      },
      permission: {
        name: "inventory.write",
        cost: 2,
        anyKey: false,
        roles: ["owner", "member"],
        scopes: ["inventory.write"],
        shadowScopes: [],
      },
      locationIds: ["berlin"],
      limits: [{ name: "points", text: "600 points in 60s per workspace, sliding", requestsAtMost: 300 }],
    });
  });

  test("HEAD as GET", () => {
    expect(explainRoute(retool, "HEAD", "/api/v2/users")).toMatchObject({ route: { method: "GET" } });
  });

  test("a public one needs nothing", () => {
    const shop = policyOf(shopWith(["limits:", '  - {match: "OPTIONS /items", access: public}\nlimits:']));
    expect(explainRoute(shop, "OPTIONS", "/items")).toMatchObject({ permission: undefined, limits: [] });
  });

  test("limits per descriptor do not bound it", () => {
    const limit = 'per: descriptor, descriptor: {remote_address: "*"}';
    const shop = policyOf(shopWith(["per: workspace", limit]));
    expect(explainRoute(shop, "GET", "/items")).toMatchObject({ limits: [] });
  });

  test("one that costs nothing passes as often as it likes", () => {
    const shop = policyOf(shopWith(["items.read: 1", "items.read: 0"]));
    expect(explainRoute(shop, "GET", "/items")).toMatchObject({ limits: [{ requestsAtMost: undefined }] });
  });

  test("or why no route matches", () => {
    expect(explainRoute(retool, "POST", "/api/v2/users/42")).toEqual({
      fault: "No route matches POST /api/v2/users/42. The path has routes for GET, PUT, PATCH, DELETE.",
    });
    expect(explainRoute(retool, "GET", "/users")).toEqual({ fault: "No route matches GET /users." });
    expect(explainRoute(retool, "GET", "/api/v2/%75sers")).toEqual({
      fault:
        "The path is not spelt in the one way that all servers read alike; such requests are refused as ROUTE_UNKNOWN.",
    });
  });
});
