import { type Authorizer, createAuthorizer } from "../core/authorizer.ts";
import type { Caller } from "../core/callers.ts";
import { createDirectory, type Directory } from "../core/directory.ts";
import { createKeys, type IssuedKey, type Keys } from "../core/keys.ts";
import { createPolicySet, type PolicySet } from "../core/policy-set.ts";
import type { BucketStore, WorkspaceFields } from "../core/ports.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { parseDuration } from "./duration.ts";
import { suggestOrList } from "./suggest.ts";
import type { TestFile, TestKey, TestWorkspace } from "./test-file.ts";
import { StepError } from "./test-outcome.ts";
import { createTestStores } from "./test-stores.ts";

export interface TestWorldDependencies {
  /** A points engine on the given clock, in milliseconds. */
  readonly createBuckets: (now: () => number) => BucketStore;
}

/** Everything that the service is made of, with stores in memory and a clock of its own. */
export interface TestWorld {
  readonly policies: PolicySet;
  readonly policy: CompiledPolicy;
  readonly origin: string | undefined;
  readonly authorizer: Authorizer;
  readonly keys: Keys;
  readonly directory: Directory;
  /** By the names that the file gives them. */
  readonly issued: Map<string, IssuedKey>;
  /** Of all keys that the file describes. */
  readonly keyNames: readonly string[];
  readonly now: () => number;
  readonly wait: (ms: number) => void;
}

/** Cases ask as someone who may ask everything: what callers may do is no policy's matter. */
export const CALLER: Caller = { id: "policy-test", grants: new Set(["admin"]), apis: new Set() };

/** Any moment; not that of the machine, so that cases come out alike each time. */
const START_MS = Date.UTC(2026, 0, 1);

/** No case waits for anything but itself. */
export function deadline(): number {
  return performance.now() + 60_000;
}

/** The file's world as it is before a case: its workspaces and members, and those keys that are named. */
export async function createTestWorld(
  policy: CompiledPolicy,
  options: {
    readonly file: TestFile;
    readonly keyNames: ReadonlySet<string>;
    readonly dependencies: TestWorldDependencies;
  },
): Promise<TestWorld> {
  let clockMs = START_MS;
  const now = () => clockMs;
  const stores = createTestStores();
  const set = createPolicySet([policy]);
  const policies = () => set;
  const { rights, keys, directory } = stores;
  const world: TestWorld = {
    policies: set,
    policy,
    origin: options.file.origin,
    authorizer: createAuthorizer({
      policies,
      rights,
      buckets: options.dependencies.createBuckets(now),
      nowMs: now,
    }),
    keys: createKeys({ policies, keys, directory, nowMs: now, forget: () => {} }),
    directory: createDirectory({ policies, store: directory, nowMs: now }),
    issued: new Map(),
    keyNames: Object.keys(options.file.keys),
    now,
    wait: (ms) => {
      clockMs += ms;
    },
  };
  for (const [id, workspace] of Object.entries(options.file.workspaces))
    await putWorkspace(world, id, workspace);
  for (const [name, key] of Object.entries(options.file.keys)) {
    if (options.keyNames.has(name)) world.issued.set(name, await issueKey(world, key));
  }
  return world;
}

async function putWorkspace(world: TestWorld, id: string, workspace: TestWorkspace): Promise<void> {
  await world.directory.putWorkspace(
    { directory: "", workspaceId: id, fields: workspaceFields(workspace), replace: true, sourceVersion: 0n },
    CALLER,
    deadline(),
  );
  for (const [userId, member] of Object.entries(workspace.members)) {
    const { role, locations } =
      typeof member === "string" ? { role: member, locations: "all" as const } : member;
    await world.directory.putMember(
      {
        directory: "",
        workspaceId: id,
        userId,
        fields: { role, ...locationFields(locations) },
        replace: true,
        sourceVersion: 0n,
      },
      CALLER,
      deadline(),
    );
  }
}

export function workspaceFields(stated: Omit<TestWorkspace, "members">): Partial<WorkspaceFields> {
  return {
    ...(stated.plan === undefined ? {} : { plan: stated.plan }),
    ...(stated.features === undefined ? {} : { features: stated.features }),
    ...(stated.withheld_scopes === undefined ? {} : { withheldScopes: stated.withheld_scopes }),
    ...(stated.suspended === undefined ? {} : { suspended: stated.suspended }),
  };
}

export function locationFields(locations: "all" | readonly string[]): {
  allLocations: boolean;
  locationIds: readonly string[];
} {
  return locations === "all"
    ? { allLocations: true, locationIds: [] }
    : { allLocations: false, locationIds: locations };
}

/** Creates a key as its creator would: through all gates. Throws TollgateError. */
export function issueKey(world: TestWorld, key: TestKey): Promise<IssuedKey> {
  return world.keys.create(
    {
      api: world.policy.api,
      type: key.type,
      workspaceId: key.workspace,
      userId: key.creator,
      name: key.name,
      description: key.description,
      scopes: key.scopes,
      expireTimeMs:
        key.expires_after === undefined ? undefined : world.now() + parseDuration(key.expires_after),
      metadata: key.metadata,
      allowedCidrs: key.allowed_cidrs,
      role: key.role,
      requestId: "",
    },
    CALLER,
    deadline(),
  );
}

/** The key of that name, with its secret. Throws StepError. */
export function issuedKey(world: TestWorld, name: string): IssuedKey {
  const issued = world.issued.get(name);
  if (issued !== undefined) return issued;
  throw new StepError(
    `There is no key "${name}".${suggestOrList(name, [...world.keyNames, ...world.issued.keys()])}`,
  );
}
