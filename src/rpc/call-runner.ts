import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import type { CallerTokens } from "../core/caller-tokens.ts";
import type { TollgateError } from "../core/errors.ts";
import type { MaybePromise } from "../core/ports.ts";
import { createAuthentication } from "./authentication.ts";
import { arrivalKey, type Call, type Credential, createCall, setCall } from "./call.ts";
import { deadlineFor } from "./deadline.ts";
import { toConnectError } from "./errors.ts";
import { isOpen } from "./method.ts";
import { createOverloadBound, type Place } from "./overload.ts";
import { createRequestLog, type RequestLogOptions } from "./request-log.ts";
import { createValidation } from "./validation.ts";

export interface CallRunnerDependencies extends RequestLogOptions {
  readonly callerTokens: Pick<CallerTokens, "authenticate" | "present">;
  /** A message to answer instead of an error; undefined: the error. */
  readonly answerInstead?: (call: Call, error: ConnectError) => Message | undefined;
  /** Calls at a time; further ones are refused. */
  readonly maxInFlight: number;
}

/** Told one of these, once. */
export interface CallEnd<Answer> {
  onAnswer(answer: Answer): void;
  /** Ready for the caller. */
  onError(error: ConnectError): void;
  /** It failed, and nobody waits for it any more. */
  onTakenBack(): void;
}

/** What every unary call goes through, on each way in. */
export interface CallRunner {
  /** Does the work if the call may be made, and tells how it ended; maybe at once. */
  begin<Answer>(call: Call, work: () => MaybePromise<Answer>, end: CallEnd<Answer>): void;
  /** The same as a promise, which rejects with ConnectErrors only. */
  run<Answer>(call: Call, work: () => MaybePromise<Answer>): Promise<Answer>;
  /** Why the call may not be read at all; undefined: it may. */
  refusal(call: Call): TollgateError | undefined;
  /** For the calls of a connection: reads each value of its authorization once. */
  readonly credentialOf: (connection: object, authorization: string | null) => Credential;
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
  const authentication = createAuthentication(dependencies.callerTokens);
  const validate = createValidation();
  const answerInstead = dependencies.answerInstead ?? (() => undefined);

  /** Also where it cannot be logged: whoever waits is told in any case. */
  function failed(call: Call, start: number, thrown: unknown): ConnectError {
    try {
      return log.failed(call, start, thrown);
    } catch (unlogged) {
      return toConnectError(unlogged, call.requestId);
    }
  }

  /** Not worth an error where it cannot be logged. */
  function takeBack(call: Call, start: number): void {
    try {
      log.takenBack(call, start);
    } catch (unlogged) {
      failed(call, start, unlogged);
    }
  }

  function begin<Answer>(call: Call, work: () => MaybePromise<Answer>, end: CallEnd<Answer>): void {
    const start = log.start();
    let place: Place | undefined;

    function leave(): void {
      place?.leave();
      place = undefined;
    }

    function succeed(answer: Answer): void {
      leave();
      try {
        log.succeeded(call, start);
      } catch (thrown) {
        fail(thrown);
        return;
      }
      end.onAnswer(answer);
    }

    function fail(thrown: unknown): void {
      leave();
      if (call.isAborted) {
        takeBack(call, start);
        end.onTakenBack();
      } else end.onError(failed(call, start, thrown));
    }

    function proceed(): MaybePromise<Answer> {
      validate(call);
      place?.grow();
      return work();
    }

    let answer: MaybePromise<Answer>;
    try {
      place = overload.enter(call);
      call.deadline = deadlineFor(call, start);
      if (isOpen(call.method)) answer = work();
      else {
        const admitted = authentication.admit(call);
        answer = admitted instanceof Promise ? admitted.then(proceed) : proceed();
      }
    } catch (thrown) {
      fail(thrown);
      return;
    }
    if (answer instanceof Promise) answer.then(succeed, fail);
    else succeed(answer);
  }

  function run<Answer>(call: Call, work: () => MaybePromise<Answer>): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const onTakenBack = (): void => reject(takenBack());
      begin(call, work, { onAnswer: resolve, onError: reject, onTakenBack });
    });
  }

  return {
    begin,
    run,
    refusal: (call) => (isOpen(call.method) ? undefined : authentication.refusal(call)),
    credentialOf: authentication.remembering(),
    failed: (call, thrown) => failed(call, log.start(), thrown),
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
          throw failed(call, start, thrown);
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
