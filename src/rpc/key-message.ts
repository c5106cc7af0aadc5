import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { invalidField } from "../core/errors.ts";
import { type KeyChanges, keyStatus } from "../core/keys.ts";
import type { KeyStatus as CoreKeyStatus } from "../core/ports.ts";
import type { KeyRecord } from "../core/records.ts";
import { type Key, type KeySchema, KeyStatus } from "../gen/tollgate/v1/key_pb.ts";
import { fieldsOfMask } from "./field-mask.ts";
import { timeMs, timestamp } from "./time-message.ts";

const STATUSES = {
  active: KeyStatus.ACTIVE,
  disabled: KeyStatus.DISABLED,
  expired: KeyStatus.EXPIRED,
  revoked: KeyStatus.REVOKED,
} as const;

/** `nowMs`, in milliseconds since the epoch, decides between active and expired. */
export function keyMessage(key: KeyRecord, nowMs: number): MessageInitShape<typeof KeySchema> {
  return {
    id: key.id,
    api: key.api,
    type: key.type,
    environment: key.environment,
    workspaceId: key.workspaceId,
    userId: key.userId,
    createdBy: key.createdBy,
    role: key.role,
    name: key.name,
    description: key.description,
    scopes: [...key.scopes],
    preview: key.preview,
    status: STATUSES[keyStatus(key, nowMs)],
    metadata: { ...key.metadata },
    allowedCidrs: [...key.allowedCidrs],
    createTime: timestamp(key.createTimeMs),
    ...optionalTime("expireTime", key.expireTimeMs),
    ...optionalTime("revokeTime", key.revokeTimeMs),
    revokeReason: key.revokeReason,
    ...optionalTime("lastUseTime", key.lastUseTimeMs),
    ...previousSecret(key, nowMs),
  };
}

/** Of the old secret, while its overlap lasts. */
function previousSecret(key: KeyRecord, nowMs: number) {
  if (key.previousExpireTimeMs === undefined || key.previousExpireTimeMs <= nowMs) return {};
  return {
    ...optionalTime("previousSecretExpireTime", key.previousExpireTimeMs),
    ...optionalTime("previousSecretLastUseTime", key.previousLastUseTimeMs),
  };
}

function optionalTime<Name extends string>(name: Name, ms: number | undefined) {
  return (ms === undefined ? {} : { [name]: timestamp(ms) }) as Partial<
    Record<Name, ReturnType<typeof timestamp>>
  >;
}

/** Undefined: any. */
export function keyStatusFilter(status: KeyStatus): CoreKeyStatus | undefined {
  const names = Object.keys(STATUSES) as CoreKeyStatus[];
  return names.find((name) => STATUSES[name] === status);
}

const UPDATABLE = ["name", "description", "status", "scopes", "expire_time", "metadata", "allowed_cidrs"];

/** What an UpdateKeyRequest changes: the fields that the mask names, and no other. */
export function keyChanges(key: Key, mask: FieldMask | undefined): KeyChanges {
  const fields = fieldsOfMask(mask, UPDATABLE);
  if (fields.size === 0) {
    throw invalidField("update_mask", `name at least one of ${UPDATABLE.join(", ")}`);
  }
  return {
    ...(fields.has("name") ? { name: key.name } : {}),
    ...(fields.has("description") ? { description: key.description } : {}),
    ...(fields.has("status") ? { disabled: isDisabled(key.status) } : {}),
    ...(fields.has("scopes") ? { scopes: key.scopes } : {}),
    ...(fields.has("expire_time") ? { expireTimeMs: timeMs(key.expireTime, "key.expire_time") } : {}),
    ...(fields.has("metadata") ? { metadata: key.metadata } : {}),
    ...(fields.has("allowed_cidrs") ? { allowedCidrs: key.allowedCidrs } : {}),
  };
}

function isDisabled(status: KeyStatus): boolean {
  if (status === KeyStatus.ACTIVE) return false;
  if (status === KeyStatus.DISABLED) return true;
  throw invalidField("key.status", "set KEY_STATUS_ACTIVE or KEY_STATUS_DISABLED; to end a key, revoke it");
}
