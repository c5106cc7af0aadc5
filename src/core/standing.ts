import { chargesFor } from "./charges.ts";
import type { Principal } from "./decision.ts";
import type { KeyType, Permission, Policy } from "./policy.ts";
import type { Charge, Footing } from "./ports.ts";
import type { KeyRecord } from "./records.ts";
import { isScopeAvailable, missingOfGate, type Rights, rightsOf } from "./rights.ts";

/**
 * A key on its footing, under one policy: all that a decision asks of them and no request changes, each derived
 * when it is first asked for. Records and policies are immutable, so an old answer cannot outlive a change.
 */
export class Standing {
  readonly policy: Policy;
  readonly type: KeyType;
  readonly key: KeyRecord;
  readonly footing: Footing;
  readonly isSuspended: boolean;
  /** What the api's own gate misses of the workspace. */
  readonly missing: ReturnType<typeof missingOfGate>;
  /** The only locations that the owner may use as a member; undefined: any. */
  readonly locationIds: readonly string[] | undefined;
  #rights: Rights | undefined;
  #principal: Principal | undefined;
  #permission: Permission | undefined;
  #isAvailable = false;
  #cost = Number.NaN;
  #charges: readonly Charge[] = [];

  constructor(
    key: KeyRecord,
    { policy, type, footing }: { policy: Policy; type: KeyType; footing: Footing },
  ) {
    this.key = key;
    this.policy = policy;
    this.type = type;
    this.footing = footing;
    const { workspace, member } = footing;
    this.isSuspended = workspace?.suspended === true;
    this.missing = workspace && missingOfGate(policy, policy.requires, workspace);
    this.locationIds = member === undefined || member.allLocations ? undefined : member.locationIds;
  }

  get rights(): Rights {
    this.#rights ??= rightsOf(this.key, {
      policy: this.policy,
      type: this.type,
      workspace: this.footing.workspace,
      role: this.#role(),
    });
    return this.#rights;
  }

  /** Whom the key stands for, once it may be used and its rights are looked at. */
  get principal(): Principal {
    this.#principal ??= this.#derivePrincipal();
    return this.#principal;
  }

  /** Whether a scope for it is available to the workspace, where there is one. What is known of the last is kept. */
  isAvailable(permission: Permission): boolean {
    if (permission !== this.#permission) {
      const { workspace } = this.footing;
      this.#permission = permission;
      this.#isAvailable =
        workspace === undefined ||
        permission.scopes.some((scope) => isScopeAvailable(this.policy, scope, workspace));
    }
    return this.#isAvailable;
  }

  /** What a request of that cost is charged. Those of the last cost are kept. */
  charges(cost: number): readonly Charge[] {
    if (cost !== this.#cost) {
      this.#cost = cost;
      this.#charges = chargesFor(this.policy, { key: this.key, workspace: this.footing.workspace, cost });
    }
    return this.#charges;
  }

  /** Undefined: none is asked. */
  #role(): string | undefined {
    if (this.type.actsAs === "service_account") return this.key.role;
    if (this.type.actsAs === "creator" && this.footing.workspace !== undefined)
      return this.footing.member?.role;
    return undefined;
  }

  #derivePrincipal(): Principal {
    const { workspace } = this.footing;
    const { role, permissions, arePermissionsShared } = this.rights;
    return {
      ...principalOf(this.key),
      workspaceId: workspace?.id ?? this.key.workspaceId,
      role,
      plan: workspace?.plan ?? "",
      permissions,
      arePermissionsShared,
      allLocations: this.locationIds === undefined,
      locationIds: this.locationIds ?? [],
      metadata: upstreamMetadata(this.policy, this.key),
    };
  }
}

/** The standing that the footing keeps, or a new one, which it keeps then. */
export function standingOf(
  key: KeyRecord,
  { policy, type, footing }: { policy: Policy; type: KeyType; footing: Footing },
): Standing {
  const known = footing.derived;
  if (known instanceof Standing && known.policy === policy && known.key === key) return known;
  const standing = new Standing(key, { policy, type, footing });
  footing.derived = standing;
  return standing;
}

/** Whom a key stands for as far as it tells itself. */
export function principalOf(key: KeyRecord): Principal {
  return {
    api: key.api,
    keyId: key.id,
    keyName: key.name,
    keyType: key.type,
    environment: key.environment,
    workspaceId: key.workspaceId,
    userId: key.userId,
    createdBy: key.createdBy,
    role: "",
    plan: "",
    permissions: [],
    arePermissionsShared: false,
    allLocations: false,
    locationIds: [],
    metadata: {},
    encoded: undefined,
  };
}

function upstreamMetadata(policy: Policy, key: KeyRecord): Readonly<Record<string, string>> {
  if (policy.metadataUpstream.length === 0) return {};
  return Object.fromEntries(
    Object.entries(key.metadata).filter(([name]) => policy.metadataUpstream.includes(name)),
  );
}
