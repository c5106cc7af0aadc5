import type { Interceptor } from "@connectrpc/connect";
import type { CallerTokens } from "../core/caller-tokens.ts";
import { createAuthentication } from "./authentication.ts";
import { type Call, createCall, setCall } from "./call.ts";
import { deadlineFor } from "./deadline.ts";
import { isOpen } from "./method.ts";
import { createOverloadBound } from "./overload.ts";
import { createRequestLog, type RequestLogOptions } from "./request-log.ts";
import { createValidation } from "./validation.ts";

export interface CallRunnerDependencies extends RequestLogOptions {
  readonly callerTokens: Pick<CallerTokens, "authenticate">;
  /** Calls at a time; further ones are refused. */
  readonly maxInFlight: number;
}

/** What every unary call goes through, on each way in. */
export interface CallRunner {
  /** Does the work if the call may be made. Throws ConnectErrors only, ready for the caller. */
  run<Answer>(call: Call, work: () => Promise<Answer>): Promise<Answer>;
  /** Calls in flight now; a BatchCheck counts as its checks. */
  inFlight(): number;
  /** The way in through Connect. */
  readonly interceptor: Interceptor;
}

export function createCallRunner(dependencies: CallRunnerDependencies): CallRunner {
  const log = createRequestLog(dependencies);
  const overload = createOverloadBound(dependencies.maxInFlight);
  const authenticate = createAuthentication(dependencies.callerTokens);
  const validate = createValidation();

  async function admit(call: Call): Promise<void> {
    if (isOpen(call.method)) return;
    await authenticate(call);
    validate(call);
  }

  async function run<Answer>(call: Call, work: () => Promise<Answer>): Promise<Answer> {
    const start = log.start();
    let leave: (() => void) | undefined;
    try {
      leave = overload.enter(call);
      call.deadline = deadlineFor(call, start);
      await admit(call);
      const answer = await work();
      log.succeeded(call, start);
      return answer;
    } catch (thrown) {
      throw log.failed(call, start, thrown);
    } finally {
      leave?.();
    }
  }

  return {
    run,
    inFlight: overload.inFlight,
    interceptor: (next) => async (request) => {
      const call = createCall({
        method: request.method,
        header: (name) => request.header.get(name),
        message: request.stream ? undefined : request.message,
      });
      setCall(request.contextValues, call);
      if (request.stream) return overload.boundStream(() => next(request));
      const response = await run(call, () => next(request));
      if (call.requestId !== "") response.header.set("x-request-id", call.requestId);
      return response;
    },
  };
}
