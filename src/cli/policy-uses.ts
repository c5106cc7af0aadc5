import { type Key, KeyStatus } from "../gen/tollgate/v1/key_pb.ts";
import type { DroppedNames } from "../policy/change.ts";
import type { CompiledPolicy } from "../policy/compiled-policy.ts";
import { walkPages } from "./listing.ts";
import type { Session } from "./session.ts";

/** How many records of a server name something that a policy drops. */
export interface Use {
  readonly what: "plan" | "role" | "scope" | "preset" | "key type";
  readonly name: string;
  readonly by: "keys" | "members" | "workspaces";
  readonly count: number;
}

/**
 * Counts who uses what disappears from `policy`. Keys that are revoked or expired do not count. What is
 * changed on the server meanwhile may be missed.
 */
export async function countUses(
  session: Session,
  policy: CompiledPolicy,
  dropped: DroppedNames,
): Promise<readonly Use[]> {
  const uses: Use[] = [];
  const { plans, roles, scopes, presets, keyTypes } = dropped;
  if (scopes.length + presets.length + keyTypes.length + roles.length > 0) {
    const keys = await liveKeys(session, policy.api);
    const count = (
      what: Use["what"],
      names: readonly string[],
      isUsed: (key: Key, name: string) => boolean,
    ) =>
      names.map(
        (name): Use => ({ what, name, by: "keys", count: keys.filter((key) => isUsed(key, name)).length }),
      );
    uses.push(
      ...count("scope", scopes, (key, name) => key.scopes.includes(name)),
      ...count("preset", presets, (key, name) => key.scopes.includes(name)),
      ...count("key type", keyTypes, (key, name) => key.type === name),
      ...count("role", roles, (key, name) => key.role === name),
    );
  }
  if (plans.length + roles.length > 0)
    uses.push(...(await directoryUses(session, policy.directory, dropped)));
  return uses;
}

async function liveKeys(session: Session, api: string): Promise<readonly Key[]> {
  const live: Key[] = [];
  const pages = walkPages(0, async (page) => {
    const answer = await session.keys.listKeys({ api, ...page });
    return { items: answer.keys, nextPageToken: answer.nextPageToken };
  });
  for await (const key of pages) {
    if (key.status === KeyStatus.ACTIVE || key.status === KeyStatus.DISABLED) live.push(key);
  }
  return live;
}

async function directoryUses(
  session: Session,
  directory: string,
  { plans, roles }: DroppedNames,
): Promise<readonly Use[]> {
  const byPlan = new Map(plans.map((plan) => [plan, 0]));
  const byRole = new Map(roles.map((role) => [role, 0]));
  const workspaces = walkPages(0, async (page) => {
    const answer = await session.directory.listWorkspaces({ directory, ...page });
    return { items: answer.workspaces, nextPageToken: answer.nextPageToken };
  });
  for await (const { id: workspaceId, plan } of workspaces) {
    increment(byPlan, plan);
    if (roles.length === 0) continue;
    const members = walkPages(0, async (page) => {
      const answer = await session.directory.listMembers({ directory, workspaceId, ...page });
      return { items: answer.members, nextPageToken: answer.nextPageToken };
    });
    for await (const { role } of members) increment(byRole, role);
  }
  return [
    ...[...byPlan].map(([name, count]): Use => ({ what: "plan", name, by: "workspaces", count })),
    ...[...byRole].map(([name, count]): Use => ({ what: "role", name, by: "members", count })),
  ];
}

function increment(counts: Map<string, number>, name: string): void {
  const count = counts.get(name);
  if (count !== undefined) counts.set(name, count + 1);
}
