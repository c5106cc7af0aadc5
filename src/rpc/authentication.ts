import type { CallerTokens } from "../core/caller-tokens.ts";
import { requireGrant } from "../core/callers.ts";
import { TollgateError } from "../core/errors.ts";
import type { Call } from "./call.ts";
import { grantFor } from "./method.ts";

/**
 * Lets only calls with a live caller token and the method's grant pass, and sets the call's caller. The
 * token is checked on every call. Throws UNAUTHENTICATED (CALLER_TOKEN_MISSING, CALLER_TOKEN_INVALID) or
 * PERMISSION_DENIED (GRANT_REQUIRED).
 */
export function createAuthentication(
  callerTokens: Pick<CallerTokens, "authenticate">,
): (call: Call) => Promise<void> {
  return async (call) => {
    const token = bearerToken(call.header("authorization"));
    const found = callerTokens.authenticate(token, call.deadline);
    const caller = found instanceof Promise ? await found : found;
    if (caller === undefined) throw invalid("The caller token is unknown, expired or revoked.");
    requireGrant(caller, grantFor(call.method));
    call.caller = caller;
  };
}

/**
 * The token of `Bearer TOKEN`, as RFC 6750 2.1 has it. Several authorization values arrive joined by a
 * comma, which no token holds, and are refused: which of them a gateway meant cannot be known.
 */
function bearerToken(authorization: string | null): string {
  if (authorization === null || authorization === "") {
    throw new TollgateError(
      "unauthenticated",
      'A caller token is required: send "authorization: Bearer tgc_…".',
      { reason: "CALLER_TOKEN_MISSING" },
    );
  }
  const token = /^Bearer +([!-+\--~]+)$/i.exec(authorization)?.[1];
  if (token === undefined) throw invalid('The authorization is not one "Bearer tgc_…".');
  return token;
}

function invalid(message: string): TollgateError {
  return new TollgateError("unauthenticated", message, { reason: "CALLER_TOKEN_INVALID" });
}
