import { type IssuedKey, keyStatus } from "../core/keys.ts";
import type { KeyRecord } from "../core/records.ts";
import { parseDuration } from "./duration.ts";
import type { TestStep } from "./test-file.ts";
import { type Action, NO_DETAIL, type Outcome } from "./test-outcome.ts";
import {
  CALLER,
  deadline,
  issuedKey,
  issueKey,
  locationFields,
  type TestWorld,
  workspaceFields,
} from "./test-world.ts";

/** The change that a step makes to keys or to the world; undefined: none. */
export function changeOf(world: TestWorld, step: TestStep): Action | undefined {
  const { keys, directory } = world;
  if (step.create_key !== undefined) {
    const { as, ...key } = step.create_key;
    return change(`create ${as ?? "a key"}`, async () => remember(world, as, await issueKey(world, key)));
  }
  if (step.rotate_key !== undefined) {
    const { key: name, actor, overlap, as } = step.rotate_key;
    const { key } = issuedKey(world, name);
    const overlapMs = overlap === undefined ? undefined : parseDuration(overlap);
    const input = { keyId: key.id, overlapMs, actorUserId: actor, requestId: "" };
    return change(`rotate ${name}`, async () =>
      remember(world, as, await keys.rotate(input, CALLER, deadline())),
    );
  }
  if (step.update_key !== undefined) {
    const { key: name, actor, ...changes } = step.update_key;
    const { key } = issuedKey(world, name);
    const stated = {
      ...(changes.scopes === undefined ? {} : { scopes: changes.scopes }),
      ...(changes.disabled === undefined ? {} : { disabled: changes.disabled }),
    };
    const input = { keyId: key.id, changes: stated, actorUserId: actor };
    return change(`update ${name}`, () => keys.update(input, CALLER, deadline()));
  }
  if (step.revoke_key !== undefined) {
    const { key } = issuedKey(world, step.revoke_key.key);
    const input = { target: { keyId: key.id }, reason: "", actorUserId: step.revoke_key.actor ?? "" };
    return change(`revoke ${step.revoke_key.key}`, () => keys.revoke(input, CALLER, deadline()));
  }
  if (step.revoke_secret !== undefined) {
    const { secret } = issuedKey(world, step.revoke_secret.of);
    const input = { target: { key: secret }, reason: "leaked", actorUserId: "" };
    return change(`revoke the secret of ${step.revoke_secret.of}`, () =>
      keys.revoke(input, CALLER, deadline()),
    );
  }
  if (step.show_key !== undefined) {
    const name = step.show_key;
    return { label: `show ${name}`, run: () => showKey(world, issuedKey(world, name)) };
  }
  if (step.set_workspace !== undefined) {
    const stated = Object.entries(step.set_workspace);
    return change("set workspace", async () => {
      for (const [workspaceId, fields] of stated) {
        const input = {
          directory: "",
          workspaceId,
          fields: workspaceFields(fields),
          replace: false,
          sourceVersion: 0n,
        };
        await directory.putWorkspace(input, CALLER, deadline());
      }
    });
  }
  if (step.set_member !== undefined) {
    const { workspace, user, role, locations } = step.set_member;
    const fields = {
      ...(role === undefined ? {} : { role }),
      ...(locations === undefined ? {} : locationFields(locations)),
    };
    const input = {
      directory: "",
      workspaceId: workspace,
      userId: user,
      fields,
      replace: false,
      sourceVersion: 0n,
    };
    return change(`set member ${user}`, () => directory.putMember(input, CALLER, deadline()));
  }
  if (step.remove_member !== undefined) {
    const { workspace, user } = step.remove_member;
    const input = { directory: "", workspaceId: workspace, userId: user, sourceVersion: 0n };
    return change(`remove member ${user}`, () => directory.removeMember(input, CALLER, deadline()));
  }
  return undefined;
}

function change(label: string, run: () => Promise<unknown>): Action {
  return { label, run: async () => ({ ...facts(await run()), detail: NO_DETAIL }) };
}

/** What a change of a key answers; others answer nothing that is asked about. */
function facts(answer: unknown): Partial<Outcome> {
  if (typeof answer !== "object" || answer === null || !("issued" in answer)) return {};
  const { key } = (answer as { issued: IssuedKey }).issued;
  return {
    workspace: key.workspaceId,
    user: key.userId,
    role: key.role,
    scopes: key.scopes,
    preview: anyPreview(key),
  };
}

/** Without the secret's last characters, which are others each time. */
function anyPreview(key: KeyRecord): string {
  return key.preview.replace(/….*$/, "…");
}

function remember(world: TestWorld, as: string | undefined, issued: IssuedKey): { issued: IssuedKey } {
  if (as !== undefined) world.issued.set(as, issued);
  return { issued };
}

/** What anybody is shown of a key from its creation on. */
async function showKey(world: TestWorld, issued: IssuedKey): Promise<Outcome> {
  const key = await world.keys.get(issued.key.id, CALLER, deadline());
  const shown = JSON.stringify(key);
  return {
    workspace: key.workspaceId,
    user: key.userId,
    role: key.role,
    environment: key.environment,
    name: key.name,
    description: key.description,
    scopes: key.scopes,
    preview: anyPreview(key),
    key_status: keyStatus(key, world.now()),
    secret: shown.includes(issued.secret) ? undefined : "hidden",
    detail: NO_DETAIL,
  };
}
