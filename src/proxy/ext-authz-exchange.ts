import type { Decision } from "../core/decision.ts";
import type { Refusal } from "./problem.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";

/** What is looked at of Envoy's CheckRequest. */
export interface ExtAuthzRequest {
  readonly contextExtensions: Readonly<Record<string, string>>;
  /** As Envoy sees it; empty: it is not told as an IP address. */
  readonly clientIp: string;
  /** Undefined: it is about something else. */
  readonly http: ExtAuthzHttpRequest | undefined;
}

export interface ExtAuthzHttpRequest {
  readonly method: string;
  /** With its query string, undecoded. */
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
  readonly headers: RequestHeaders;
}

/** In whichever form Envoy sends them. */
export interface RequestHeaders {
  /** By lower-case name, of those in `READ_HEADERS`; several values are joined by commas; null: none. */
  value(name: string): string | null;
  names(): Iterable<string>;
}

/** The headers whose values are read. */
export const READ_HEADERS = [
  "authorization",
  "content-type",
  "x-forwarded-proto",
  "origin",
  "access-control-request-method",
] as const;

/** The keys of `context_extensions`, which Envoy's configuration gives and no client can. */
export const EXTENSIONS = ["api", "mode", "credential", "forwarded_proto"];

/** What Envoy is told. */
export type ExtAuthzAnswer = ExtAuthzPass | ExtAuthzDenial;

export interface ExtAuthzPass {
  readonly outcome: "passed";
  /** To set for the service behind. */
  readonly identity: readonly HeaderLine[];
  /** To take away from it; none of those to set, since Envoy removes after it has set. */
  readonly removed: readonly string[];
  /** For the client. */
  readonly clientHeaders: readonly HeaderLine[];
  /** Told as metadata; undefined: there was none. */
  readonly decision: Decision | undefined;
}

export interface ExtAuthzDenial {
  readonly outcome: "denied";
  readonly status: Refusal["status"];
  readonly detail: string;
  readonly headers: readonly HeaderLine[];
  readonly body: string;
  /** As above. */
  readonly decision: Decision | undefined;
}

// google.rpc.Code in the answer's status.
export const RPC_OK = 0;
/** A refusal whatever it is for: UNAVAILABLE might be read as an error, and let pass. */
export const RPC_PERMISSION_DENIED = 7;
