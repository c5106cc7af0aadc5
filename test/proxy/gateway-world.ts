import { parseAddressRange } from "../../src/core/address-range.ts";
import type { Decision } from "../../src/core/decision.ts";
import { createGateways, type GatewaysDependencies } from "../../src/proxy/gateways.ts";
import { admin, createWorld, NO_DEADLINE } from "../core/world.ts";

/** An API with a route of each kind, and limits that block. */
export const SHOP = `
api: shop
hosts: [api.shop.test]
https: required
plans: [free, pro]
permissions: {items.read: 1, items.write: 2, all: 100}
roles:
  owner: {permissions: ["*"], creates_keys: true}
  clerk: {permissions: [items.read], creates_keys: true}
scopes: {items.read: {}, items.write: {}, all: {}}
locations: {query: shopId}
metadata_upstream: [team]
key_types:
  token: {prefix: shop_, workspace: bound, scopes: selected, acts_as: creator}
  roaming: {prefix: shop_any_, workspace: {query: shop}, scopes: all, acts_as: creator}
routes:
  - {match: "GET /items", permission: items.read}
  - {match: "POST /items", permission: items.write}
  - {match: "OPTIONS /items", permission: items.write}
  - {match: "GET /shops/:id", permission: items.read, location: path.id}
  - {match: "GET /all", permission: all}
  - {match: "GET /status", access: public}
limits:
  - {name: points, per: workspace, points: 10, plan_points: {pro: 200}, window: 60s, block: 30s}
`;

/** SHOP, with a limit and a scope that only watch. */
export const WATCHED_SHOP = `${SHOP.replace("items.write: {}", "items.write: {shadow: true}")}
  - {name: trial, per: key, points: 2, window: 60s, block: 30s, shadow: true}
`;

export const call = { caller: admin, deadline: NO_DEADLINE, isAborted: false };

/** The gateways over a real core on stores in memory. */
export function createGatewayWorld(
  policy: string = SHOP,
  options: Partial<GatewaysDependencies> & { readonly trusted?: string } = {},
) {
  const world = createWorld(policy);
  const decisions: Decision[] = [];
  const undecided: string[] = [];
  const warnings: object[] = [];
  const gateways = createGateways({
    authorizer: world.authorizer,
    policies: world.policies,
    rateLimits: world.rateLimits,
    onRateLimitDecision: () => {},
    onDecision: (decision) => decisions.push(decision),
    rateLimitFields: "draft-10",
    trustedProxies: [parseAddressRange(options.trusted ?? "127.0.0.1/32")].flatMap((range) => range ?? []),
    log: { warn: (fields) => warnings.push(fields) },
    onUndecided: (reason) => undecided.push(reason),
    ...options,
  });
  return {
    ...world,
    ...gateways,
    decisions,
    undecided,
    warnings,
    /** A workspace, an owner (ann), a clerk of the north (bob), and a key of ann's that may read and write. */
    async fill(): Promise<{ key: string; keyId: string }> {
      await world.putWorkspace("w1");
      await world.putMember("w1", "ann", { role: "owner" });
      await world.putMember("w1", "bob", {
        role: "clerk",
        allLocations: false,
        locationIds: ["north", "n2"],
      });
      const { key, secret } = await world.createKey({
        workspaceId: "w1",
        userId: "ann",
        type: "token",
        scopes: ["items.read items.write all"],
        metadata: { team: "a", note: "inside" },
      });
      return { key: secret, keyId: key.id };
    },
  };
}
