import type { CompiledPolicy } from "../../src/policy/compiled-policy.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { formatProblem } from "../../src/policy/problem.ts";

/** A small policy that is right; tests change a line of it. */
export const SHOP = `api: shop
hosts: [api.shop.example]
plans: [free, pro]
permissions:
  items.read: 1
  items.write: 2
roles:
  owner: {permissions: ["*"], creates_keys: true, manages_keys: workspace}
  clerk: {permissions: [items.read]}
key_types:
  secret: {prefix: shop_, workspace: bound, scopes: selected, acts_as: creator}
scopes:
  items.read: {}
  items.write: {}
presets:
  everything: ["*"]
routes:
  - {match: "GET /items", permission: items.read}
  - {match: "GET /shops/:shop/items", permission: items.read, location: path.shop}
limits:
  - {name: points, per: workspace, points: 100, window: 60s}
`;

/** SHOP with one piece of text in place of another, which must be there. */
export function shopWith(...changes: readonly (readonly [from: string, to: string])[]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`SHOP has no ${JSON.stringify(from)}`);
    return text.replace(from, () => to);
  }, SHOP);
}

export function policyOf(text: string): CompiledPolicy {
  const result = parsePolicy(text, "shop.yaml");
  if ("problems" in result) throw new Error(result.problems.map(formatProblem).join("\n"));
  return result.policy;
}

/** The problems of a text, as "line:column: message". */
export function problemsOf(text: string): string[] {
  const result = parsePolicy(text, "shop.yaml");
  return "problems" in result
    ? result.problems.map((problem) => formatProblem(problem).replace(/^shop\.yaml:/, ""))
    : [];
}
