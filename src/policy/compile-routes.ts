import type { Limit, Permission } from "../core/policy.ts";
import { limitBelow } from "./compile-limits.ts";
import type { Report, ValuePath } from "./problem.ts";
import { createRouteTable, type ListedRouteTable, type Route } from "./route-table.ts";
import { parseRouteTemplate, type RouteTemplate, templateIdentity } from "./route-template.ts";
import type { PolicySource } from "./schema.ts";
import { suggest, suggestOrList } from "./suggest.ts";

type RouteSource = PolicySource["routes"][number];

interface Context {
  readonly permissions: ReadonlyMap<string, Permission>;
  readonly limits: readonly Limit[];
  readonly environments: ReadonlySet<string>;
  readonly report: Report;
}

export function compileRoutes(source: PolicySource, context: Context): ListedRouteTable {
  checkBasePath(source, context.report);
  checkCosts(context);
  const routes: Route[] = [];
  const known = new Map<string, string>();
  for (const [index, stated] of source.routes.entries()) {
    const path = ["routes", index];
    const parsed = parseRouteTemplate(stated.match);
    if ("fault" in parsed) {
      context.report([...path, "match"], `${JSON.stringify(stated.match)}: ${parsed.fault}`);
      continue;
    }
    const identity = templateIdentity(parsed.template);
    const twin = known.get(identity);
    if (twin !== undefined) {
      context.report(
        [...path, "match"],
        twin === stated.match
          ? `The route "${twin}" stands twice.`
          : `"${stated.match}" matches the same requests as "${twin}"; keep one.`,
      );
      continue;
    }
    known.set(identity, stated.match);
    routes.push(compileRoute(stated, { ...context, source, path, template: parsed.template }));
  }
  return createRouteTable(routes);
}

function compileRoute(
  stated: RouteSource,
  context: Context & {
    readonly source: PolicySource;
    readonly path: ValuePath;
    readonly template: RouteTemplate;
  },
): Route {
  const { template, source, path, report } = context;
  const isPublic = stated.access === "public";
  const permission = isPublic ? undefined : permissionOf(stated, context);
  if (isPublic) {
    for (const field of ["permission", "cost", "location", "workspace"] as const) {
      if (stated[field] === undefined) continue;
      report(
        [...path, field],
        `"${stated.match}" is public: no key is asked for, so ${field} has no meaning.`,
        "key",
      );
    }
  }
  return {
    template: stated.match,
    method: template.method,
    segments: [...source.base_path.split("/").slice(1), ...template.segments],
    permission,
    cost: isPublic ? 0 : costOf(stated, { ...context, permission }),
    inWorkspace: !isPublic && stated.workspace !== "none",
    isPublic,
    locationParameters: locationsOf(stated, context),
  };
}

function permissionOf(
  stated: RouteSource,
  context: Context & { readonly path: ValuePath },
): Permission | undefined {
  const { permissions, path, report } = context;
  if (stated.permission === undefined) {
    report(
      path,
      `The route "${stated.match}" names no permission; write one, or access: public if it needs no key.`,
    );
    return undefined;
  }
  const permission = permissions.get(stated.permission);
  if (permission === undefined) {
    report(
      [...path, "permission"],
      `There is no permission "${stated.permission}".${suggestOrList(stated.permission, permissions.keys())}`,
    );
  }
  return permission;
}

function costOf(
  stated: RouteSource,
  context: Context & { readonly path: ValuePath; readonly permission: Permission | undefined },
): number {
  const { permission, path, report } = context;
  if (stated.cost !== undefined) {
    reportAbove(stated.cost, { ...context, path: [...path, "cost"], at: "value" });
    return stated.cost;
  }
  if (permission !== undefined && permission.cost === undefined) {
    report(
      [...path, "permission"],
      `"${stated.match}" has no cost, and its permission "${permission.name}" has none either; write a cost in one of both places.`,
    );
  }
  return permission?.cost ?? 0;
}

function checkCosts(context: Context): void {
  for (const { name, cost } of context.permissions.values()) {
    if (cost !== undefined) reportAbove(cost, { ...context, path: ["permissions", name], at: "value" });
  }
}

function reportAbove(
  cost: number,
  context: Context & { readonly path: ValuePath; readonly at: "key" | "value" },
): void {
  const below = limitBelow(cost, context);
  if (below === undefined) return;
  const most = Math.max(below.points, ...below.planPoints.values());
  context.report(
    context.path,
    `A cost of ${cost} can never pass: the limit "${below.name}" is ${most} points.`,
    context.at,
  );
}

function locationsOf(
  stated: RouteSource,
  context: { readonly template: RouteTemplate; readonly path: ValuePath; readonly report: Report },
): readonly string[] {
  const listed = stated.location === undefined ? [] : [stated.location].flat();
  return listed.map((location, place) => {
    const parameter = location.slice("path.".length);
    if (!context.template.parameters.includes(parameter)) {
      const path = [...context.path, "location"];
      context.report(
        typeof stated.location === "string" ? path : [...path, place],
        `The path of "${stated.match}" has no parameter "${parameter}".${suggest(parameter, context.template.parameters)}`,
      );
    }
    return parameter;
  });
}

function checkBasePath(source: PolicySource, report: Report): void {
  if (source.base_path === "") return;
  const parsed = parseRouteTemplate(`GET ${source.base_path}`);
  if ("fault" in parsed) report(["base_path"], `${JSON.stringify(source.base_path)}: ${parsed.fault}`);
  else if (parsed.template.parameters.length > 0) {
    report(["base_path"], `${JSON.stringify(source.base_path)}: a base path has no parameters.`);
  }
}
