import type { MessageInitShape } from "@bufbuild/protobuf";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import type { MemberFields } from "../core/ports.ts";
import type { MemberRecord } from "../core/records.ts";
import type { Member, MemberSchema } from "../gen/tollgate/v1/directory_pb.ts";
import { fieldsOfMask } from "./field-mask.ts";

export function memberMessage(member: MemberRecord): MessageInitShape<typeof MemberSchema> {
  return {
    directory: member.directory,
    workspaceId: member.workspaceId,
    userId: member.userId,
    role: member.role,
    allLocations: member.allLocations,
    locationIds: [...member.locationIds],
  };
}

/** What a PutMemberRequest sets: with a mask the named fields, else all. */
export function memberChange(
  member: Member,
  mask: FieldMask | undefined,
): { fields: Partial<MemberFields>; replace: boolean } {
  const named = fieldsOfMask(mask, ["role", "all_locations", "location_ids"]);
  const { role, allLocations, locationIds } = member;
  if (named.size === 0) return { fields: { role, allLocations, locationIds }, replace: true };
  return {
    fields: {
      ...(named.has("role") ? { role } : {}),
      ...(named.has("all_locations") ? { allLocations } : {}),
      ...(named.has("location_ids") ? { locationIds } : {}),
    },
    replace: false,
  };
}
