import type { MessageInitShape } from "@bufbuild/protobuf";
import { invalidField } from "../core/errors.ts";
import type { CallerTokenRecord, Grant as CoreGrant } from "../core/records.ts";
import { type CallerTokenSchema, Grant } from "../gen/tollgate/v1/caller_service_pb.ts";
import { timestamp } from "./time-message.ts";

const GRANTS = {
  check: Grant.CHECK,
  consume: Grant.CONSUME,
  keys: Grant.KEYS,
  directory: Grant.DIRECTORY,
  admin: Grant.ADMIN,
} as const;

export function callerTokenMessage(token: CallerTokenRecord): MessageInitShape<typeof CallerTokenSchema> {
  return {
    id: token.id,
    name: token.name,
    grants: token.grants.map((grant) => GRANTS[grant]),
    apis: [...token.apis],
    createTime: timestamp(token.createTimeMs),
    ...(token.expireTimeMs === undefined ? {} : { expireTime: timestamp(token.expireTimeMs) }),
    ...(token.revokeTimeMs === undefined ? {} : { revokeTime: timestamp(token.revokeTimeMs) }),
  };
}

export function grantNames(grants: readonly Grant[]): CoreGrant[] {
  const names = Object.keys(GRANTS) as CoreGrant[];
  return grants.map((grant, index) => {
    const name = names.find((candidate) => GRANTS[candidate] === grant);
    if (name === undefined) throw invalidField(`grants[${index}]`, "is no grant");
    return name;
  });
}
