import { TollgateError } from "../core/errors.ts";
import type { Policy } from "../core/policy.ts";

/**
 * What a gateway is to do with a request that could not be decided. "deny": refuse it. "gateway": be told of
 * the error, and do what it is itself configured to do. "pass": let it through as nobody, since a policy in
 * shadow refuses nothing.
 *
 * Only a fault of the stores is left to the gateway: overload, and whatever else a client might bring about,
 * would otherwise open the gate to whoever can.
 */
export function failureMode(error: unknown, policy: Policy | undefined): "deny" | "gateway" | "pass" {
  if (policy?.enforcement === "shadow") return "pass";
  if (policy?.onError !== "gateway" || !(error instanceof TollgateError)) return "deny";
  return error.code === "unavailable" || error.code === "deadline_exceeded" ? "gateway" : "deny";
}
