import { TollgateError } from "./errors.ts";
import type { Policy } from "./policy.ts";

/** All policies that are loaded: immutable; a reload makes a new one. */
export interface PolicySet {
  /** By api, in the order of their names; at least one. */
  readonly policies: ReadonlyMap<string, Policy>;
  /** Directory → its policies; at least one each. */
  readonly directories: ReadonlyMap<string, readonly Policy[]>;
  /** Prefixes of all key types of all policies. */
  readonly prefixes: ReadonlySet<string>;
}

export function createPolicySet(policies: readonly Policy[]): PolicySet {
  const sorted = [...policies].sort((a, b) => (a.api < b.api ? -1 : 1));
  const directories = new Map<string, Policy[]>();
  for (const policy of sorted) {
    const sharing = directories.get(policy.directory);
    if (sharing === undefined) directories.set(policy.directory, [policy]);
    else sharing.push(policy);
  }
  return {
    policies: new Map(sorted.map((policy) => [policy.api, policy])),
    directories,
    prefixes: new Set(sorted.flatMap((policy) => [...policy.keyTypes.values()].map((type) => type.prefix))),
  };
}

/** A policy, and the environment that the request's host stands for; empty: any. */
export interface HostMatch {
  readonly policy: Policy;
  readonly environment: string;
}

/** Finds the policy among whose hosts `host` (with or without a port) is; exact ones win over wildcards. */
export function policyByHost(set: PolicySet, host: string): HostMatch | undefined {
  let wildcard: HostMatch | undefined;
  let wildcardLength = 0;
  const name = hostName(host);
  for (const policy of set.policies.values()) {
    for (const rule of policy.hosts) {
      if (rule.host === name) return { policy, environment: rule.environment };
      if (
        rule.host.startsWith("*.") &&
        name.endsWith(rule.host.slice(1)) &&
        rule.host.length > wildcardLength
      ) {
        wildcard = { policy, environment: rule.environment };
        wildcardLength = rule.host.length;
      }
    }
  }
  return wildcard;
}

/** The host without its port and a trailing dot, in lower case. */
function hostName(host: string): string {
  return host.replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();
}

/** The policy of that name; of "" the only one. Throws NOT_FOUND, or INVALID_ARGUMENT when it must be named. */
export function policyByName(set: PolicySet, api: string): Policy {
  if (api === "") return onlyOne(set.policies, "api");
  const policy = set.policies.get(api);
  if (policy === undefined) {
    throw new TollgateError("not_found", `There is no api ${JSON.stringify(api)}.`, {
      reason: "API_UNKNOWN",
      metadata: { api },
    });
  }
  return policy;
}

/** The policies of that directory; of "" the only one. Throws as policyByName. */
export function policiesOfDirectory(set: PolicySet, directory: string): readonly Policy[] {
  if (directory === "") return onlyOne(set.directories, "directory");
  const policies = set.directories.get(directory);
  if (policies === undefined) {
    throw new TollgateError("not_found", `There is no directory ${JSON.stringify(directory)}.`, {
      reason: "DIRECTORY_UNKNOWN",
      metadata: { directory },
    });
  }
  return policies;
}

function onlyOne<T>(all: ReadonlyMap<string, T>, field: string): T {
  const [first] = all.values();
  if (first !== undefined && all.size === 1) return first;
  const names = [...all.keys()].join(", ");
  throw new TollgateError("invalid_argument", `${field}: name one of ${names}`, {
    reason: "FIELD_INVALID",
    violations: [{ field, description: `name one of ${names}` }],
  });
}
