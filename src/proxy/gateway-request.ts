import type { Caller } from "../core/callers.ts";
import type { CheckInput } from "../core/decision.ts";
import type { Deadline } from "../core/ports.ts";

/** Who asks, and until when. */
export interface GatewayCall {
  readonly caller: Caller;
  readonly deadline: Deadline;
  readonly isAborted: boolean;
}

/**
 * One HTTP request that a gateway asks about, whatever protocol it asks by. All but `api` and `mode` is the
 * client's own choice, so none of it can be an error: it is decided. Empty strings: not told.
 */
export interface GatewayRequest extends GatewayOptions {
  readonly method: string;
  /** As the client sent it, undecoded, with its query string. */
  readonly path: string;
  readonly host: string;
  /** As far as the gateway can tell: what it does not know to be https is http. */
  readonly scheme: "https" | "http";
  /** As the gateway sees it. */
  readonly clientIp: string;
  /** All values, joined by commas; null: none. */
  readonly authorization: string | null;
  /** The method that a browser's preflight asks for; empty: the request is none. */
  readonly preflightFor: string;
}

/** What the gateway's own configuration says of a request. */
export interface GatewayOptions {
  /** The policy's name; empty: by the host. */
  readonly api: string;
  /**
   * "enforce" decides and charges. "peek" decides as if, and charges nothing. "rights" leaves the points to
   * a rate limit filter that follows.
   */
  readonly mode: Exclude<CheckInput["mode"], "record">;
}

/**
 * The weakest of several schemes, which may each be a list of what several proxies say. A client may write
 * whatever it likes where nobody overwrites it, so what is not https, or wss, is http; null says nothing.
 */
export function weakestScheme(...said: readonly (string | null)[]): "https" | "http" {
  let isSecure = false;
  for (const list of said) {
    if (list === null) continue;
    if (list !== "https" && !list.split(",").every(isSecureScheme)) return "http";
    isSecure = true;
  }
  return isSecure ? "https" : "http";
}

function isSecureScheme(said: string): boolean {
  const scheme = said.trim().toLowerCase();
  return scheme === "https" || scheme === "wss";
}

/** The method that a preflight asks for (Fetch, "CORS preflight request"): both headers make it one. */
export function preflightMethod(header: (name: string) => string | null): string {
  return header("origin") === null ? "" : (header("access-control-request-method") ?? "");
}
