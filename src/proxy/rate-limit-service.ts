import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { type ErrorCode, invalidField, TollgateError } from "../core/errors.ts";
import type { PolicySet } from "../core/policy-set.ts";
import type {
  DescriptorDecision,
  RateLimitDecision,
  RateLimitDescriptor,
  RateLimitInput,
  RateLimits,
} from "../core/rate-limits.ts";
import type { RateLimitDescriptor as DescriptorMessage } from "../gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts";
import {
  RateLimitResponse_Code as Code,
  type RateLimitRequest,
  type RateLimitResponse_DescriptorStatusSchema,
  type RateLimitResponseSchema,
  RateLimitResponse_RateLimit_Unit as Unit,
} from "../gen/envoy/service/ratelimit/v3/rls_pb.ts";
import type { GatewayCall } from "./gateway-check.ts";
import { PROBLEM_TYPE, type Refusal, refusalOf, undecided } from "./problem.ts";
import {
  type HeaderLine,
  type RateLimitFields,
  rateLimitHeaders,
  retryAfterHeader,
} from "./rate-limit-headers.ts";

type Response = MessageInitShape<typeof RateLimitResponseSchema>;
type Status = MessageInitShape<typeof RateLimitResponse_DescriptorStatusSchema>;

export interface RateLimitServiceDependencies {
  readonly rateLimits: RateLimits;
  readonly policies: () => PolicySet;
  readonly rateLimitFields: RateLimitFields;
  /** Told of every decision, for the metrics. */
  readonly onDecision: (decision: RateLimitDecision) => void;
  /** Told of what could not be decided and was refused, for the log and the metrics. */
  readonly onUndecided: (error: unknown) => void;
}

/**
 * Envoy's rate limit service (envoy.service.ratelimit.v3). A domain is an api. Envoy lets pass on an error of
 * the RPC unless it is told otherwise, so only a mistake in Envoy's own configuration is one; what could not
 * be decided is over limit or, where the policy says `on_error: gateway`, thrown.
 */
export interface RateLimitService {
  shouldRateLimit(request: RateLimitRequest, call: GatewayCall): Promise<Response>;
}

export function createRateLimitService(dependencies: RateLimitServiceDependencies): RateLimitService {
  const { rateLimits, policies, rateLimitFields, onDecision, onUndecided } = dependencies;

  return {
    async shouldRateLimit(request, { caller, deadline }) {
      const input = inputOf(request);
      let decision: RateLimitDecision;
      try {
        decision = await rateLimits.limit(input, caller, deadline);
      } catch (error) {
        if (isMistake(error) || !refusesUndecided(policies(), input.api)) throw error;
        onUndecided(error);
        const statuses = input.descriptors.map(() => ({ code: Code.OVER_LIMIT }));
        return { ...overLimit(undecided()), statuses };
      }
      onDecision(decision);
      const statuses = decision.descriptors.map(statusOf);
      const dynamicMetadata = metadataOf(decision);
      if (!decision.allowed) {
        const refusal = refusalOf(
          { ...decision, principal: undefined, cost: undefined, requiredScopes: [], steps: [] },
          rateLimitFields,
        );
        return { ...overLimit(refusal), statuses, ...dynamicMetadata };
      }
      const headers = rateLimitHeaders(
        { limits: decision.limits, tightest: decision.points },
        rateLimitFields,
      );
      return {
        overallCode: Code.OK,
        statuses,
        responseHeadersToAdd: headers.map(headerMessage),
        ...dynamicMetadata,
      };
    },
  };
}

const MOST_POINTS = 1_000_000_000;

function inputOf({ domain, descriptors, hitsAddend }: RateLimitRequest): RateLimitInput {
  if (domain === "") throw invalidField("domain", "name an api");
  if (descriptors.length === 0) throw invalidField("descriptors", "send at least one");
  return {
    api: domain,
    descriptors: descriptors.map((descriptor, index) =>
      descriptorOf(descriptor, { field: `descriptors[${index}]`, requestHits: hitsAddend || 1 }),
    ),
  };
}

function descriptorOf(
  message: DescriptorMessage,
  { field, requestHits }: { field: string; requestHits: number },
): RateLimitDescriptor {
  const { entries, hitsAddend, isNegativeHits, limit } = message;
  if (entries.length === 0) throw invalidField(`${field}.entries`, "send at least one");
  if (limit !== undefined) {
    throw invalidField(`${field}.limit`, "limits are set by the policy's limits, not by the gateway");
  }
  if (isNegativeHits) {
    throw invalidField(
      `${field}.is_negative_hits`,
      "points are not given back; the policy's limits set how many there are",
    );
  }
  return { entries, points: Math.min(Number(hitsAddend ?? requestHits), MOST_POINTS) };
}

const MISTAKES: ReadonlySet<ErrorCode> = new Set([
  "invalid_argument",
  "not_found",
  "permission_denied",
  "failed_precondition",
]);

function isMistake(error: unknown): boolean {
  return error instanceof TollgateError && MISTAKES.has(error.code);
}

function refusesUndecided({ policies }: PolicySet, api: string): boolean {
  const policy = policies.get(api);
  return policy?.onError === "deny" && policy.enforcement === "enforce";
}

function statusOf({ allowed, tightest }: DescriptorDecision): Status {
  const code = allowed ? Code.OK : Code.OVER_LIMIT;
  if (tightest === undefined) return { code };
  const { charge, state } = tightest;
  return {
    code,
    currentLimit: {
      name: charge.limit.name,
      requestsPerUnit: charge.points,
      unit: UNITS.get(charge.limit.windowMs) ?? Unit.UNKNOWN,
    },
    limitRemaining: Math.floor(state.remaining),
    durationUntilReset: durationFromMs(state.blockedMs > 0 ? state.blockedMs : state.resetMs),
  };
}

/** Of windows that are one exactly. A month is 30 days, as Envoy counts it; no window is longer. */
const UNITS: ReadonlyMap<number, Unit> = new Map([
  [1000, Unit.SECOND],
  [60_000, Unit.MINUTE],
  [3_600_000, Unit.HOUR],
  [86_400_000, Unit.DAY],
  [7 * 86_400_000, Unit.WEEK],
  [30 * 86_400_000, Unit.MONTH],
]);

function metadataOf({ degraded, shadowReason }: RateLimitDecision): { dynamicMetadata?: JsonObject } {
  if (degraded.length === 0 && shadowReason === undefined) return {};
  return {
    dynamicMetadata: {
      ...(degraded.length === 0 ? {} : { degraded: [...degraded] }),
      ...(shadowReason === undefined ? {} : { shadow_reason: shadowReason }),
    },
  };
}

/** Envoy gives its own answer these headers and this body. */
function overLimit({ status, headers, body }: Refusal) {
  const hasRetryAfter = headers.some(([name]) => name === "retry-after");
  const lines: HeaderLine[] = [
    ...headers,
    ...(hasRetryAfter ? [] : [retryAfterHeader(0)]),
    ["content-type", PROBLEM_TYPE],
  ];
  return {
    overallCode: Code.OVER_LIMIT,
    responseHeadersToAdd: lines.map(headerMessage),
    rawBody: new TextEncoder().encode(status === 429 ? body : as429(body)),
  };
}

/** Envoy answers 429 for whatever reason, and a problem tells the status that it comes with (RFC 9457 3.1.2). */
function as429(body: string): string {
  return JSON.stringify({ ...(JSON.parse(body) as object), title: "Too Many Requests", status: 429 });
}

function headerMessage([key, value]: HeaderLine): { key: string; value: string } {
  return { key, value };
}
