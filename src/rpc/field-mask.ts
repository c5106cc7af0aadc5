import type { FieldMask } from "@bufbuild/protobuf/wkt";
import { invalidField } from "../core/errors.ts";

/** The fields that a mask names; empty for a mask that is unset or has no path. Throws INVALID_ARGUMENT. */
export function fieldsOfMask(mask: FieldMask | undefined, allowed: readonly string[]): ReadonlySet<string> {
  const paths = mask?.paths ?? [];
  for (const [index, path] of paths.entries()) {
    if (!allowed.includes(path)) {
      throw invalidField(`update_mask.paths[${index}]`, `must be one of ${allowed.join(", ")}`);
    }
  }
  return new Set(paths);
}
