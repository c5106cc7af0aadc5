import { type DroppedNames, listChanges, type PolicyChange, settingChange } from "./change.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { gateChanges } from "./diff-gate.ts";
import { limitChanges } from "./diff-limits.ts";
import {
  keyTypeChanges,
  permissionChanges,
  presetChanges,
  roleChanges,
  scopeChanges,
} from "./diff-rights.ts";
import { routeChanges } from "./diff-routes.ts";
import { formatDuration } from "./duration.ts";

export interface PolicyDiff {
  /** Takes first, then changes, then gives. */
  readonly changes: readonly PolicyChange[];
  readonly dropped: DroppedNames;
}

/** What a new policy takes from, and gives to, those who live under the old one. */
export function diffPolicies(before: CompiledPolicy, after: CompiledPolicy): PolicyDiff {
  const changes = [
    ...settingChanges(before, after),
    ...permissionChanges(before, after),
    ...roleChanges(before, after),
    ...scopeChanges(before, after),
    ...presetChanges(before, after),
    ...keyTypeChanges(before, after),
    ...limitChanges(before, after),
    ...routeChanges(before, after),
  ];
  const ofKind = (kind: PolicyChange["kind"]) => changes.filter((change) => change.kind === kind);
  return {
    changes: [...ofKind("takes"), ...ofKind("changes"), ...ofKind("gives")],
    dropped: {
      plans: before.plans.filter((plan) => !after.plans.includes(plan)),
      roles: missing(before.roles, after.roles),
      scopes: missing(before.scopes, after.scopes),
      presets: missing(before.presets, after.presets),
      keyTypes: missing(before.keyTypes, after.keyTypes),
    },
  };
}

function missing(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  return [...before.keys()].filter((name) => !after.has(name));
}

function settingChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const text = (
    name: "api" | "directory" | "basePath" | "locationQuery" | "tag" | "onOutage" | "onError",
    spelt: string,
  ) =>
    settingChange(spelt, {
      name: spelt,
      old: before[name],
      now: after[name],
      spell: (value) => JSON.stringify(value),
      kind: () => "changes",
    });
  const hosts = (policy: CompiledPolicy) =>
    policy.hosts.map(({ host, environment }) => (environment === "" ? host : `${host} (${environment})`));
  return [
    ...text("api", "api"),
    ...text("directory", "directory"),
    ...listChanges("hosts", {
      before: hosts(before),
      after: hosts(after),
      gained: "new:",
      lost: "no longer:",
    }),
    ...text("basePath", "base_path"),
    ...settingChange("https", {
      name: "https",
      old: before.https,
      now: after.https,
      spell: String,
      kind: (_, now) => (now === "any" ? "gives" : "takes"),
    }),
    ...settingChange("enforcement", {
      name: "enforcement",
      old: before.enforcement,
      now: after.enforcement,
      spell: String,
      kind: (_, now) => (now === "shadow" ? "gives" : "takes"),
    }),
    ...text("tag", "tag"),
    ...text("onOutage", "on_outage"),
    ...text("onError", "on_error"),
    ...settingChange("grace", {
      name: "grace",
      old: before.graceMs,
      now: after.graceMs,
      spell: formatDuration,
      kind: (old, now) => (now > old ? "gives" : "takes"),
    }),
    ...settingChange("plans", {
      name: "the order of plans",
      old: before.plans,
      now: after.plans,
      spell: (plans) => plans.join(", ") || "none",
      kind: () => "changes",
    }),
    ...gateChanges("requires", { old: before.requires, now: after.requires, before, after }),
    ...settingChange("allowed_cidrs", {
      name: "the clients' addresses",
      old: before.allowedCidrs,
      now: after.allowedCidrs,
      spell: (cidrs) => [...cidrs].sort().join(", ") || "any",
      kind: (old, now) => (now.length === 0 ? "gives" : old.length === 0 ? "takes" : "changes"),
    }),
    ...text("locationQuery", "locations.query"),
    ...listChanges("metadata_upstream", {
      before: before.metadataUpstream,
      after: after.metadataUpstream,
      gained: "the service is told",
      lost: "the service is no longer told",
      kind: "changes",
    }),
  ];
}
