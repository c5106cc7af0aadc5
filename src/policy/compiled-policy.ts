import type { Policy } from "../core/policy.ts";
import type { ListedRouteTable } from "./route-table.ts";

/** A policy whose routes can also be listed. */
export interface CompiledPolicy extends Policy {
  readonly routes: ListedRouteTable;
}
