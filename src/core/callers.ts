import type { Grant } from "./records.ts";

/** The service that calls Tollgate, once its token was checked. */
export interface Caller {
  /** The caller token's id, "admin-token" for TOLLGATE_ADMIN_TOKEN. */
  readonly id: string;
  readonly grants: ReadonlySet<Grant>;
  /** Empty: all. */
  readonly apis: ReadonlySet<string>;
}
