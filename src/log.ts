import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";

export type Log = Logger;

const SECRET_FIELDS = [
  "authorization",
  "cookie",
  "secret",
  "key",
  "token",
  "password",
  "adminToken",
  "leakReportSecret",
  "databaseUrl",
  "redisUrl",
  "redisTlsKey",
  "redisSentinelPassword",
];

/**
 * Writes one JSON object a line, to standard error where no destination is given: standard output is for
 * what the commands print.
 *
 * Secrets are kept out three times over: nothing logs them, fields that could hold one are replaced by
 * name, and what still looks like a key, a caller token or a URL's password is cut from the line.
 */
export function createLog(options: { level: string; destination?: DestinationStream }): Log {
  return pino(
    {
      level: options.level,
      base: { name: "tollgate" },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: errorFields, error: errorFields },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`, `*.*.${field}`]),
        censor: "[redacted]",
      },
      hooks: { streamWrite: withoutSecrets },
    },
    options.destination ?? pino.destination({ fd: 2, sync: true }),
  );
}

/** A secret's 49 base62 characters after any prefix, and the password of a URL. */
function withoutSecrets(line: string): string {
  return line
    .replace(/(?<![0-9A-Za-z])[0-9A-Za-z]{49}(?![0-9A-Za-z])/g, "[redacted]")
    .replace(/(:\/\/[^\s/:@"]*:)[^\s/@"]+@/g, "$1[redacted]@");
}

interface ErrorFields {
  readonly type: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly code?: unknown;
  readonly cause?: ErrorFields;
}

/** Causes deeper than this are left out: a chain may be a circle. */
const MAX_CAUSES = 5;

/** Of an error only what every error has: drivers hang queries and their parameters onto theirs. */
function errorFields(error: unknown, depth = 0): ErrorFields | undefined {
  if (error === undefined) return undefined;
  if (!(error instanceof Error)) {
    return { type: typeof error, message: typeof error === "string" ? error : "no Error", stack: undefined };
  }
  const cause = depth < MAX_CAUSES ? errorFields(error.cause, depth + 1) : undefined;
  return {
    type: error.name,
    message: error.message,
    stack: error.stack,
    ...("code" in error ? { code: error.code } : {}),
    ...(cause === undefined ? {} : { cause }),
  };
}
