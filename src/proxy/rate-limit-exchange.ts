import type { DegradedCause } from "../core/decision.ts";
import type { DenyReason } from "../core/deny-reason.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";

/** What Envoy's rate limit filter is told. */
export interface RateLimitAnswer {
  readonly allowed: boolean;
  /** One a descriptor, in their order. */
  readonly statuses: readonly DescriptorStatus[];
  /** For the client. */
  readonly headers: readonly HeaderLine[];
  /** Of a refusal; empty: there is none. */
  readonly body: string;
  /** These two are told as metadata, where there are any. */
  readonly degraded: readonly DegradedCause[];
  readonly shadowReason: DenyReason | undefined;
}

export interface DescriptorStatus {
  readonly allowed: boolean;
  /** The tightest of its limits; undefined: none was looked at. */
  readonly limit: LimitStatus | undefined;
}

export interface LimitStatus {
  readonly name: string;
  readonly points: number;
  readonly windowMs: number;
  /** Points left, in whole ones. */
  readonly remaining: number;
  /** Whole. */
  readonly untilResetMs: number;
}
