import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { invalidField } from "../core/errors.ts";
import type { RateLimitDescriptor, RateLimitInput } from "../core/rate-limits.ts";
import type { RateLimitDescriptor as DescriptorMessage } from "../gen/envoy/extensions/common/ratelimit/v3/ratelimit_pb.ts";
import {
  RateLimitResponse_Code as Code,
  type RateLimitRequest,
  type RateLimitResponse_DescriptorStatusSchema,
  type RateLimitResponseSchema,
  RateLimitResponse_RateLimit_Unit as Unit,
} from "../gen/envoy/service/ratelimit/v3/rls_pb.ts";
import type { DescriptorStatus, RateLimitAnswer } from "./rate-limit-exchange.ts";

/** A request costs no more, whatever it says. */
export const MOST_POINTS = 1_000_000_000;

/** Throws INVALID_ARGUMENT for what Envoy may be configured to send, and Tollgate does not do. */
export function rateLimitInput({ domain, descriptors, hitsAddend }: RateLimitRequest): RateLimitInput {
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

export function rateLimitResponse(answer: RateLimitAnswer): MessageInitShape<typeof RateLimitResponseSchema> {
  const metadata = metadataOf(answer);
  return {
    overallCode: codeOf(answer),
    statuses: answer.statuses.map(statusMessage),
    responseHeadersToAdd: answer.headers.map(([key, value]) => ({ key, value })),
    rawBody: new TextEncoder().encode(answer.body),
    ...(metadata === undefined ? {} : { dynamicMetadata: metadata }),
  };
}

export function codeOf({ allowed }: { readonly allowed: boolean }): Code {
  return allowed ? Code.OK : Code.OVER_LIMIT;
}

function statusMessage(
  status: DescriptorStatus,
): MessageInitShape<typeof RateLimitResponse_DescriptorStatusSchema> {
  const { limit } = status;
  const code = codeOf(status);
  if (limit === undefined) return { code };
  return {
    code,
    currentLimit: {
      name: limit.name,
      requestsPerUnit: limit.points,
      unit: unitOf(limit.windowMs),
    },
    limitRemaining: limit.remaining,
    durationUntilReset: durationFromMs(limit.untilResetMs),
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

export function unitOf(windowMs: number): Unit {
  return UNITS.get(windowMs) ?? Unit.UNKNOWN;
}

/** Undefined: there is nothing to tell. */
export function metadataOf({ degraded, shadowReason }: RateLimitAnswer): JsonObject | undefined {
  if (degraded.length === 0 && shadowReason === undefined) return undefined;
  return {
    ...(degraded.length === 0 ? {} : { degraded: [...degraded] }),
    ...(shadowReason === undefined ? {} : { shadow_reason: shadowReason }),
  };
}
