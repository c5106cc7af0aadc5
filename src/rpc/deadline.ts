import { parseTimeout as parseConnectTimeout } from "@connectrpc/connect/protocol-connect";
import { parseTimeout as parseGrpcTimeout } from "@connectrpc/connect/protocol-grpc";
import type { Deadline } from "../core/ports.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import type { Call } from "./call.ts";
import { isGateway, isHot } from "./method.ts";

/** How long a call may take where its caller sets no timeout, in milliseconds. A BatchCheck may be 100 Checks. */
const DEFAULT_TIMEOUT_MS = { hot: 2000, other: 5000 };

/** A caller's own timeout counts up to this. */
const MAX_TIMEOUT_MS = { hot: 10_000, other: 60_000 };

/** A gateway that has given up does what it does on errors: a refusal must reach it before. In milliseconds. */
const ANSWER_MS = 5;

/**
 * When the call must be done: `start` and the caller's timeout (`grpc-timeout`, `connect-timeout-ms`).
 * Authentication and the work share it.
 */
export function deadlineFor(call: Call, start: Deadline): Deadline {
  const kind = isHot(call.method) && call.method !== AuthorizationService.method.batchCheck ? "hot" : "other";
  const timeoutMs = Math.min(timeoutOf(call) ?? DEFAULT_TIMEOUT_MS[kind], MAX_TIMEOUT_MS[kind]);
  if (!isGateway(call.method)) return start + timeoutMs;
  return start + timeoutMs - Math.max(ANSWER_MS, timeoutMs / 10);
}

/** Milliseconds; undefined: none was sent. Connect has refused unreadable ones already. */
function timeoutOf(call: Call): number | undefined {
  const grpc = call.header("grpc-timeout");
  if (grpc !== null) return parseGrpcTimeout(grpc, Number.MAX_SAFE_INTEGER).timeoutMs;
  const connect = call.header("connect-timeout-ms");
  if (connect !== null) return parseConnectTimeout(connect, Number.MAX_SAFE_INTEGER).timeoutMs;
  return undefined;
}
