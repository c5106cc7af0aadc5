import type { Decision } from "../core/decision.ts";
import { type DenyReason, denyReasons } from "../core/deny-reason.ts";
import {
  type HeaderLine,
  type RateLimitFields,
  rateLimitHeaders,
  retryAfterHeader,
} from "./rate-limit-headers.ts";

/** A refusal as HTTP tells it: RFC 9457 in the body, RFC 6750 and the RateLimit fields in the headers. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 404 | 429 | 503;
  /** All but the body's type and length. */
  readonly headers: readonly HeaderLine[];
  /** One sentence, safe to show to the API's client. */
  readonly detail: string;
  /** JSON in ASCII, so that it can stand in a header too. */
  readonly body: string;
}

export const PROBLEM_TYPE = "application/problem+json";

/** Registered by draft-ietf-httpapi-ratelimit-headers for refusals by a quota. */
const QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/** Of RFC 9110 15, as RFC 9457 4.2.1 asks for problems without a type of their own. */
const TITLES: Readonly<Record<Refusal["status"], string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  429: "Too Many Requests",
  503: "Service Unavailable",
};

/** What a client is told of a decision that refuses its request. */
export function refusalOf(decision: Decision, fields: RateLimitFields): Refusal {
  const reason = decision.reason as DenyReason;
  const { httpStatus, message } = denyReasons[reason];
  const isQuota = httpStatus === 429;
  const headers: HeaderLine[] = [
    ...challenge(decision.api, { reason, scopes: decision.requiredScopes }),
    ...rateLimitHeaders({ limits: decision.limits, tightest: decision.points }, fields),
  ];
  if (isQuota) headers.push(retryAfterHeader(decision.retryAfterMs));
  if (httpStatus === 503) headers.push(retryAfterHeader(RETRY_MS));
  return refusal({
    status: httpStatus,
    headers,
    detail: message,
    members: {
      reason,
      ...(decision.requiredScopes.length === 0 ? {} : { required_scopes: decision.requiredScopes }),
      ...(isQuota
        ? {
            "violated-policies": decision.limits
              .filter((limit) => limit.shadow === undefined)
              .filter((limit) => limit.blockedMs > 0 || limit.remaining < limit.cost)
              .map((limit) => limit.limitName),
          }
        : {}),
    },
    ...(isQuota ? { type: QUOTA_EXCEEDED } : {}),
  });
}

/** What is told where nothing names an api that the gateway may ask about. */
export function noSuchApi(): Refusal {
  const { httpStatus, message } = denyReasons.ROUTE_UNKNOWN;
  return refusal({ status: httpStatus, headers: [], detail: message, members: { reason: "ROUTE_UNKNOWN" } });
}

/** What is told where no decision could be made: nothing of why, which is for the log. */
export function undecided(): Refusal {
  return refusal({
    status: 503,
    headers: [retryAfterHeader(RETRY_MS)],
    detail: "The request cannot be authorized now; try again later.",
    members: { reason: "UNDECIDED" },
  });
}

/** After a fault, which has no time of its own. */
const RETRY_MS = 1000;

function refusal(options: {
  status: Refusal["status"];
  headers: readonly HeaderLine[];
  detail: string;
  members: Readonly<Record<string, unknown>>;
  type?: string;
}): Refusal {
  const { status, headers, detail, members, type = "about:blank" } = options;
  const title = type === QUOTA_EXCEEDED ? "Quota exceeded" : TITLES[status];
  return {
    status,
    // A 404 could be kept by a cache, for another client with another key.
    headers: [...headers, ["cache-control", "no-store"]],
    detail,
    body: JSON.stringify({ type, title, status, detail, ...members }),
  };
}

/**
 * RFC 6750 3: no error code where no credential was sent, and none where another would not help either.
 * `realm` is the api's name.
 */
function challenge(
  realm: string,
  { reason, scopes }: { reason: DenyReason; scopes: readonly string[] },
): HeaderLine[] {
  const { httpStatus, message } = denyReasons[reason];
  const parameters = [`realm="${realm}"`];
  if (reason !== "KEY_MISSING") {
    const error = errorCode(reason, httpStatus);
    if (error === undefined) return [];
    parameters.push(`error="${error}"`, `error_description="${message}"`);
    if (scopes.length > 0) parameters.push(`scope="${scopes.join(" ")}"`);
  }
  return [["www-authenticate", `Bearer ${parameters.join(", ")}`]];
}

function errorCode(reason: DenyReason, httpStatus: number): string | undefined {
  if (httpStatus === 401) return "invalid_token";
  switch (reason) {
    case "SCOPE_INSUFFICIENT":
    case "SCOPE_UNAVAILABLE":
      return "insufficient_scope";
    case "WORKSPACE_REQUIRED":
    case "WORKSPACE_NOT_ALLOWED":
      return "invalid_request";
    default:
      return undefined;
  }
}
