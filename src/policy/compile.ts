import { parseAddressRange } from "../core/address-range.ts";
import type { HostRule } from "../core/policy.ts";
import { compileGate } from "./compile-gate.ts";
import { compileKeyTypes } from "./compile-key-types.ts";
import { compileLimits } from "./compile-limits.ts";
import { compileRights } from "./compile-rights.ts";
import { compileRoutes } from "./compile-routes.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { policyDigest } from "./digest.ts";
import { parseDuration } from "./duration.ts";
import type { Problem, Report } from "./problem.ts";
import type { PolicySource } from "./schema.ts";
import { suggestOrList } from "./suggest.ts";

/** Makes the immutable policy, or says all that its parts mean wrongly to each other. */
export function compilePolicy(
  source: PolicySource,
): { readonly policy: CompiledPolicy } | { readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const report: Report = (path, message, at = "value") => problems.push({ path, at, message });

  const plans = compilePlans(source, report);
  const rights = compileRights(source, report);
  const keyTypes = compileKeyTypes(source, report);
  const environments = new Set([...keyTypes.values()].map((type) => type.environment));
  const limits = compileLimits(source, { environments, report });
  const routes = compileRoutes(source, { permissions: rights.permissions, limits, environments, report });
  const locationQuery = source.locations?.query ?? "";
  const meaning: Omit<CompiledPolicy, "digest"> = {
    api: source.api,
    directory: source.directory ?? source.api,
    hosts: compileHosts(source, { environments, report }),
    basePath: source.base_path,
    https: source.https,
    enforcement: source.enforcement,
    tag: source.tag,
    onOutage: source.on_outage,
    onError: source.on_error,
    graceMs: compileGrace(source, report),
    plans,
    requires: compileGate(source.requires, { path: ["requires"], plans, report }),
    allowedCidrs: compileAddressRanges(source, report),
    locationQuery,
    usesLocations: locationQuery !== "" || routes.routes.some((route) => route.locationParameters.length > 0),
    ...rights,
    keyTypes,
    limits,
    routes,
    metadataUpstream: source.metadata_upstream,
  };
  if (problems.length > 0) return { problems };
  return { policy: Object.freeze({ ...meaning, digest: policyDigest(meaning) }) };
}

/** Far shorter than changes and the rows of replicas are kept. */
const MAX_GRACE_MS = 5 * 60_000;

function compileGrace(source: PolicySource, report: Report): number {
  const graceMs = parseDuration(source.grace);
  if (graceMs > MAX_GRACE_MS) report(["grace"], "The longest grace is 5m.");
  return graceMs;
}

function compilePlans(source: PolicySource, report: Report): readonly string[] {
  for (const [index, plan] of source.plans.entries()) {
    if (source.plans.indexOf(plan) < index) report(["plans", index], `The plan "${plan}" stands twice.`);
  }
  return source.plans;
}

function compileHosts(
  source: PolicySource,
  context: { readonly environments: ReadonlySet<string>; readonly report: Report },
): readonly HostRule[] {
  const { environments, report } = context;
  const rules = source.hosts.map((host) =>
    typeof host === "string" ? { host, environment: "" } : { host: host.host, environment: host.environment },
  );
  for (const [index, { host, environment }] of rules.entries()) {
    if (rules.findIndex((other) => other.host === host) < index) {
      report(["hosts", index], `The host "${host}" stands twice.`);
    }
    if (environment !== "" && !environments.has(environment)) {
      report(
        ["hosts", index, "environment"],
        `No key type has the environment "${environment}".${suggestOrList(environment, environments)}`,
      );
    }
  }
  return rules;
}

function compileAddressRanges(source: PolicySource, report: Report): readonly string[] {
  for (const [index, cidr] of source.allowed_cidrs.entries()) {
    if (parseAddressRange(cidr) === undefined) {
      report(
        ["allowed_cidrs", index],
        `${JSON.stringify(cidr)} is no address range; write an address, or the first of a range with its length, such as 10.0.0.0/8 or 2001:db8::/32.`,
      );
    }
  }
  return source.allowed_cidrs;
}
