/** gRPC's canonical codes, as far as Tollgate uses them. */
export type ErrorCode =
  | "invalid_argument"
  | "unauthenticated"
  | "permission_denied"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "aborted"
  | "resource_exhausted"
  | "deadline_exceeded"
  | "unavailable"
  | "internal";

/** A bad field: `field` is the proto's path, such as `scopes[2]`. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface TollgateErrorDetails {
  /** Stable and machine-readable: UPPER_SNAKE_CASE, the ErrorInfo's reason. */
  readonly reason: string;
  /** Plain facts for a program, such as `key_id`; never a secret. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly violations?: readonly FieldViolation[];
  /** For the log only; never sent to the caller. */
  readonly cause?: unknown;
}

/**
 * Nothing could be decided or done as asked. `message` is for the caller; what must stay inside goes
 * into `cause`.
 */
export class TollgateError extends Error {
  override readonly name = "TollgateError";
  readonly code: ErrorCode;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];

  constructor(code: ErrorCode, message: string, details: TollgateErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.reason = details.reason;
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
  }
}

/** INVALID_ARGUMENT for one field. */
export function invalidField(field: string, description: string): TollgateError {
  return new TollgateError("invalid_argument", `${field}: ${description}`, {
    reason: "FIELD_INVALID",
    violations: [{ field, description }],
  });
}

/**
 * A store could not be reached, or did not answer before the deadline. What a write was to do may have
 * happened. `store` is "postgres" or "redis".
 */
export function storeUnavailable(store: string, cause: unknown): TollgateError {
  return new TollgateError("unavailable", `The ${store} store did not answer in time; try again.`, {
    reason: "STORE_UNAVAILABLE",
    metadata: { store },
    cause,
  });
}

/** The caller's deadline passed before a decision; points may have been charged, at most once. */
export function deadlineExceeded(): TollgateError {
  return new TollgateError("deadline_exceeded", "The deadline passed before a decision.", {
    reason: "DEADLINE_EXCEEDED",
  });
}
