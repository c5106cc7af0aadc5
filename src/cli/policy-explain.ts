import type { Command } from "commander";
import {
  explainPolicy,
  explainRoute,
  type PermissionSummary,
  type PolicySummary,
  type RouteExplanation,
} from "../policy/explain.ts";
import type { AddCommand } from "./context.ts";
import { exitStatus, UsageError } from "./exit.ts";
import { requirePolicy } from "./policy-files.ts";
import { parseRequest } from "./request-target.ts";
import { isJson } from "./session.ts";
import { formatFacts, formatTable, type Terminal } from "./terminal.ts";

export const addPolicyExplain: AddCommand = (group, { terminal, finish }) => {
  group
    .command("explain <file> [request]")
    .description('say what a policy means, or what one request such as "GET /items" needs')
    .action(async (file: string, request: string | undefined, _options: object, command: Command) => {
      const policy = await requirePolicy(file);
      if (request === undefined) {
        const summary = explainPolicy(policy);
        if (isJson(command)) terminal.print(JSON.stringify(summary));
        else printPolicy(terminal, summary);
        return;
      }
      const target = parseRequest(request);
      if (target === undefined)
        throw new UsageError('a request is a method and a path, such as "GET /items"');
      const explanation = explainRoute(policy, target.method, target.path);
      if (isJson(command)) terminal.print(JSON.stringify(explanation));
      else printRoute(terminal, explanation);
      if ("fault" in explanation) finish(exitStatus.failed);
    });
};

function printPolicy(terminal: Terminal, it: PolicySummary): void {
  const section = (title: string, text: string) => {
    if (text !== "") terminal.print(`\n${terminal.style("bold", title)}\n${text}`);
  };
  terminal.print(
    formatFacts([
      ["api", it.api],
      ["directory", it.directory],
      ["hosts", it.hosts.join(" ")],
      ["https", it.https],
      ["enforcement", it.enforcement],
      ["tag", it.tag],
      ["on outage", it.onOutage],
      ["on error", it.onError],
      ["grace", it.grace],
      ["plans", it.plans.join(" < ")],
      ["requires", gateText(it)],
    ]),
  );
  section("Key types", formatFacts(it.keyTypes.map(({ name, text }) => [name, text])));
  section("Limits", formatFacts(it.limits.map(({ name, text }) => [name, text])));
  section(
    "Roles",
    formatTable(
      ["role", "creates keys", "manages keys"],
      it.roles.map((role) => [role.name, role.createsKeys ? "yes" : "no", role.managesKeys]),
    ),
  );
  section("Who may do what", permissionTable(it));
  section(
    "Scopes",
    formatTable(
      ["scope", "grants", "requires"],
      it.scopes.map((scope) => [
        scope.shadow ? `${scope.name} (in shadow)` : scope.name,
        scope.grants.join(" "),
        gateText(scope),
      ]),
    ),
  );
  section("Presets", formatFacts(it.presets.map(({ name, scopes }) => [name, scopes.join(" ")])));
  section(
    "Routes",
    formatTable(
      ["method", "path", "permission", "cost", "acts in"],
      it.routes.map((route) => [
        route.method,
        route.path,
        route.permission ?? "(public)",
        String(route.cost),
        route.inWorkspace ? "a workspace" : "none",
      ]),
    ),
  );
}

/** A row a permission, a column a role. */
function permissionTable(it: PolicySummary): string {
  const roles = it.roles.map((role) => role.name);
  return formatTable(
    ["permission", "cost", ...roles, "granted by"],
    it.permissions.map((permission) => [
      permission.name,
      permission.cost === undefined ? "by route" : String(permission.cost),
      ...roles.map((role) => (permission.anyKey || permission.roles.includes(role) ? "yes" : "-")),
      grantText(permission),
    ]),
  );
}

function printRoute(terminal: Terminal, it: RouteExplanation): void {
  if ("fault" in it) {
    terminal.print(`${terminal.style("red", "✗")} ${it.fault}`);
    return;
  }
  const { route, permission, locationIds, limits } = it;
  terminal.print(
    formatFacts([
      ["route", `${route.method} ${route.path}`],
      ["permission", permission?.name ?? "none: the route is public"],
      ["granted by", permission === undefined ? "" : grantText(permission)],
      ["allowed to", permission === undefined || permission.anyKey ? "" : permission.roles.join(" ")],
      ["cost", route.cost === 1 ? "1 point" : `${route.cost} points`],
      ["acts in", route.inWorkspace ? "a workspace" : "no workspace"],
      ["locations", locationIds.join(" ")],
      ...limits.map(({ name, text, requestsAtMost }) => {
        const most = requestsAtMost === undefined ? "" : `; ${requestsAtMost} such requests at most`;
        return [`limit ${name}`, `${text}${most}`] as const;
      }),
    ]),
  );
}

function grantText(permission: PermissionSummary): string {
  if (permission.anyKey) return "any live key";
  const { scopes, shadowScopes } = permission;
  const inShadow =
    shadowScopes.length === 0 ? "" : `; ${shadowScopes.join(" ")} in shadow: keys of any scopes pass`;
  return `${scopes.join(" ")}${inShadow}`;
}

function gateText(gate: { readonly requiredPlan: string; readonly requiredFeature: string }): string {
  const parts = [
    gate.requiredPlan === "" ? "" : `at least the plan ${gate.requiredPlan}`,
    gate.requiredFeature === "" ? "" : `the feature ${gate.requiredFeature}`,
  ];
  return parts.filter((part) => part !== "").join(" and ");
}
