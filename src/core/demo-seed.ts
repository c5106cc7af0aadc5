import type { Caller } from "./callers.ts";
import type { Directory } from "./directory.ts";
import { has } from "./permission-set.ts";
import type { Policy } from "./policy.ts";
import type { PolicySet } from "./policy-set.ts";
import type { Deadline } from "./ports.ts";

/** The id of the workspace and of the member that a new embedded folder begins with, in each directory. */
export const DEMO_ID = "demo";

/**
 * Puts a workspace and a member `demo` into each directory, that pass every gate of its policies: the
 * highest plan, every feature that is asked for, the role that may do most of those that create keys.
 */
export async function seedDemo(
  policies: PolicySet,
  options: { directory: Directory; caller: Caller; deadline: Deadline },
): Promise<void> {
  const { directory, caller, deadline } = options;
  for (const [name, sharing] of policies.directories) {
    await directory.putWorkspace(
      {
        directory: name,
        workspaceId: DEMO_ID,
        fields: { name: "Demo", plan: highestPlan(sharing), features: featuresAsked(sharing) },
        replace: true,
        sourceVersion: 0n,
      },
      caller,
      deadline,
    );
    await directory.putMember(
      {
        directory: name,
        workspaceId: DEMO_ID,
        userId: DEMO_ID,
        fields: { role: mostAllowedRole(sharing), allLocations: true },
        replace: true,
        sourceVersion: 0n,
      },
      caller,
      deadline,
    );
  }
}

/** A key that the demo member can make, and a Check that it passes. */
export interface DemoExample {
  readonly api: string;
  readonly type: string;
  /** Empty where the type has all. */
  readonly scopes: readonly string[];
  readonly permission: string;
  /** Whether the Check names the workspace. */
  readonly namesWorkspace: boolean;
}

/** Of the first api that has such a key: one scope, and a permission with a cost that it grants. */
export function demoExample(policies: PolicySet): DemoExample | undefined {
  for (const policy of policies.policies.values()) {
    const role = policy.roles.get(mostAllowedRole([policy]));
    for (const type of policy.keyTypes.values()) {
      if (type.actsAs === "service_account") continue;
      for (const permission of policy.permissions.values()) {
        const scope = permission.scopes[0];
        const isAllowed =
          type.actsAs === "workspace" || (role !== undefined && has(role.permissions, permission.index));
        if (permission.cost === undefined || scope === undefined || !isAllowed) continue;
        return {
          api: policy.api,
          type: type.name,
          scopes: type.scopes === "all" ? [] : [scope.name],
          permission: permission.name,
          namesWorkspace: type.workspace === "request",
        };
      }
    }
  }
  return undefined;
}

function highestPlan(policies: readonly Policy[]): string {
  return policies.flatMap((policy) => policy.plans.at(-1) ?? [])[0] ?? "";
}

function featuresAsked(policies: readonly Policy[]): string[] {
  const gates = policies.flatMap((policy) => [
    policy.requires,
    ...[...policy.scopes.values()].map((scope) => scope.requires),
  ]);
  return [...new Set(gates.map((gate) => gate.feature))].filter((feature) => feature !== "").sort();
}

function mostAllowedRole(policies: readonly Policy[]): string {
  const allowed = new Map<string, number>();
  for (const role of policies.flatMap((policy) => [...policy.roles.values()])) {
    const count = role.createsKeys ? bitCount(role.permissions) : -1;
    allowed.set(role.name, (allowed.get(role.name) ?? 0) + count);
  }
  const [most] = [...allowed].sort(([, a], [, b]) => b - a);
  return most?.[0] ?? "";
}

function bitCount(words: Readonly<Uint32Array>): number {
  return words.reduce((sum, word) => sum + [...word.toString(2)].filter((bit) => bit === "1").length, 0);
}
