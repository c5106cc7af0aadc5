import { type ContextValues, createContextKey } from "@connectrpc/connect";
import type { PresentedToken } from "../core/caller-tokens.ts";
import type { Caller } from "../core/callers.ts";
import type { TollgateError } from "../core/errors.ts";
import type { Deadline } from "../core/ports.ts";
import type { CallMethod } from "./method.ts";

/** What an authorization says; whether it holds is asked for each call. An error: it is none of a caller token. */
export type Credential = PresentedToken | TollgateError;

/** One RPC, whatever carries it, and what has been found out about it. */
export interface Call {
  readonly method: CallMethod;
  /** A request header's value, by lower-case name; several are joined by commas. */
  header(name: string): string | null;
  /**
   * The request: a message, or what was made of a plain one, in which nothing is left to validate. Undefined for
   * streams, and before it is read.
   */
  message: object | undefined;
  /** Empty: nobody has asked for one yet. */
  requestId: string;
  /** What its authorization says; undefined: it was not read yet. */
  credential: Credential | undefined;
  /** Undefined before authentication, and on calls that need none. */
  caller: Caller | undefined;
  /** Nobody waits for the answer any more. */
  isAborted: boolean;
  /** Long passed until it is set, so that nothing runs without one. */
  deadline: Deadline;
}

/** The rights under which a service works, once `authentication` has let the call pass. */
export interface AuthenticatedCall {
  readonly isAborted: boolean;
  readonly caller: Caller;
  readonly deadline: Deadline;
}

export function createCall(request: Pick<Call, "method" | "header" | "message">): Call {
  return {
    method: request.method,
    header: request.header,
    message: request.message,
    requestId: "",
    credential: undefined,
    caller: undefined,
    isAborted: false,
    deadline: Number.NEGATIVE_INFINITY,
  };
}

/** What is known of a request before it is a call. */
export interface Arrival {
  /** The same for all requests of one connection. */
  readonly connection: object;
  /** Whether the call runner has seen it: what fails before was refused by Connect itself. */
  isSeen: boolean;
}

export const arrivalKey = createContextKey<Arrival | undefined>(undefined);

const callKey = createContextKey<Call | undefined>(undefined);

/** Hands the call on to the Connect service behind the interceptor. */
export function setCall(values: ContextValues, call: Call): void {
  values.set(callKey, call);
}

/** For services: throws where authentication did not run, so that no call gets past it by omission. */
export function authenticatedCall(values: ContextValues): AuthenticatedCall {
  const call = values.get(callKey);
  if (call === undefined) throw new Error("this call did not pass through the call runner");
  return authenticated(call);
}

export function authenticated(call: Call): AuthenticatedCall {
  if (call.caller === undefined) throw new Error("this call was not authenticated");
  return call as AuthenticatedCall;
}
