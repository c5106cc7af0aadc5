import type { KeyType, Permission, Role } from "../core/policy.ts";
import { compareMaps, listChanges, type PolicyChange, settingChange } from "./change.ts";
import type { CompiledPolicy } from "./compiled-policy.ts";
import { gateChanges } from "./diff-gate.ts";
import { formatDuration } from "./duration.ts";
import { permissionNames } from "./permission-names.ts";

const yesNo = (value: boolean) => (value ? "true" : "false");
const wider = (_: boolean, now: boolean) => (now ? "gives" : "takes");

export function permissionChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const { dropped, added, kept } = compareMaps(before.permissions, after.permissions);
  return [
    ...dropped.map((name) => taken(`permissions.${name}`, "there is no such permission any more")),
    ...added.map((name) => given(`permissions.${name}`, "a new permission")),
    ...kept.flatMap(({ name, old, now }) => [
      ...costChange(`permissions.${name}`, old, now),
      ...settingChange(`permissions.${name}`, {
        name: "any_key",
        old: old.anyKey,
        now: now.anyKey,
        spell: yesNo,
        kind: wider,
      }),
    ]),
  ];
}

function costChange(about: string, old: Permission, now: Permission): PolicyChange[] {
  return settingChange(about, {
    name: "the cost",
    old: old.cost,
    now: now.cost,
    spell: (cost) => (cost === undefined ? "not stated" : String(cost)),
    kind: () => {
      if (old.cost === undefined || now.cost === undefined) return "changes";
      return now.cost < old.cost ? "gives" : "takes";
    },
  });
}

const MANAGES: readonly Role["managesKeys"][] = ["none", "own", "workspace"];

export function roleChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const { dropped, added, kept } = compareMaps(before.roles, after.roles);
  return [
    ...dropped.map((name) =>
      taken(`roles.${name}`, "there is no such role any more; its members may do nothing"),
    ),
    ...added.map((name) => given(`roles.${name}`, "a new role")),
    ...kept.flatMap(({ name, old, now }) => [
      ...listChanges(`roles.${name}`, {
        before: permissionNames(before, old.permissions),
        after: permissionNames(after, now.permissions),
        gained: "may now",
        lost: "may no longer",
      }),
      ...settingChange(`roles.${name}`, {
        name: "creates_keys",
        old: old.createsKeys,
        now: now.createsKeys,
        spell: yesNo,
        kind: wider,
      }),
      ...settingChange(`roles.${name}`, {
        name: "manages_keys",
        old: old.managesKeys,
        now: now.managesKeys,
        spell: String,
        kind: () => (MANAGES.indexOf(now.managesKeys) > MANAGES.indexOf(old.managesKeys) ? "gives" : "takes"),
      }),
    ]),
  ];
}

export function scopeChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const { dropped, added, kept } = compareMaps(before.scopes, after.scopes);
  return [
    ...dropped.map((name) =>
      taken(`scopes.${name}`, "there is no such scope any more; keys with it lose it"),
    ),
    ...added.map((name) => {
      const isShadow = after.scopes.get(name)?.shadow === true;
      const inShadow = "in shadow: keys that lack it may do what it grants";
      return given(`scopes.${name}`, isShadow ? `a new scope, ${inShadow}` : "a new scope");
    }),
    ...kept.flatMap(({ name, old, now }) => [
      ...listChanges(`scopes.${name}`, {
        before: permissionNames(before, old.grants),
        after: permissionNames(after, now.grants),
        gained: "now grants",
        lost: "no longer grants",
      }),
      ...settingChange(`scopes.${name}`, {
        name: "shadow",
        old: old.shadow,
        now: now.shadow,
        spell: yesNo,
        kind: wider,
      }),
      ...gateChanges(`scopes.${name}.requires`, { old: old.requires, now: now.requires, before, after }),
    ]),
  ];
}

export function presetChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const { dropped, added, kept } = compareMaps(before.presets, after.presets);
  return [
    ...dropped.map((name) =>
      taken(`presets.${name}`, "there is no such preset any more; keys with it lose it"),
    ),
    ...added.map((name) => given(`presets.${name}`, "a new preset")),
    ...kept.flatMap(({ name, old, now }) =>
      listChanges(`presets.${name}`, {
        before: old.map((scope) => scope.name),
        after: now.map((scope) => scope.name),
        gained: "now stands also for",
        lost: "no longer stands for",
      }),
    ),
  ];
}

export function keyTypeChanges(before: CompiledPolicy, after: CompiledPolicy): PolicyChange[] {
  const { dropped, added, kept } = compareMaps(before.keyTypes, after.keyTypes);
  return [
    ...dropped.map((name) =>
      taken(`key_types.${name}`, "there is no such key type any more; its keys are refused"),
    ),
    ...added.map((name) => given(`key_types.${name}`, "a new key type")),
    ...kept.flatMap(({ name, old, now }) => oneKeyType(`key_types.${name}`, old, now)),
  ];
}

function oneKeyType(about: string, old: KeyType, now: KeyType): PolicyChange[] {
  const workspace = (type: KeyType) =>
    type.workspaceQuery === "" ? type.workspace : `from the query's ${type.workspaceQuery}`;
  return [
    ...settingChange(about, {
      name: "the prefix",
      old: old.prefix,
      now: now.prefix,
      spell: (prefix) => JSON.stringify(prefix),
      // Secrets made before have the old one, and are malformed from now on.
      kind: () => "takes",
    }),
    ...settingChange(about, {
      name: "the environment",
      old: old.environment,
      now: now.environment,
      spell: String,
      kind: () => "changes",
    }),
    ...settingChange(about, {
      name: "the workspace",
      old,
      now,
      spell: workspace,
      kind: () => "changes",
    }),
    ...settingChange(about, {
      name: "scopes",
      old: old.scopes,
      now: now.scopes,
      spell: String,
      kind: () => (now.scopes === "all" ? "gives" : "takes"),
    }),
    ...settingChange(about, {
      name: "acts_as",
      old: old.actsAs,
      now: now.actsAs,
      spell: String,
      kind: () => "changes",
    }),
    ...listChanges(`${about}.legacy`, {
      before: old.legacy.map(({ source }) => source),
      after: now.legacy.map(({ source }) => source),
      gained: "new:",
      lost: "no longer:",
    }),
    ...settingChange(about, {
      name: "max_ttl",
      old: old.maxTtlMs ?? Number.POSITIVE_INFINITY,
      now: now.maxTtlMs ?? Number.POSITIVE_INFINITY,
      spell: (ms) => (ms === Number.POSITIVE_INFINITY ? "none" : formatDuration(ms)),
      kind: (was, is) => (is > was ? "gives" : "takes"),
    }),
    ...settingChange(about, {
      name: "rotation_overlap",
      old: old.rotationOverlapMs,
      now: now.rotationOverlapMs,
      spell: formatDuration,
      kind: (was, is) => (is > was ? "gives" : "takes"),
    }),
  ];
}

function taken(about: string, message: string): PolicyChange {
  return { kind: "takes", about, message };
}

function given(about: string, message: string): PolicyChange {
  return { kind: "gives", about, message };
}
