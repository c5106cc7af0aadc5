import type { CallerTokens } from "../core/caller-tokens.ts";
import { type Caller, requireGrant } from "../core/callers.ts";
import { TollgateError } from "../core/errors.ts";
import type { MaybePromise } from "../core/ports.ts";
import type { Call } from "./call.ts";
import { grantFor } from "./method.ts";

/**
 * What is wrong with a request's authorization as far as that shows without a store; undefined: nothing.
 * It is asked before a body is read.
 */
export function createAuthorizationCheck(
  callerTokens: Pick<CallerTokens, "isPlausible">,
): (authorization: string | null) => TollgateError | undefined {
  return (authorization) => {
    const token = bearerToken(authorization);
    if (token instanceof TollgateError) return token;
    return callerTokens.isPlausible(token) ? undefined : unknownToken();
  };
}

/**
 * Lets only calls with a live caller token and the method's grant pass, and sets the call's caller. The
 * token is checked on every call. Throws UNAUTHENTICATED (CALLER_TOKEN_MISSING, CALLER_TOKEN_INVALID) or
 * PERMISSION_DENIED (GRANT_REQUIRED).
 */
export function createAuthentication(
  callerTokens: Pick<CallerTokens, "authenticate">,
): (call: Call) => MaybePromise<void> {
  function admit(call: Call, caller: Caller | undefined): void {
    if (caller === undefined) throw unknownToken();
    requireGrant(caller, grantFor(call.method));
    call.caller = caller;
  }

  return (call) => {
    const token = bearerToken(call.header("authorization"));
    if (token instanceof TollgateError) throw token;
    const found = callerTokens.authenticate(token, call.deadline);
    return found instanceof Promise ? found.then((caller) => admit(call, caller)) : admit(call, found);
  };
}

/**
 * The token of `Bearer TOKEN`, as RFC 6750 2.1 has it. Several authorization values arrive joined by a
 * comma, which no token holds, and are refused: which of them a gateway meant cannot be known.
 */
function bearerToken(authorization: string | null): string | TollgateError {
  if (authorization === null || authorization === "") {
    return new TollgateError(
      "unauthenticated",
      'A caller token is required: send "authorization: Bearer tgc_…".',
      { reason: "CALLER_TOKEN_MISSING" },
    );
  }
  const token = /^Bearer +([!-+\--~]+)$/i.exec(authorization)?.[1];
  return token ?? invalid('The authorization is not one "Bearer tgc_…".');
}

function unknownToken(): TollgateError {
  return invalid("The caller token is unknown, expired or revoked.");
}

function invalid(message: string): TollgateError {
  return new TollgateError("unauthenticated", message, { reason: "CALLER_TOKEN_INVALID" });
}
