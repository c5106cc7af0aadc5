import { isMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { PolicySet } from "../core/policy-set.ts";
import type {
  DescriptorDecision,
  RateLimitDecision,
  RateLimitInput,
  RateLimits,
} from "../core/rate-limits.ts";
import {
  type RateLimitRequest,
  RateLimitRequestSchema,
  type RateLimitResponseSchema,
} from "../gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { type WireMethod, wireMethod } from "../wire/wire-method.ts";
import { failureMode } from "./failure-mode.ts";
import type { GatewayCall } from "./gateway-request.ts";
import { PROBLEM_TYPE, type Refusal, refusalOf, undecided } from "./problem.ts";
import { decodeRateLimitRequest, encodeRateLimitResponse } from "./rate-limit-codec.ts";
import type { DescriptorStatus, RateLimitAnswer } from "./rate-limit-exchange.ts";
import { type HeaderLine, type RateLimitFields, rateLimitHeaders } from "./rate-limit-headers.ts";
import { rateLimitInput, rateLimitResponse } from "./rate-limit-message.ts";
import type { UndecidedLog } from "./undecided-log.ts";

type Response = MessageInitShape<typeof RateLimitResponseSchema>;

export interface RateLimitServiceDependencies {
  readonly rateLimits: RateLimits;
  readonly policies: () => PolicySet;
  readonly rateLimitFields: RateLimitFields;
  /** Told of every decision, for the metrics. */
  readonly onDecision: (decision: RateLimitDecision) => void;
  readonly onUndecided: UndecidedLog;
}

/**
 * Envoy's rate limit service (envoy.service.ratelimit.v3). A domain is an api. Envoy lets pass on an error of
 * the RPC unless it is told otherwise, so what could not be decided is over limit, also a mistake in Envoy's
 * own configuration, but where the policy leaves a fault of the stores to Envoy.
 */
export interface RateLimitService {
  shouldRateLimit(request: RateLimitRequest, call: GatewayCall): Promise<Response>;
  /** `shouldRateLimit`, from bytes to bytes. */
  readonly wire: WireMethod<GatewayCall>;
  /**
   * What to answer where the call failed before it got here, such as for overload; undefined: the error.
   * `request` is a RateLimitRequest, or what `wire` made of one; undefined where it could not be read.
   */
  failed(error: unknown, request: object | undefined): Response | undefined;
}

/** What is known of a request also where it cannot be decided. */
interface Asked {
  readonly api: string;
  readonly descriptors: readonly unknown[];
}

export function createRateLimitService(dependencies: RateLimitServiceDependencies): RateLimitService {
  const { rateLimits, policies, rateLimitFields, onDecision, onUndecided } = dependencies;

  function withoutDecision(error: unknown, { api, descriptors }: Asked): RateLimitAnswer | undefined {
    const mode = failureMode(error, policies().policies.get(api));
    if (mode === "gateway") return undefined;
    onUndecided(error);
    const allowed = mode === "pass";
    const statuses = descriptors.map(() => ({ allowed, limit: undefined }));
    const told = { allowed, statuses, degraded: [], shadowReason: undefined };
    return allowed ? { ...told, headers: [], body: "" } : { ...told, ...overLimit(undecided()) };
  }

  function answerOf(decision: RateLimitDecision): RateLimitAnswer {
    const { allowed, limits, points: tightest, degraded, shadowReason } = decision;
    const statuses = decision.descriptors.map(statusOf);
    if (allowed) {
      const headers = rateLimitHeaders({ limits, tightest }, rateLimitFields);
      return { allowed, statuses, headers, body: "", degraded, shadowReason };
    }
    const { headers, body } = overLimit(
      refusalOf(
        { ...decision, principal: undefined, cost: undefined, requiredScopes: [], steps: [] },
        rateLimitFields,
      ),
    );
    return { allowed, statuses, headers, body, degraded, shadowReason };
  }

  async function decide(
    asked: Asked,
    { read, call }: { read: () => RateLimitInput; call: GatewayCall },
  ): Promise<RateLimitAnswer> {
    try {
      const decision = await rateLimits.limit(read(), call.caller, call.deadline, call);
      onDecision(decision);
      return answerOf(decision);
    } catch (error) {
      const answer = withoutDecision(error, asked);
      if (answer === undefined) throw error;
      return answer;
    }
  }

  return {
    shouldRateLimit: async (request, call) =>
      rateLimitResponse(await decide(askedOf(request), { read: () => rateLimitInput(request), call })),

    wire: wireMethod({
      decode: decodeRateLimitRequest,
      work: (input, call: GatewayCall) => decide(input, { read: () => input, call }),
      encode: encodeRateLimitResponse,
    }),

    failed(error, request) {
      const asked = isMessage(request, RateLimitRequestSchema)
        ? askedOf(request)
        : ((request as RateLimitInput | undefined) ?? { api: "", descriptors: [] });
      const answer = withoutDecision(error, asked);
      return answer && rateLimitResponse(answer);
    },
  };
}

function askedOf({ domain, descriptors }: RateLimitRequest): Asked {
  return { api: domain, descriptors };
}

function statusOf({ allowed, tightest }: DescriptorDecision): DescriptorStatus {
  if (tightest === undefined) return { allowed, limit: undefined };
  const { charge, state } = tightest;
  return {
    allowed,
    limit: {
      name: charge.limit.name,
      points: charge.points,
      windowMs: charge.limit.windowMs,
      remaining: Math.floor(state.remaining),
      untilResetMs: Math.ceil(state.blockedMs > 0 ? state.blockedMs : state.resetMs),
    },
  };
}

/** Envoy gives its own answer these headers and this body. */
function overLimit({ status, headers, body }: Refusal): Pick<RateLimitAnswer, "headers" | "body"> {
  // A challenge belongs to a 401, which Envoy does not answer here.
  const lines: HeaderLine[] = [
    ...headers.filter(([name]) => name !== "www-authenticate"),
    ["content-type", PROBLEM_TYPE],
  ];
  return { headers: lines, body: status === 429 ? body : as429(body) };
}

/** Envoy answers 429 for whatever reason, and a problem tells the status that it comes with (RFC 9457 3.1.2). */
function as429(body: string): string {
  return JSON.stringify({ ...(JSON.parse(body) as object), title: "Too Many Requests", status: 429 });
}
