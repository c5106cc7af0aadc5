import { TollgateError } from "./errors.ts";
import type { Grant } from "./records.ts";

/** The service that calls Tollgate, once its token was checked. */
export interface Caller {
  /** The caller token's id; "admin-token" for TOLLGATE_ADMIN_TOKEN. */
  readonly id: string;
  readonly grants: ReadonlySet<Grant>;
  /** Empty: all. */
  readonly apis: ReadonlySet<string>;
}

/** Throws PERMISSION_DENIED, GRANT_REQUIRED, unless the caller has the grant or "admin". */
export function requireGrant(caller: Caller, grant: Grant): void {
  if (caller.grants.has(grant) || caller.grants.has("admin")) return;
  throw new TollgateError("permission_denied", `The caller token needs the grant "${grant}".`, {
    reason: "GRANT_REQUIRED",
    metadata: { grant },
  });
}

/** Throws PERMISSION_DENIED, API_NOT_GRANTED, where the caller token is limited to other apis. */
export function requireApi(caller: Caller, api: string): void {
  if (caller.apis.size === 0 || caller.apis.has(api)) return;
  throw new TollgateError(
    "permission_denied",
    `The caller token is not for the api ${JSON.stringify(api)}.`,
    {
      reason: "API_NOT_GRANTED",
      metadata: { api },
    },
  );
}

/**
 * Throws PERMISSION_DENIED, API_NOT_GRANTED, where the caller token is limited to some apis. Caller tokens
 * are everybody's: who is limited himself could make or end one that is not.
 */
export function requireAllApis(caller: Caller): void {
  if (caller.apis.size === 0) return;
  throw new TollgateError(
    "permission_denied",
    "The caller token is limited to some apis, and this is for all.",
    {
      reason: "API_NOT_GRANTED",
    },
  );
}
