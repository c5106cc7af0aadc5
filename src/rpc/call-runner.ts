import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { CallerTokens } from "../core/caller-tokens.ts";
import type { TollgateError } from "../core/errors.ts";
import { createAuthentication, createAuthorizationCheck } from "./authentication.ts";
import { arrivalKey, type Call, createCall, setCall } from "./call.ts";
import { deadlineFor } from "./deadline.ts";
import { type CallMethod, isOpen } from "./method.ts";
import { createOverloadBound, type Place } from "./overload.ts";
import { createRequestLog, type RequestLogOptions } from "./request-log.ts";
import { createValidation } from "./validation.ts";

export interface CallRunnerDependencies extends RequestLogOptions {
  readonly callerTokens: Pick<CallerTokens, "authenticate" | "isPlausible">;
  /** A message to answer instead of an error; undefined: the error. */
  readonly answerInstead?: (call: Call, error: ConnectError) => Message | undefined;
  /** Calls at a time; further ones are refused. */
  readonly maxInFlight: number;
}

/** What every unary call goes through, on each way in. */
export interface CallRunner {
  /** Does the work if the call may be made. Throws ConnectErrors only, ready for the caller. */
  run<Answer>(call: Call, work: () => Promise<Answer>): Promise<Answer>;
  /** Whether the call may be read at all; undefined: it may. */
  refusal(method: CallMethod, authorization: string | null): TollgateError | undefined;
  /** Logs and measures a call that ended before it could be run, and answers what to tell its caller. */
  failed(call: Call, thrown: unknown): ConnectError;
  /** A message to answer instead of an error that `run` or `failed` gave; undefined: the error. */
  answerInstead(call: Call, error: ConnectError): Message | undefined;
  /** Calls in flight now; a BatchCheck counts as its checks. */
  inFlight(): number;
  /** The way in through Connect. */
  readonly interceptor: Interceptor;
}

export function createCallRunner(dependencies: CallRunnerDependencies): CallRunner {
  const log = createRequestLog(dependencies);
  const overload = createOverloadBound(dependencies.maxInFlight);
  const authenticate = createAuthentication(dependencies.callerTokens);
  const checkAuthorization = createAuthorizationCheck(dependencies.callerTokens);
  const validate = createValidation();
  const answerInstead = dependencies.answerInstead ?? (() => undefined);

  async function run<Answer>(call: Call, work: () => Promise<Answer>): Promise<Answer> {
    const start = log.start();
    let place: Place | undefined;
    try {
      place = overload.enter(call);
      call.deadline = deadlineFor(call, start);
      if (!isOpen(call.method)) {
        const admitted = authenticate(call);
        if (admitted instanceof Promise) await admitted;
        validate(call);
      }
      place.grow();
      const answer = await work();
      log.succeeded(call, start);
      return answer;
    } catch (thrown) {
      // Whatever it failed by: nobody waited for it.
      throw log.failed(call, start, call.isAborted ? takenBack() : thrown);
    } finally {
      place?.leave();
    }
  }

  return {
    run,
    refusal: (method, authorization) => (isOpen(method) ? undefined : checkAuthorization(authorization)),
    failed: (call, thrown) => log.failed(call, log.start(), thrown),
    answerInstead,
    inFlight: overload.inFlight,
    interceptor: (next) => async (request) => {
      const call = createCall({
        method: request.method,
        header: (name) => request.header.get(name),
        message: request.stream ? undefined : request.message,
      });
      setCall(request.contextValues, call);
      const arrival = request.contextValues.get(arrivalKey);
      if (arrival !== undefined) arrival.isSeen = true;
      if (request.stream) {
        const start = log.start();
        try {
          return await overload.boundStream(arrival?.connection ?? call, () => next(request));
        } catch (thrown) {
          throw log.failed(call, start, thrown);
        }
      }
      const response = await run(call, () => next(request)).catch((error: ConnectError) => {
        const message = answerInstead(call, error);
        if (message === undefined) throw error;
        const { service, method } = request;
        return {
          stream: false as const,
          service,
          method,
          header: new Headers(),
          trailer: new Headers(),
          message,
        };
      });
      if (call.requestId !== "") response.header.set("x-request-id", call.requestId);
      return response;
    },
  };
}

function takenBack(): ConnectError {
  return new ConnectError("The client took the request back.", Code.Canceled);
}
