/** One Check as its client saw it. Times are the client's monotonic milliseconds. */
export interface CheckSeen {
  readonly sentMs: number;
  readonly answeredMs: number;
  /** The start of a server process that was asked: a restart is another one. */
  readonly process: string;
  /** What it was made with: the key's secret, and the caller token. */
  readonly credentials: readonly string[];
  readonly allowed: boolean;
  /** The deny reason, or the error's code. */
  readonly reason: string;
}

/** A change that took something away, from its answer on. */
export interface Ban {
  readonly kind: ChangeKind;
  /** The secret, or the caller token, that is of no use meanwhile. */
  readonly credential: string;
  readonly fromMs: number;
  /** When what gives it back was asked for; Infinity: never. */
  untilMs: number;
  /** The change's own, from its first attempt. */
  readonly tookMs: number;
  readonly attempts: number;
}

export const changeKinds = [
  "RevokeKey",
  "UpdateKey disabled",
  "UpdateKey scopes",
  "UpdateKey expiry",
  "RotateKey",
  "PutMember role",
  "RemoveMember",
  "PutWorkspace plan",
  "PutWorkspace withheld",
  "PutWorkspace suspended",
  "DeleteWorkspace",
  "RevokeCallerToken",
] as const;

export type ChangeKind = (typeof changeKinds)[number];

export interface Violation {
  readonly check: CheckSeen;
  readonly ban: Ban;
}

/** Checks that were allowed, although they began after what forbids them had been answered. */
export function findViolations(checks: readonly CheckSeen[], bans: readonly Ban[]): Violation[] {
  const bansOf = new Map<string, Ban[]>();
  for (const ban of bans) {
    const known = bansOf.get(ban.credential);
    if (known === undefined) bansOf.set(ban.credential, [ban]);
    else known.push(ban);
  }
  return checks
    .filter(({ allowed }) => allowed)
    .flatMap((check) =>
      check.credentials
        .flatMap((credential) => bansOf.get(credential) ?? [])
        .filter(({ fromMs, untilMs }) => check.sentMs > fromMs && check.answeredMs < untilMs)
        .map((ban) => ({ check, ban })),
    );
}
