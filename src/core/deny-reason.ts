/**
 * Why a request is refused: the one table that the docs, the proto's comments and the code share.
 * `number` is the proto's enum value, `httpStatus` what a gateway answers, `message` one sentence that
 * is safe to show to the API's client: it never says whether a key, a workspace or a user exists beyond
 * what the holder of the key already knows.
 */
export const denyReasons = {
  KEY_MISSING: { number: 1, httpStatus: 401, message: "An API key is required." },
  KEY_MALFORMED: { number: 2, httpStatus: 401, message: "The API key is malformed." },
  KEY_UNKNOWN: { number: 3, httpStatus: 401, message: "The API key is not valid here." },
  KEY_REVOKED: { number: 4, httpStatus: 401, message: "The API key has been revoked." },
  KEY_EXPIRED: { number: 5, httpStatus: 401, message: "The API key has expired." },
  KEY_DISABLED: { number: 6, httpStatus: 401, message: "The API key is disabled." },
  INSECURE_TRANSPORT: { number: 7, httpStatus: 403, message: "This API requires HTTPS." },
  ROUTE_UNKNOWN: { number: 8, httpStatus: 404, message: "No such method and path in this API." },
  WORKSPACE_REQUIRED: { number: 9, httpStatus: 400, message: "Name exactly one workspace in the request." },
  WORKSPACE_NOT_ALLOWED: {
    number: 10,
    httpStatus: 400,
    message: "The API key is bound to a workspace; do not name one in the request.",
  },
  NOT_A_MEMBER: { number: 11, httpStatus: 403, message: "The API key has no access to this workspace." },
  WORKSPACE_SUSPENDED: { number: 12, httpStatus: 403, message: "The workspace is suspended." },
  PLAN_REQUIRED: {
    number: 13,
    httpStatus: 403,
    message: "The workspace's plan does not include API access.",
  },
  FEATURE_REQUIRED: {
    number: 14,
    httpStatus: 403,
    message: "The workspace has not been given access to this API.",
  },
  SCOPE_UNAVAILABLE: {
    number: 15,
    httpStatus: 403,
    message: "The scope that this needs is not available to the workspace.",
  },
  ROLE_INSUFFICIENT: {
    number: 16,
    httpStatus: 403,
    message: "The role behind the API key does not allow this.",
  },
  SCOPE_INSUFFICIENT: { number: 17, httpStatus: 403, message: "The API key's scopes do not allow this." },
  LOCATION_DENIED: { number: 18, httpStatus: 403, message: "The API key has no access to this location." },
  POINTS_EXCEEDED: { number: 19, httpStatus: 429, message: "The rate limit is exceeded; try again later." },
  BLOCKED: {
    number: 20,
    httpStatus: 429,
    message: "Requests are blocked because the rate limit was exceeded; try again later.",
  },
  COST_ABOVE_LIMIT: {
    number: 21,
    httpStatus: 400,
    message: "The request costs more points than the rate limit allows at all.",
  },
  STORE_UNAVAILABLE: {
    number: 22,
    httpStatus: 503,
    message: "The rate limit cannot be checked; try again later.",
  },
  ADDRESS_DENIED: {
    number: 23,
    httpStatus: 403,
    message: "The API key may not be used from this address.",
  },
} as const satisfies Record<string, { number: number; httpStatus: number; message: string }>;

/** The name of a reason, without the proto's `DENY_REASON_` prefix. */
export type DenyReason = keyof typeof denyReasons;
