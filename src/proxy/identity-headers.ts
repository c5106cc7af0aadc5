import type { Decision, Principal } from "../core/decision.ts";
import { TollgateError } from "../core/errors.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";

/** What begins so in a request that was let through was set by Tollgate, or by nobody. */
const PREFIX = "x-tollgate-";

/** The headers that tell the service behind who calls; each of them is set or taken away on every request. */
export const IDENTITY_HEADERS = [
  "x-tollgate-key-id",
  "x-tollgate-user",
  "x-tollgate-workspace",
  "x-tollgate-role",
  "x-tollgate-permissions",
  "x-tollgate-locations",
] as const;

/** The longest value that Envoy takes (config.core.v3.HeaderValue). */
const MAX_VALUE_BYTES = 16_384;

/**
 * Who calls, as headers for the service behind; those that would be empty are left out. Permissions and
 * locations are joined by commas, which no id holds; `*` stands for all locations. None at all on a public
 * route, and where a policy in shadow let something pass that it would refuse. Throws `internal`
 * IDENTITY_TOO_LARGE for what no header can carry: half of it would be another identity.
 */
export function identityHeaders({ principal, isOverruled }: Decision): HeaderLine[] {
  if (principal === undefined || isOverruled) return [];
  const lines = valuesOf(principal).filter(([, value]) => value !== "");
  const tooLong = lines.find(([, value]) => value.length > MAX_VALUE_BYTES);
  if (tooLong === undefined) return lines;
  throw new TollgateError("internal", `${tooLong[0]} would be longer than ${MAX_VALUE_BYTES} bytes.`, {
    reason: "IDENTITY_TOO_LARGE",
  });
}

function valuesOf(principal: Principal): HeaderLine[] {
  return [
    ["x-tollgate-key-id", principal.keyId],
    ["x-tollgate-user", principal.userId],
    ["x-tollgate-workspace", principal.workspaceId],
    ["x-tollgate-role", principal.role],
    ["x-tollgate-permissions", principal.permissions.join(",")],
    ["x-tollgate-locations", principal.allLocations ? "*" : principal.locationIds.join(",")],
  ];
}

const T = 0x74;

/**
 * Whether some server would read a header of that name as one of Tollgate's: in any case, and with "_" or
 * whatever else is no letter for "-", as CGI and its heirs do.
 */
export function isReservedHeader(name: string): boolean {
  // Most headers are told apart by the "t", which only "t" and "T" are.
  if (name.length < PREFIX.length || (name.charCodeAt(2) | 0x20) !== T) return false;
  return (
    name
      .slice(0, PREFIX.length)
      .toLowerCase()
      .replace(/[^a-z0-9]/g, "-") === PREFIX
  );
}
