import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { reapFolder } from "../../test/support/reaper.ts";
import { inRepository } from "../../test/support/repository.ts";

/** More than any run charges a key: few keys take all that many do. */
const limits = [{ name: "points", per: "workspace", points: 1_000_000_000, window: "60s", shape: "sliding" }];

/** Retrac's policy without an end to its points; the folder that it stands in. */
export function unlimitedPolicy(): string {
  return writePolicy({ limits });
}

/** The same with so many routes of its own; `routePath` matches one each. */
export function policyWithRoutes(count: number): string {
  const routes = Array.from({ length: count }, (_, route) => ({
    match: `GET /things-${route}/:id`,
    permission: "items.read",
  }));
  return writePolicy({ limits, routes });
}

export function routePath(route: number): string {
  return `/things-${route}/42`;
}

function writePolicy(changes: object): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-policies-"));
  reapFolder(folder);
  const shipped = parse(readFileSync(inRepository("policies", "retrac.yaml"), "utf8")) as object;
  writeFileSync(join(folder, "retrac.yaml"), JSON.stringify({ ...shipped, ...changes }));
  return folder;
}
