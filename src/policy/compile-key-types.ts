import type { KeyType } from "../core/policy.ts";
import { parseDuration } from "./duration.ts";
import { compileLegacyPattern } from "./legacy-pattern.ts";
import type { Report } from "./problem.ts";
import type { PolicySource } from "./schema.ts";

/** What caller tokens begin with. */
const CALLER_TOKEN_PREFIX = "tgc_";
const SECOND_MS = 1_000;
const DAY_MS = 86_400_000;

type KeyTypeSource = PolicySource["key_types"][string];

export function compileKeyTypes(source: PolicySource, report: Report): ReadonlyMap<string, KeyType> {
  const types = new Map<string, KeyType>();
  for (const [name, stated] of Object.entries(source.key_types)) {
    const type = compileKeyType(stated, { name, report });
    const twin = [...types.values()].find((other) => other.prefix === type.prefix);
    if (twin !== undefined) {
      report(
        ["key_types", name, "prefix"],
        `The key type "${twin.name}" has the prefix ${JSON.stringify(type.prefix)} too; their keys could not be told apart.`,
      );
    }
    types.set(name, type);
    checkAgainstPolicy(source, { type, report });
  }
  if (types.size === 0) report(["key_types"], "There are no key types; write at least one.");
  checkWorkspaceQueries(types, report);
  return types;
}

function compileKeyType(
  stated: KeyTypeSource,
  context: { readonly name: string; readonly report: Report },
): KeyType {
  const { name, report } = context;
  const path = ["key_types", name];
  if (stated.prefix.startsWith(CALLER_TOKEN_PREFIX)) {
    report([...path, "prefix"], `Caller tokens begin with ${CALLER_TOKEN_PREFIX}; choose another prefix.`);
  }
  if (stated.workspace !== "bound" && stated.acts_as !== "creator") {
    report(
      [...path, "workspace"],
      `Keys that act as a ${stated.acts_as.replace("_", " ")} must be bound to a workspace, or any of them could name any workspace; write workspace: bound.`,
    );
  }
  const legacy: RegExp[] = [];
  for (const [index, pattern] of stated.legacy.entries()) {
    const compiled = compileLegacyPattern(pattern);
    if ("pattern" in compiled) legacy.push(compiled.pattern);
    else report([...path, "legacy", index], `${path.join(".")}.legacy[${index}]: ${compiled.fault}.`);
  }
  const maxTtlMs = stated.max_ttl === undefined ? undefined : parseDuration(stated.max_ttl);
  if (maxTtlMs !== undefined && (maxTtlMs < SECOND_MS || maxTtlMs > 36_500 * DAY_MS)) {
    report([...path, "max_ttl"], "A key's longest life is from 1s to 36500d.");
  }
  const rotationOverlapMs = parseDuration(stated.rotation_overlap);
  if (rotationOverlapMs > 30 * DAY_MS) report([...path, "rotation_overlap"], "An overlap is at most 30d.");
  return {
    name,
    prefix: stated.prefix,
    environment: stated.environment,
    workspace: stated.workspace === "bound" ? "bound" : "request",
    workspaceQuery: typeof stated.workspace === "object" ? stated.workspace.query : "",
    scopes: stated.scopes,
    actsAs: stated.acts_as,
    legacy,
    maxTtlMs,
    rotationOverlapMs,
  };
}

function checkAgainstPolicy(
  source: PolicySource,
  of: { readonly type: KeyType; readonly report: Report },
): void {
  const { type, report } = of;
  if (type.scopes === "selected" && Object.keys(source.scopes).length === 0) {
    report(
      ["key_types", type.name, "scopes"],
      "There are no scopes to select from; write some under scopes, or say scopes: all.",
    );
  }
  if (type.workspaceQuery !== "" && type.workspaceQuery === source.locations?.query) {
    report(
      ["key_types", type.name, "workspace", "query"],
      `The query parameter ${type.workspaceQuery} names locations already.`,
    );
  }
}

/** A bound key is refused when a request names a workspace: by which parameter must be known for sure. */
function checkWorkspaceQueries(types: ReadonlyMap<string, KeyType>, report: Report): void {
  const [first, ...others] = [...types.values()].filter((type) => type.workspaceQuery !== "");
  for (const other of others) {
    if (other.workspaceQuery === first?.workspaceQuery) continue;
    report(
      ["key_types", other.name, "workspace", "query"],
      `The key type "${first?.name}" reads the workspace from ${first?.workspaceQuery}; one api has one such parameter.`,
    );
  }
}
