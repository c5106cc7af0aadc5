import { type AddressRange, isInRanges } from "../core/address-range.ts";
import { TollgateError } from "../core/errors.ts";
import type { GatewayAnswer, GatewayCheck } from "./gateway-check.ts";
import { gatewayMisconfigured, gatewayOptions, oneOf, requireKnown } from "./gateway-options.ts";
import { type GatewayCall, type GatewayRequest, preflightMethod, weakestScheme } from "./gateway-request.ts";
import { PROBLEM_TYPE, type Refusal, undecided } from "./problem.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";
import type { UndecidedLog } from "./undecided-log.ts";

/** The gateway's question, as Node has it. */
export interface ForwardAuthRequest {
  /** Path and query of the request to Tollgate, not of the one that is asked about. */
  readonly url: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  /** The gateway's; undefined on a Unix socket. */
  readonly remoteAddress: string | undefined;
  /** The gateway announces its client's body, and may not send one. */
  readonly announcesBody: boolean;
}

export interface ForwardAuthAnswer {
  readonly status: number;
  readonly headers: readonly HeaderLine[];
  readonly body: string;
}

export interface ForwardAuthDependencies {
  readonly check: GatewayCheck;
  /** The gateways whose X-Forwarded-* are believed, besides those on a Unix socket. */
  readonly trusted: readonly AddressRange[];
  readonly onUndecided: UndecidedLog;
}

/**
 * Forward auth over HTTP for nginx (`auth_request`), Caddy (`forward_auth`) and Traefik (ForwardAuth). The
 * query names what the gateway's configuration says: `gateway` (nginx: see `forNginx`), `api`, `mode`. 200
 * lets pass and has the identity headers, the others are refusals to pass on as they are.
 */
export interface ForwardAuth {
  answer(request: ForwardAuthRequest, call: GatewayCall): Promise<ForwardAuthAnswer>;
  /** What the gateway is told where the call failed, or could not be made. */
  failed(request: ForwardAuthRequest, error: unknown): ForwardAuthAnswer;
}

export const FORWARD_AUTH_PATH = "/forward-auth";

/** Names the caller token: `Authorization` is the client's. */
export const FORWARD_AUTH_TOKEN_HEADER = "x-tollgate-token";

const PARAMETERS = ["gateway", "api", "mode"];
const GATEWAYS = ["nginx", "caddy", "traefik"] as const;

export function createForwardAuth({ check, trusted, onUndecided }: ForwardAuthDependencies): ForwardAuth {
  function requestOf(
    { rawHeaders, remoteAddress, announcesBody }: ForwardAuthRequest,
    query: URLSearchParams,
  ): GatewayRequest {
    requireKnown(query.keys(), PARAMETERS);
    oneOf("gateway", query.get("gateway") ?? undefined, GATEWAYS);
    if (remoteAddress !== undefined && !isInRanges(remoteAddress, trusted)) {
      throw gatewayMisconfigured(
        `X-Forwarded-* are not believed from ${remoteAddress}; name it in TOLLGATE_TRUSTED_PROXIES`,
      );
    }
    if (announcesBody) throw gatewayMisconfigured("the question must have no body, nor announce one");
    const method = forwarded(rawHeaders, "x-forwarded-method");
    return {
      ...gatewayOptions({ api: query.get("api") ?? undefined, mode: query.get("mode") ?? undefined }),
      method,
      path: forwarded(rawHeaders, "x-forwarded-uri"),
      host: forwarded(rawHeaders, "x-forwarded-host"),
      scheme: weakestScheme(forwarded(rawHeaders, "x-forwarded-proto")),
      clientIp: lastOf(valueOf(rawHeaders, "x-forwarded-for") ?? ""),
      authorization: valueOf(rawHeaders, "authorization"),
      preflightFor: method === "OPTIONS" ? preflightMethod((name) => valueOf(rawHeaders, name)) : "",
    };
  }

  return {
    async answer(request, call) {
      const query = queryOf(request);
      let asked: GatewayRequest;
      try {
        asked = requestOf(request, query);
      } catch (error) {
        onUndecided(error);
        return refused(query, undecided());
      }
      return told(query, await check.decide(asked, call));
    },

    failed(request, error) {
      const query = queryOf(request);
      if (mayNotAsk(error)) return refused(query, undecided());
      const host = valueOf(request.rawHeaders, "x-forwarded-host") ?? "";
      const answer = check.undecided(error, { api: query.get("api") ?? "", host });
      return answer === undefined ? refused(query, undecided()) : told(query, answer);
    },
  };
}

function queryOf({ url }: ForwardAuthRequest): URLSearchParams {
  return new URL(url, "http://tollgate.invalid").searchParams;
}

/** Of this nobody is told to let pass, whatever the policy says. */
function mayNotAsk(error: unknown): boolean {
  if (!(error instanceof TollgateError)) return false;
  return error.code === "unauthenticated" || error.code === "permission_denied";
}

function told(query: URLSearchParams, answer: GatewayAnswer): ForwardAuthAnswer {
  if (answer.refusal !== undefined) return refused(query, answer.refusal);
  const { identity, clientHeaders, decision } = answer;
  const headers = [...identity, ...clientHeaders, UNCACHED];
  if (decision !== undefined && decision.degraded.length > 0) {
    headers.push(["x-tollgate-degraded", decision.degraded.join(",")]);
  }
  return { status: 200, headers, body: "" };
}

/** A gateway with a cache would answer others with it, who have other keys or none. */
const UNCACHED: HeaderLine = ["cache-control", "no-store"];

function refused(query: URLSearchParams, refusal: Refusal): ForwardAuthAnswer {
  return query.get("gateway") === "nginx" ? forNginx(refusal) : plain(refusal);
}

function plain({ status, headers, body }: Refusal): ForwardAuthAnswer {
  return { status, headers: [...headers, ["content-type", PROBLEM_TYPE]], body };
}

/**
 * nginx takes 401 and 403 for refusals, everything else for a fault of ours, and drops the body: so the
 * status and the body travel in headers, from which the shipped configuration restores them.
 */
function forNginx({ status, headers, body }: Refusal): ForwardAuthAnswer {
  return {
    status: status === 401 ? 401 : 403,
    headers: [...headers, ["x-tollgate-status", String(status)], ["x-tollgate-problem", body]],
    body: "",
  };
}

/** Throws where it stands there not exactly once: then some of it is not the gateway's own. */
function forwarded(rawHeaders: readonly string[], name: string): string {
  const [value, ...others] = valuesOf(rawHeaders, name);
  if (value === undefined) throw gatewayMisconfigured(`${name} is missing`);
  if (others.length > 0) throw gatewayMisconfigured(`${name} stands twice`);
  return value;
}

/** Joined by commas where there are several; null: none. */
function valueOf(rawHeaders: readonly string[], name: string): string | null {
  const values = valuesOf(rawHeaders, name);
  return values.length === 0 ? null : values.join(",");
}

function valuesOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    if (rawHeaders[index]?.toLowerCase() === name) values.push(rawHeaders[index + 1] as string);
  }
  return values;
}

/** The address that the gateway itself has added: those before it are what the client says. */
function lastOf(addresses: string): string {
  return addresses.slice(addresses.lastIndexOf(",") + 1).trim();
}
