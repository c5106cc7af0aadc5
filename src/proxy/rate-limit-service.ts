import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { invalidField } from "../core/errors.ts";
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
import { failureMode } from "./failure-mode.ts";
import type { GatewayCall } from "./gateway-request.ts";
import { PROBLEM_TYPE, type Refusal, refusalOf, undecided } from "./problem.ts";
import { type HeaderLine, type RateLimitFields, rateLimitHeaders } from "./rate-limit-headers.ts";
import type { UndecidedLog } from "./undecided-log.ts";

type Response = MessageInitShape<typeof RateLimitResponseSchema>;
type Status = MessageInitShape<typeof RateLimitResponse_DescriptorStatusSchema>;

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
  /**
   * What to answer where the call failed before it got here, such as for overload; undefined: the error.
   * `request` is undefined where it could not be read.
   */
  failed(error: unknown, request: RateLimitRequest | undefined): Response | undefined;
}

export function createRateLimitService(dependencies: RateLimitServiceDependencies): RateLimitService {
  const { rateLimits, policies, rateLimitFields, onDecision, onUndecided } = dependencies;

  function failed(error: unknown, request: RateLimitRequest | undefined): Response | undefined {
    const mode = failureMode(error, policies().policies.get(request?.domain ?? ""));
    if (mode === "gateway") return undefined;
    onUndecided(error);
    const code = mode === "pass" ? Code.OK : Code.OVER_LIMIT;
    const statuses = (request?.descriptors ?? []).map(() => ({ code }));
    return mode === "pass" ? { overallCode: code, statuses } : { ...overLimit(undecided()), statuses };
  }

  function answerOf(decision: RateLimitDecision): Response {
    const statuses = decision.descriptors.map(statusOf);
    const dynamicMetadata = metadataOf(decision);
    if (!decision.allowed) {
      const refusal = refusalOf(
        { ...decision, principal: undefined, cost: undefined, requiredScopes: [], steps: [] },
        rateLimitFields,
      );
      return { ...overLimit(refusal), statuses, ...dynamicMetadata };
    }
    const { limits, points: tightest } = decision;
    const headers = rateLimitHeaders({ limits, tightest }, rateLimitFields);
    return {
      overallCode: Code.OK,
      statuses,
      responseHeadersToAdd: headers.map(headerMessage),
      ...dynamicMetadata,
    };
  }

  return {
    async shouldRateLimit(request, { caller, deadline }) {
      try {
        const decision = await rateLimits.limit(inputOf(request), caller, deadline);
        onDecision(decision);
        return answerOf(decision);
      } catch (error) {
        const answer = failed(error, request);
        if (answer === undefined) throw error;
        return answer;
      }
    },

    failed,
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
  // A challenge belongs to a 401, which Envoy does not answer here.
  const lines: HeaderLine[] = [
    ...headers.filter(([name]) => name !== "www-authenticate"),
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
