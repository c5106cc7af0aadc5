/**
 * One difference between two policies. "gives": somebody may do more, more cheaply or more easily;
 * "takes": less; "changes": neither, or it depends.
 */
export interface PolicyChange {
  readonly kind: "gives" | "takes" | "changes";
  /** Where in the policy, as `roles.member`. */
  readonly about: string;
  /** A sentence without its full stop. */
  readonly message: string;
}

/** What stood in the old policy, is gone in the new, and may still be named by records. */
export interface DroppedNames {
  readonly plans: readonly string[];
  readonly roles: readonly string[];
  readonly scopes: readonly string[];
  readonly presets: readonly string[];
  readonly keyTypes: readonly string[];
}

/** Entries of both maps by name: what only one has, and pairs of what both have. */
export function compareMaps<T>(before: ReadonlyMap<string, T>, after: ReadonlyMap<string, T>) {
  return {
    dropped: [...before.keys()].filter((name) => !after.has(name)),
    added: [...after.keys()].filter((name) => !before.has(name)),
    kept: [...before].flatMap(([name, old]) => {
      const now = after.get(name);
      return now === undefined ? [] : [{ name, old, now }];
    }),
  };
}

/** The change of one setting; none when both values are spelt alike. `gives` says whether the new one is wider. */
export function settingChange<T>(
  about: string,
  setting: {
    readonly name: string;
    readonly old: T;
    readonly now: T;
    readonly spell: (value: T) => string;
    readonly kind: (old: T, now: T) => PolicyChange["kind"];
  },
): PolicyChange[] {
  const { name, old, now, spell, kind } = setting;
  const [before, after] = [spell(old), spell(now)];
  if (before === after) return [];
  return [{ kind: kind(old, now), about, message: `${name} was ${before}, and is ${after}` }];
}

/** Names that a list gains and loses, as one change each way. */
export function listChanges(
  about: string,
  list: {
    readonly before: readonly string[];
    readonly after: readonly string[];
    readonly gained: string;
    readonly lost: string;
    /** What gaining means; losing means the opposite. */
    readonly kind?: "gives" | "takes" | "changes";
  },
): PolicyChange[] {
  const { before, after, kind = "gives" } = list;
  const opposite = kind === "gives" ? "takes" : kind === "takes" ? "gives" : "changes";
  const gained = after.filter((name) => !before.includes(name));
  const lost = before.filter((name) => !after.includes(name));
  const changes: PolicyChange[] = [];
  if (gained.length > 0) changes.push({ kind, about, message: `${list.gained} ${gained.join(", ")}` });
  if (lost.length > 0) changes.push({ kind: opposite, about, message: `${list.lost} ${lost.join(", ")}` });
  return changes;
}
