import type { Authorizer } from "../core/authorizer.ts";
import type { Caller } from "../core/callers.ts";
import { keyOfAuthorization } from "../core/credential.ts";
import type { Decision } from "../core/decision.ts";
import { TollgateError } from "../core/errors.ts";
import { type PolicySet, policyByHost } from "../core/policy-set.ts";
import type { Deadline } from "../core/ports.ts";
import type { GatewayRequest } from "./gateway-request.ts";
import { identityHeaders } from "./identity-headers.ts";
import { noSuchApi, type Refusal, refusalOf, undecided } from "./problem.ts";
import { type HeaderLine, type RateLimitFields, rateLimitHeaders } from "./rate-limit-headers.ts";

/** Who asks, and until when. */
export interface GatewayCall {
  readonly caller: Caller;
  readonly deadline: Deadline;
}

/** What a gateway is to do with a request. */
export type GatewayAnswer =
  | {
      readonly refusal: undefined;
      readonly decision: Decision;
      /** For the service behind. */
      readonly identity: readonly HeaderLine[];
      /** For the client. */
      readonly clientHeaders: readonly HeaderLine[];
    }
  | {
      readonly refusal: Refusal;
      /** Undefined: there was none. */
      readonly decision: Decision | undefined;
    };

export interface GatewayCheckDependencies {
  readonly authorizer: Pick<Authorizer, "check">;
  readonly policies: () => PolicySet;
  readonly rateLimitFields: RateLimitFields;
  /** Told of every decision, for the metrics. */
  readonly onDecision: (decision: Decision) => void;
  /** Told of what could not be decided and was refused, for the log and the metrics. */
  readonly onUndecided: (error: unknown) => void;
}

/**
 * Decides for a gateway. What a client can choose never makes an error, because gateways may be set to let
 * pass on errors. What could not be decided is refused or, where the policy says `on_error: gateway`, thrown.
 */
export type GatewayCheck = (request: GatewayRequest, call: GatewayCall) => Promise<GatewayAnswer>;

export function createGatewayCheck(dependencies: GatewayCheckDependencies): GatewayCheck {
  const { authorizer, policies, rateLimitFields, onDecision, onUndecided } = dependencies;

  async function decide(request: GatewayRequest, call: GatewayCall): Promise<GatewayAnswer> {
    const decision = await authorizer.check(
      {
        api: request.api,
        key: keyOfAuthorization(request.authorization),
        target: {
          http: {
            method: request.method,
            path: request.path,
            scheme: request.scheme,
            host: request.host,
            preflightFor: request.preflightFor,
          },
        },
        workspaceId: "",
        locationIds: [],
        points: undefined,
        // Whatever a gateway could give for one comes from the client, who could repeat it for free calls.
        requestId: "",
        mode: request.mode,
        explain: false,
        clientIp: request.clientIp,
      },
      call.caller,
      call.deadline,
    );
    onDecision(decision);
    if (!decision.allowed) return { refusal: refusalOf(decision, rateLimitFields), decision };
    return {
      refusal: undefined,
      decision,
      identity: identityHeaders(decision),
      clientHeaders: rateLimitHeaders(
        { limits: decision.limits, tightest: decision.points },
        rateLimitFields,
      ),
    };
  }

  /** Whether the client's host led to no api that this caller may ask about. */
  function isStrangeHost({ api, host }: GatewayRequest, { caller }: GatewayCall): boolean {
    if (api !== "") return false;
    const set = policies();
    const [only] = set.policies.keys();
    const found = policyByHost(set, host)?.policy.api ?? (set.policies.size === 1 ? only : undefined);
    return found === undefined || (caller.apis.size > 0 && !caller.apis.has(found));
  }

  return async (request, call) => {
    if (isStrangeHost(request, call)) return { refusal: noSuchApi(), decision: undefined };
    try {
      return await decide(request, call);
    } catch (error) {
      if (failureModeOf(policies(), request) === "gateway") throw error;
      onUndecided(error);
      return { refusal: undecided(), decision: undefined };
    }
  };
}

function failureModeOf(set: PolicySet, { api, host }: GatewayRequest): "deny" | "gateway" {
  const [only] = set.policies.values();
  const policy = api === "" ? (policyByHost(set, host)?.policy ?? only) : set.policies.get(api);
  return policy?.onError ?? "deny";
}

/** INVALID_ARGUMENT about the gateway's own configuration. */
export function gatewayMisconfigured(description: string): TollgateError {
  return new TollgateError("invalid_argument", `The gateway's configuration: ${description}.`, {
    reason: "GATEWAY_MISCONFIGURED",
  });
}
