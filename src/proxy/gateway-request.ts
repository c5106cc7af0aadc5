import type { CheckInput } from "../core/decision.ts";

/**
 * One HTTP request that a gateway asks about, whatever protocol it asks by. All but `api` and `mode` is the
 * client's own choice, so none of it can be an error: it is decided. Empty strings: not told.
 */
export interface GatewayRequest extends GatewayOptions {
  readonly method: string;
  /** As the client sent it, undecoded, with its query string. */
  readonly path: string;
  readonly host: string;
  readonly scheme: string;
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

/** Of what several proxies say the scheme was the one that is not https; undefined: nothing was said. */
export function weakestScheme(forwardedProto: string | null): string | undefined {
  const schemes = (forwardedProto ?? "").split(",").map((scheme) => scheme.trim().toLowerCase());
  if (schemes.every((scheme) => scheme === "")) return undefined;
  return schemes.find((scheme) => scheme !== "https") ?? "https";
}

/** The method that a preflight asks for (Fetch, "CORS preflight request"): both headers make it one. */
export function preflightMethod(header: (name: string) => string | null): string {
  return header("origin") === null ? "" : (header("access-control-request-method") ?? "");
}
