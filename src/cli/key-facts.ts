import { InvalidArgumentError } from "commander";
import { type Key, KeySchema, KeyStatus } from "../gen/tollgate/v1/key_pb.ts";
import { printMessage } from "./listing.ts";
import { formatTime } from "./option-value.ts";
import type { Session } from "./session.ts";

const statuses = {
  active: KeyStatus.ACTIVE,
  disabled: KeyStatus.DISABLED,
  expired: KeyStatus.EXPIRED,
  revoked: KeyStatus.REVOKED,
} as const;

export function printKey(session: Session, key: Key): void {
  printMessage(session, KeySchema, key, keyFacts(key));
}

export function keyFacts(it: Key): readonly (readonly [string, string])[] {
  return [
    ["id", it.id],
    ["name", it.name],
    ["description", it.description],
    ["api", it.api],
    ["type", it.environment === "" ? it.type : `${it.type} (${it.environment})`],
    ["workspace", it.workspaceId],
    ["acts as", it.userId],
    ["made by", it.createdBy],
    ["role", it.role],
    ["scopes", it.scopes.join(" ")],
    ["preview", it.preview],
    ["status", it.revokeReason === "" ? statusOf(it) : `${statusOf(it)}: ${it.revokeReason}`],
    [
      "metadata",
      Object.entries(it.metadata)
        .map(([name, value]) => `${name}=${value}`)
        .join(" "),
    ],
    ["addresses", it.allowedCidrs.join(" ")],
    ["made", formatTime(it.createTime)],
    ["expires", formatTime(it.expireTime)],
    ["revoked", formatTime(it.revokeTime)],
    ["last used", formatTime(it.lastUseTime)],
    ["old secret ends", formatTime(it.previousSecretExpireTime)],
    ["old secret last used", oldSecretUse(it)],
  ];
}

/** Whether clients still have to be moved to the new secret; empty where only one works. */
export function oldSecretUse(key: Key): string {
  if (key.previousSecretExpireTime === undefined) return "";
  return formatTime(key.previousSecretLastUseTime) || "not since the rotation";
}

export function toStatus(text: string): KeyStatus {
  const status = Object.entries(statuses).find(([name]) => name === text)?.[1];
  if (status === undefined)
    throw new InvalidArgumentError(`It must be one of ${Object.keys(statuses).join(", ")}.`);
  return status;
}

export function statusOf(key: Key): string {
  return Object.entries(statuses).find(([, status]) => status === key.status)?.[0] ?? "";
}
