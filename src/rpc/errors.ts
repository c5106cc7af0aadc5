import { Code, ConnectError } from "@connectrpc/connect";
import {
  type ErrorCode,
  type FieldViolation,
  TollgateError,
  type TollgateErrorDetails,
} from "../core/errors.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";

/** The ErrorInfo's domain: whose reasons they are. */
const ERROR_DOMAIN = "tollgate.v1";

const CODES: Readonly<Record<ErrorCode, Code>> = {
  invalid_argument: Code.InvalidArgument,
  unauthenticated: Code.Unauthenticated,
  permission_denied: Code.PermissionDenied,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  resource_exhausted: Code.ResourceExhausted,
  deadline_exceeded: Code.DeadlineExceeded,
  unavailable: Code.Unavailable,
  internal: Code.Internal,
};

// Errors travel in HTTP headers and trailers, of which clients and proxies take a few KiB. In characters.
const MAX_MESSAGE_LENGTH = 1000;
const MAX_DESCRIPTION_LENGTH = 200;
const MAX_VIOLATIONS = 20;

/**
 * What the caller is told: the code, an ErrorInfo and, for bad fields, a BadRequest. What is not a
 * TollgateError is internal, and of it nothing is told but the request id; it becomes the `cause`.
 */
export function toConnectError(error: unknown, requestId: string): ConnectError {
  if (error instanceof ConnectError) return error;
  if (!(error instanceof TollgateError)) {
    return connectError(
      new TollgateError("internal", "An internal error; the log has it by the request id.", {
        reason: "INTERNAL",
        metadata: { request_id: requestId },
        cause: error,
      }),
    );
  }
  return connectError(error);
}

function connectError(error: TollgateError): ConnectError {
  const headers =
    error.code === "unauthenticated" ? { "www-authenticate": 'Bearer realm="tollgate"' } : undefined;
  const info = errorInfo(error);
  const badRequest = {
    desc: BadRequestSchema,
    value: {
      fieldViolations: error.violations.slice(0, MAX_VIOLATIONS).map(({ field, description }) => ({
        field: cut(field, MAX_DESCRIPTION_LENGTH),
        description: cut(description, MAX_DESCRIPTION_LENGTH),
      })),
    },
  };
  return new ConnectError(
    cut(error.message, MAX_MESSAGE_LENGTH),
    CODES[error.code],
    headers,
    error.violations.length === 0 ? [info] : [info, badRequest],
    error.cause,
  );
}

export function errorInfo({ reason, metadata = {} }: Pick<TollgateErrorDetails, "reason" | "metadata">) {
  return { desc: ErrorInfoSchema, value: { reason, domain: ERROR_DOMAIN, metadata } };
}

/** INVALID_ARGUMENT for several fields. */
export function invalidFields(violations: readonly FieldViolation[]): TollgateError {
  const [first] = violations;
  const more = violations.length > 1 ? ` (and ${violations.length - 1} more)` : "";
  return new TollgateError("invalid_argument", `${first?.field}: ${first?.description}${more}`, {
    reason: "FIELD_INVALID",
    violations,
  });
}

/** The same error about a part of a larger message: `checks[3]` before each field. */
export function withinField(error: unknown, field: string): unknown {
  if (!(error instanceof TollgateError)) return error;
  return new TollgateError(error.code, `${field}: ${error.message}`, {
    reason: error.reason,
    metadata: error.metadata,
    violations: error.violations.map((violation) => ({
      field: `${field}.${violation.field}`,
      description: violation.description,
    })),
    cause: error.cause,
  });
}

/** What a ConnectError of ours was made of; whatever has no code of Tollgate's is internal. */
export function toTollgateError(error: ConnectError): TollgateError {
  const [code] = Object.entries(CODES).find(([, each]) => each === error.code) ?? ["internal"];
  return new TollgateError(code as ErrorCode, error.rawMessage, {
    reason: reasonOf(error) || "INTERNAL",
    cause: error.cause,
  });
}

/** The reason in an error's ErrorInfo; empty: it has none. */
export function reasonOf(error: ConnectError): string {
  return error.findDetails(ErrorInfoSchema)[0]?.reason ?? "";
}

/** Never between the halves of a character, of which a half could not be written to a header. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text;
  return `${text.slice(0, length - 1).replace(/[\ud800-\udbff]$/, "")}…`;
}
