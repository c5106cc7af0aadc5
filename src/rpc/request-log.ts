import { randomUUID } from "node:crypto";
import { Code, type ConnectError } from "@connectrpc/connect";
import { createRepeats } from "../core/repeats.ts";
import type { Call } from "./call.ts";
import { reasonOf, toConnectError } from "./errors.ts";
import { type CallMethod, isGateway, isHot, isOpen, methodName } from "./method.ts";

type LogLevel = "debug" | "info" | "warn" | "error";

/** The part of pino that is used here. */
export type RequestLogger = Readonly<Record<LogLevel, (fields: object, message: string) => void>> & {
  isLevelEnabled(level: string): boolean;
};

export interface FinishedCall {
  /** Such as "tollgate.v1.AuthorizationService/Check". */
  readonly method: string;
  /** "ok", or Connect's name of the code, such as "invalid_argument". */
  readonly code: string;
  readonly durationMs: number;
}

export interface RequestLogOptions {
  readonly log: RequestLogger;
  /** Told of every unary call, for the metrics. */
  readonly onFinished: (call: FinishedCall) => void;
}

export interface RequestLog {
  /** Milliseconds on `performance.now()`'s clock. */
  start(): number;
  succeeded(call: Call, start: number): void;
  /** Nobody waits for it any more, however it ended. */
  takenBack(call: Call, start: number): void;
  /** Answers what to tell the caller of what was thrown. */
  failed(call: Call, start: number, thrown: unknown): ConnectError;
}

/** Of a hot or open method's warnings and errors of one code, at most one line in this time; the next one has the count. */
const REPEAT_AFTER_MS = 1000;

/** What is the same for all calls of a method. */
interface MethodFacts {
  readonly name: string;
  /** Too many calls for a line of each: those of gateways, and those that anyone may make. */
  readonly isFrequent: boolean;
}

/**
 * Logs and measures unary calls, and gives them request ids: the caller's `x-request-id`, or a new one,
 * which the answer carries back. A line holds ids, codes and times, never a message's fields. Successful
 * Checks and health probes are logged at debug level, and get no id of ours unless a line shows it.
 */
export function createRequestLog(options: RequestLogOptions): RequestLog {
  const { log, onFinished } = options;
  const repeats = createRepeats({ everyMs: REPEAT_AFTER_MS });
  const methods = new Map<CallMethod, MethodFacts>();

  function factsOf(method: CallMethod): MethodFacts {
    let facts = methods.get(method);
    if (facts === undefined) {
      facts = { name: methodName(method), isFrequent: isHot(method) || isOpen(method) };
      methods.set(method, facts);
    }
    return facts;
  }

  function fieldsOf(call: Call, code: string, durationMs: number) {
    return {
      request_id: call.requestId,
      method: factsOf(call.method).name,
      code,
      duration_ms: Math.round(durationMs * 1000) / 1000,
      caller: call.caller?.id,
    };
  }

  return {
    start: () => performance.now(),

    succeeded(call, start) {
      const durationMs = performance.now() - start;
      const { name: method, isFrequent } = factsOf(call.method);
      onFinished({ method, code: "ok", durationMs });
      call.requestId = requestIdOf(call);
      const level = isFrequent ? "debug" : "info";
      if (!log.isLevelEnabled(level)) return;
      if (call.requestId === "") call.requestId = randomUUID();
      log[level](fieldsOf(call, "ok", durationMs), "call");
    },

    takenBack(call, start) {
      const durationMs = performance.now() - start;
      const { name: method, isFrequent } = factsOf(call.method);
      onFinished({ method, code: "canceled", durationMs });
      const level = isFrequent ? "debug" : "info";
      if (!log.isLevelEnabled(level)) return;
      call.requestId = requestIdOf(call) || randomUUID();
      log[level](fieldsOf(call, "canceled", durationMs), "call taken back");
    },

    failed(call, start, thrown) {
      const nowMs = performance.now();
      call.requestId = requestIdOf(call) || randomUUID();
      const error = toConnectError(thrown, call.requestId);
      error.metadata.set("x-request-id", call.requestId);
      const code = codeName(error.code);
      const { name: method, isFrequent } = factsOf(call.method);
      onFinished({ method, code, durationMs: nowMs - start });
      const level = levelOf(error, { method: call.method, otherwise: isFrequent ? "debug" : "info" });
      const suppressed =
        isFrequent && (level === "warn" || level === "error")
          ? repeats.suppressedBefore(`${method} ${code}`, nowMs)
          : 0;
      if (suppressed !== undefined && log.isLevelEnabled(level)) {
        log[level](
          {
            ...fieldsOf(call, code, nowMs - start),
            reason: reasonOf(error),
            ...(suppressed === 0 ? {} : { suppressed }),
            err: error.cause,
          },
          "call failed",
        );
      }
      return error;
    },
  };
}

/** The caller's own, where it is fit for a header and a log; else empty. */
function requestIdOf(call: Call): string {
  const sent = call.header("x-request-id");
  return sent !== null && /^[!-~]{1,128}$/.test(sent) ? sent : "";
}

function levelOf(
  error: ConnectError,
  { method, otherwise }: { method: CallMethod; otherwise: LogLevel },
): LogLevel {
  // Whatever code Connect gives it: the fault is the caller's.
  if (reasonOf(error) === "REQUEST_UNREADABLE") return otherwise;
  switch (error.code) {
    case Code.Internal:
    case Code.Unknown:
    case Code.DataLoss:
      return "error";
    case Code.Unavailable:
    case Code.DeadlineExceeded:
    case Code.ResourceExhausted:
      return "warn";
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      return isGateway(method) ? "warn" : otherwise;
    default:
      return otherwise;
  }
}

/** "invalid_argument" of Code.InvalidArgument. */
export function codeName(code: Code): string {
  return (Code[code] ?? "unknown").replace(/(?!^)([A-Z])/g, "_$1").toLowerCase();
}
