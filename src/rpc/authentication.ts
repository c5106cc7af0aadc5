import type { CallerTokens, PresentedToken } from "../core/caller-tokens.ts";
import { type Caller, requireGrant } from "../core/callers.ts";
import { TollgateError } from "../core/errors.ts";
import type { MaybePromise } from "../core/ports.ts";
import type { Call, Credential } from "./call.ts";
import { grantFor } from "./method.ts";

export interface Authentication {
  /**
   * What is wrong with the call's authorization as far as that shows without a store; undefined: nothing.
   * It is asked before a body is read.
   */
  refusal(call: Call): TollgateError | undefined;
  /**
   * Lets only calls with a live caller token and the method's grant pass, and sets the call's caller. The
   * token is looked up on every call. Throws UNAUTHENTICATED (CALLER_TOKEN_MISSING, CALLER_TOKEN_INVALID) or
   * PERMISSION_DENIED (GRANT_REQUIRED).
   */
  admit(call: Call): MaybePromise<void>;
  /**
   * Reads authorizations, and one that a connection sent before only once: so its token is not digested for each of
   * its calls. What a client sends is compared with what itself has sent, and with nothing else.
   */
  remembering(): (connection: object, authorization: string | null) => Credential;
}

export function createAuthentication(
  callerTokens: Pick<CallerTokens, "present" | "authenticate">,
): Authentication {
  function read(authorization: string | null): Credential {
    const token = bearerToken(authorization);
    return token instanceof TollgateError ? token : callerTokens.present(token);
  }

  function credentialOf(call: Call): Credential {
    call.credential ??= read(call.header("authorization"));
    return call.credential;
  }

  function admit(call: Call, caller: Caller | undefined): void {
    if (caller === undefined) throw unknownToken();
    requireGrant(caller, grantFor(call.method));
    call.caller = caller;
  }

  return {
    refusal(call) {
      const credential = credentialOf(call);
      if (credential instanceof TollgateError) return credential;
      return credential.isPlausible ? undefined : unknownToken();
    },

    admit(call) {
      const credential = credentialOf(call);
      if (credential instanceof TollgateError) throw credential;
      const found = callerTokens.authenticate(credential, call.deadline);
      return found instanceof Promise ? found.then((caller) => admit(call, caller)) : admit(call, found);
    },

    remembering() {
      const sent = new WeakMap<object, { readonly authorization: string; readonly token: PresentedToken }>();
      return (connection, authorization) => {
        const last = sent.get(connection);
        if (last !== undefined && last.authorization === authorization) return last.token;
        const credential = read(authorization);
        if (authorization !== null && !(credential instanceof TollgateError)) {
          sent.set(connection, { authorization, token: credential });
        }
        return credential;
      };
    },
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
