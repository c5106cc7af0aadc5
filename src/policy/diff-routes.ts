import { compareMaps, listChanges, type PolicyChange, settingChange } from "./change.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import type { Route } from "./route-table.ts";
import { isParameter } from "./route-template.ts";

export function routeChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const [were, are] = [byRequests(before), byRequests(after)];
  const { dropped, added, kept } = compareMaps(were, are);
  return [
    ...dropped.map(
      (request): PolicyChange => ({
        kind: "takes",
        about: spelled(were.get(request), request),
        message: "is no route any more",
      }),
    ),
    ...added.map(
      (request): PolicyChange => ({
        kind: "gives",
        about: spelled(are.get(request), request),
        message: "is a new route",
      }),
    ),
    ...kept.flatMap(({ name, old, now }) => oneRoute(spelled(now, name), old, now)),
  ];
}

/** As its file has it, with the base path. */
function spelled(route: Route | undefined, request: string): string {
  return route === undefined ? request : `${route.method} /${route.segments.join("/")}`;
}

/** By method and whole path, so that a moved base path shows; parameters by their places, not their names. */
function byRequests(policy: CompiledPolicy): ReadonlyMap<string, Route> {
  return new Map(
    policy.routes.routes.map((route) => [
      `${route.method} /${route.segments.map((segment) => (isParameter(segment) ? ":" : segment)).join("/")}`,
      route,
    ]),
  );
}

function oneRoute(about: string, old: Route, now: Route): PolicyChange[] {
  const places = (route: Route) =>
    route.locationParameters.map((name) => `segment ${route.segments.indexOf(`:${name}`) + 1}`);
  return [
    ...settingChange(about, {
      name: "the permission",
      old: old.permission?.name ?? "none",
      now: now.permission?.name ?? "none",
      spell: String,
      kind: () => (now.isPublic ? "gives" : old.isPublic ? "takes" : "changes"),
    }),
    ...settingChange(about, {
      name: "the cost",
      old: old.cost,
      now: now.cost,
      spell: String,
      kind: (was, is) => (is < was ? "gives" : "takes"),
    }),
    ...listChanges(about, {
      before: places(old),
      after: places(now),
      gained: "now names a location by",
      lost: "no longer names a location by",
      kind: "takes",
    }),
    ...settingChange(about, {
      name: "the workspace",
      old: old.inWorkspace,
      now: now.inWorkspace,
      spell: (inWorkspace) => (inWorkspace ? "asked for" : "not asked for"),
      kind: (_, is) => (is ? "takes" : "gives"),
    }),
  ];
}
