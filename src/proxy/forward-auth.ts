import { type AddressRange, isInRanges } from "../core/address-range.ts";
import { type GatewayCall, type GatewayCheck, gatewayMisconfigured } from "./gateway-check.ts";
import { gatewayOptions, oneOf, requireKnown } from "./gateway-options.ts";
import { type GatewayRequest, preflightMethod, weakestScheme } from "./gateway-request.ts";
import { PROBLEM_TYPE, type Refusal, undecided } from "./problem.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";

/** The gateway's question, as Node has it. */
export interface ForwardAuthRequest {
  /** Path and query of the request to Tollgate, not of the one that is asked about. */
  readonly url: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  /** The gateway's; undefined on a Unix socket. */
  readonly remoteAddress: string | undefined;
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
  /** Told of what could not be decided and was refused. */
  readonly onUndecided: (error: unknown) => void;
}

/**
 * Forward auth over HTTP for nginx (`auth_request`), Caddy (`forward_auth`) and Traefik (ForwardAuth). The
 * query names what the gateway's configuration says: `gateway` (nginx: see `forNginx`), `api`, `mode`. 200
 * lets pass and has the identity headers, the others are refusals to pass on as they are.
 */
export interface ForwardAuth {
  answer(request: ForwardAuthRequest, call: GatewayCall): Promise<ForwardAuthAnswer>;
  /** What the gateway is told where the call failed, or could not be made: to refuse. */
  failed(request: ForwardAuthRequest): ForwardAuthAnswer;
}

export const FORWARD_AUTH_PATH = "/forward-auth";

/** Names the caller token: `Authorization` is the client's. */
export const FORWARD_AUTH_TOKEN_HEADER = "x-tollgate-token";

const PARAMETERS = ["gateway", "api", "mode"];
const GATEWAYS = ["", "nginx", "caddy", "traefik"] as const;

export function createForwardAuth({ check, trusted, onUndecided }: ForwardAuthDependencies): ForwardAuth {
  function requestOf({ url, rawHeaders, remoteAddress }: ForwardAuthRequest): GatewayRequest {
    const query = new URL(url, "http://tollgate.invalid").searchParams;
    requireKnown(query.keys(), PARAMETERS);
    if (remoteAddress !== undefined && !isInRanges(remoteAddress, trusted)) {
      throw gatewayMisconfigured(
        `X-Forwarded-* are not believed from ${remoteAddress}; name it in TOLLGATE_TRUSTED_PROXIES`,
      );
    }
    const method = forwarded(rawHeaders, "x-forwarded-method");
    return {
      ...gatewayOptions({ api: query.get("api") ?? undefined, mode: query.get("mode") ?? undefined }),
      method,
      path: forwarded(rawHeaders, "x-forwarded-uri"),
      host: forwarded(rawHeaders, "x-forwarded-host"),
      scheme: weakestScheme(forwarded(rawHeaders, "x-forwarded-proto")) ?? "",
      clientIp: lastOf(valueOf(rawHeaders, "x-forwarded-for") ?? ""),
      authorization: valueOf(rawHeaders, "authorization"),
      preflightFor: method === "OPTIONS" ? preflightMethod((name) => valueOf(rawHeaders, name)) : "",
    };
  }

  function refused(request: ForwardAuthRequest, refusal: Refusal): ForwardAuthAnswer {
    return isNginx(request) ? forNginx(refusal) : plain(refusal);
  }

  return {
    async answer(request, call) {
      let asked: GatewayRequest;
      try {
        asked = requestOf(request);
        oneOf("gateway", gatewayOf(request), GATEWAYS);
      } catch (error) {
        onUndecided(error);
        return refused(request, undecided());
      }
      const answer = await check(asked, call);
      if (answer.refusal !== undefined) return refused(request, answer.refusal);
      const { identity, clientHeaders, decision } = answer;
      const degraded: HeaderLine[] =
        decision.degraded.length === 0 ? [] : [["x-tollgate-degraded", decision.degraded.join(",")]];
      return { status: 200, headers: [...identity, ...clientHeaders, ...degraded], body: "" };
    },

    failed: (request) => refused(request, undecided()),
  };
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

function isNginx(request: ForwardAuthRequest): boolean {
  return gatewayOf(request) === "nginx";
}

function gatewayOf({ url }: ForwardAuthRequest): string | undefined {
  return new URL(url, "http://tollgate.invalid").searchParams.get("gateway") ?? undefined;
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
