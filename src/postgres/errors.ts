import { DrizzleQueryError } from "drizzle-orm/errors";
import { storeUnavailable, TollgateError } from "../core/errors.ts";
import type { Database } from "./database.ts";

/**
 * The one place where errors of drizzle, postgres.js and PGlite become neutral ones. A TollgateError,
 * and an error that is no driver's, is returned as it is.
 */
function neutralError(error: unknown): unknown {
  const driverError = driverErrorOf(error);
  if (driverError === undefined) return error;
  const cause = describe(driverError);
  const { code } = driverError;
  if (code === "23505") {
    return new TollgateError("already_exists", "A record with this id or secret exists already.", {
      reason: "ALREADY_EXISTS",
      cause,
    });
  }
  if (retryable.has(code)) {
    return new TollgateError("aborted", "Changed at the same time by another call; try again.", {
      reason: "CONFLICT",
      cause,
    });
  }
  if (untranslatable.has(code)) {
    return new TollgateError(
      "invalid_argument",
      "A text holds a character that cannot be stored, such as NUL.",
      {
        reason: "TEXT_INVALID",
        cause,
      },
    );
  }
  if (isUnavailable(code)) return storeUnavailable("postgres", cause);
  return new TollgateError("internal", "The postgres store failed.", {
    reason: "STORE_FAILED",
    metadata: { store: "postgres" },
    cause,
  });
}

/**
 * The same database, throwing neutral errors, and repeating a transaction that Postgres rolled back for
 * another one's sake.
 */
export function withNeutralErrors(database: Database): Database {
  return {
    async run(deadline, work) {
      try {
        return await database.run(deadline, work);
      } catch (error) {
        throw neutralError(error);
      }
    },
    async transaction(deadline, work) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await database.transaction(deadline, work);
        } catch (error) {
          if (attempt === maxAttempts || !retryable.has(driverErrorOf(error)?.code ?? "")) {
            throw neutralError(error);
          }
        }
      }
    },
  };
}

const maxAttempts = 5;

/** Serialization failure, deadlock: rolled back for certain. */
const retryable = new Set(["40001", "40P01"]);

/** A character not in the encoding; \u0000 in JSON. */
const untranslatable = new Set(["22021", "22P05"]);

/** Connection, resources, operator's intervention, system error, and refused log-ins. */
const unavailableClasses = new Set(["08", "53", "57", "58", "28"]);

/** Lock not available, read-only transaction (a standby), no such database, too many of its connections. */
const unavailable = new Set(["55P03", "25006", "3D000", "25P03"]);

/** Mistakes in how a driver is used, told by codes of its own. */
const misuse = new Set(["UNDEFINED_VALUE", "MAX_PARAMETERS_EXCEEDED", "NOT_TAGGED_CALL"]);

interface DriverError {
  /** SQLSTATE, or the socket's or the driver's own, such as ECONNREFUSED or CONNECTION_CLOSED. */
  readonly code: string;
  readonly error: Error & { readonly constraint_name?: string; readonly constraint?: string };
}

/** The driver's error without drizzle's wrapper, whose message holds the query's parameters. */
function driverErrorOf(thrown: unknown): DriverError | undefined {
  if (thrown instanceof TollgateError) return undefined;
  const wrapped = thrown instanceof DrizzleQueryError;
  const error = wrapped ? thrown.cause : thrown;
  if (!(error instanceof Error)) return undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  // Node's own, such as ERR_INVALID_ARG_TYPE, is a mistake in code that merely ran within a transaction.
  const isDrivers = wrapped || (code !== "" && !/^ERR_(?!TLS|SSL|SOCKET)/.test(code));
  return isDrivers ? { code, error } : undefined;
}

/** What is safe to log: a driver's own error also carries the row and the parameters. */
function describe({ code, error }: DriverError): Error {
  const constraint = error.constraint_name ?? error.constraint;
  return new Error(`${code}: ${error.message}${constraint === undefined ? "" : ` (${constraint})`}`);
}

/** The network, the server or the log-in failed: another attempt may succeed. */
function isUnavailable(code: string): boolean {
  const isSqlState = /^[0-9A-Z]{5}$/.test(code) && !code.startsWith("E");
  if (!isSqlState) return code !== "" && !misuse.has(code);
  return unavailable.has(code) || unavailableClasses.has(code.slice(0, 2));
}
