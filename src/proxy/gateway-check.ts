import type { Authorizer } from "../core/authorizer.ts";
import { keyOfAuthorization } from "../core/credential.ts";
import type { Decision } from "../core/decision.ts";
import type { Policy } from "../core/policy.ts";
import { type PolicySet, policyByHost } from "../core/policy-set.ts";
import { failureMode } from "./failure-mode.ts";
import type { GatewayCall, GatewayRequest } from "./gateway-request.ts";
import { identityHeaders } from "./identity-headers.ts";
import { noSuchApi, type Refusal, refusalOf, undecided } from "./problem.ts";
import { type HeaderLine, type RateLimitFields, rateLimitHeaders } from "./rate-limit-headers.ts";
import type { UndecidedLog } from "./undecided-log.ts";

/** What a gateway is to do with a request. */
export type GatewayAnswer = Admittance | Denial;

export interface Admittance {
  readonly refusal: undefined;
  /** Undefined: a policy in shadow lets pass what could not be decided. */
  readonly decision: Decision | undefined;
  /** For the service behind. */
  readonly identity: readonly HeaderLine[];
  /** For the client. */
  readonly clientHeaders: readonly HeaderLine[];
}

export interface Denial {
  readonly refusal: Refusal;
  /** Undefined: there was none. */
  readonly decision: Decision | undefined;
}

export interface GatewayCheckDependencies {
  readonly authorizer: Pick<Authorizer, "check">;
  readonly policies: () => PolicySet;
  readonly rateLimitFields: RateLimitFields;
  /** Told of every decision, for the metrics. */
  readonly onDecision: (decision: Decision) => void;
  readonly onUndecided: UndecidedLog;
}

/** Decides for gateways. What a client can choose never makes an error, because some let pass on errors. */
export interface GatewayCheck {
  /** Throws only what `undecided` leaves to the gateway. */
  decide(request: GatewayRequest, call: GatewayCall): Promise<GatewayAnswer>;
  /** What to do without a decision, by the policy; undefined: the gateway is to be told of the error. */
  undecided(error: unknown, request: Pick<GatewayRequest, "api" | "host">): GatewayAnswer | undefined;
}

export function createGatewayCheck(dependencies: GatewayCheckDependencies): GatewayCheck {
  const { authorizer, policies, rateLimitFields, onDecision, onUndecided } = dependencies;

  async function decisionOf(request: GatewayRequest, call: GatewayCall): Promise<GatewayAnswer> {
    const { method, path, scheme, host, preflightFor } = request;
    const decision = await authorizer.check(
      {
        api: request.api,
        key: keyOfAuthorization(request.authorization),
        target: { http: { method, path, scheme, host, preflightFor } },
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
      call,
    );
    onDecision(decision);
    if (!decision.allowed) return { refusal: refusalOf(decision, rateLimitFields), decision };
    const { limits, points: tightest } = decision;
    return {
      refusal: undefined,
      decision,
      identity: identityHeaders(decision),
      clientHeaders: rateLimitHeaders({ limits, tightest }, rateLimitFields),
    };
  }

  function withoutDecision(
    error: unknown,
    request: Pick<GatewayRequest, "api" | "host">,
  ): GatewayAnswer | undefined {
    const mode = failureMode(error, policyOf(policies(), request));
    if (mode === "gateway") return undefined;
    onUndecided(error);
    if (mode === "deny") return { refusal: undecided(), decision: undefined };
    return { refusal: undefined, decision: undefined, identity: [], clientHeaders: [] };
  }

  return {
    async decide(request, call) {
      if (request.api === "") {
        // The client has chosen the host: what it leads to is decided, and no error.
        const api = policyOf(policies(), request)?.api;
        const { apis } = call.caller;
        const isTheirs = api !== undefined && (apis.size === 0 || apis.has(api));
        if (!isTheirs) return { refusal: noSuchApi(), decision: undefined };
      }
      try {
        return await decisionOf(request, call);
      } catch (error) {
        const answer = withoutDecision(error, request);
        if (answer === undefined) throw error;
        return answer;
      }
    },

    undecided: withoutDecision,
  };
}

/** The policy of that name; else the one of the host, else the only one. */
function policyOf(set: PolicySet, { api, host }: Pick<GatewayRequest, "api" | "host">): Policy | undefined {
  if (api !== "") return set.policies.get(api);
  const [only] = set.policies.values();
  return policyByHost(set, host)?.policy ?? (set.policies.size === 1 ? only : undefined);
}
