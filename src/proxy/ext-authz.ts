import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type HeaderMap,
  HeaderValueOption_HeaderAppendAction,
  type HeaderValueOptionSchema,
} from "../gen/envoy/config/core/v3/base_pb.ts";
import type {
  AttributeContext,
  AttributeContext_HttpRequest,
} from "../gen/envoy/service/auth/v3/attribute_context_pb.ts";
import type { CheckRequest, CheckResponseSchema } from "../gen/envoy/service/auth/v3/external_auth_pb.ts";
import { decisionMetadata } from "./decision-metadata.ts";
import type { Admittance, GatewayCheck } from "./gateway-check.ts";
import { gatewayMisconfigured, gatewayOptions, oneOf, requireKnown } from "./gateway-options.ts";
import { type GatewayCall, type GatewayRequest, preflightMethod, weakestScheme } from "./gateway-request.ts";
import { IDENTITY_HEADERS, isReservedHeader } from "./identity-headers.ts";
import { PROBLEM_TYPE, type Refusal, undecided } from "./problem.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";
import type { UndecidedLog } from "./undecided-log.ts";

type Response = MessageInitShape<typeof CheckResponseSchema>;

export interface ExtAuthzDependencies {
  readonly check: GatewayCheck;
  readonly onUndecided: UndecidedLog;
}

/**
 * Envoy's external authorization (envoy.service.auth.v3.Authorization). A refusal is a denied response,
 * never an error of the RPC, which Envoy may be set to pass over; what is thrown is what the policy says to
 * leave to Envoy.
 */
export interface ExtAuthz {
  check(request: CheckRequest, call: GatewayCall): Promise<Response>;
  /**
   * What to answer where the call failed before it got here, such as for overload; undefined: the error.
   * `request` is undefined where it could not be read.
   */
  failed(error: unknown, request: CheckRequest | undefined): Response | undefined;
}

/** The keys of `context_extensions`, which Envoy's configuration gives and no client can. */
const EXTENSIONS = ["api", "mode", "credential", "forwarded_proto"];

export function createExtAuthz({ check, onUndecided }: ExtAuthzDependencies): ExtAuthz {
  return {
    async check({ attributes }, call) {
      const http = attributes?.request?.http;
      if (attributes === undefined || http === undefined) {
        onUndecided(gatewayMisconfigured("only HTTP requests can be decided"));
        return denied(undecided(), { isGrpc: false });
      }
      const headers = readHeaders(http);
      const isGrpc = isGrpcRequest(headers);
      let credential: "strip" | "forward";
      let request: GatewayRequest;
      try {
        requireKnown(Object.keys(attributes.contextExtensions), EXTENSIONS);
        credential = oneOf("credential", attributes.contextExtensions["credential"], ["strip", "forward"]);
        request = requestOf(attributes, http, headers);
      } catch (error) {
        onUndecided(error);
        return denied(undecided(), { isGrpc });
      }
      const answer = await check.decide(request, call);
      const response =
        answer.refusal === undefined
          ? admitted(answer, { headers, credential })
          : denied(answer.refusal, { isGrpc });
      return answer.decision === undefined
        ? response
        : { ...response, dynamicMetadata: decisionMetadata(answer.decision) };
    },

    failed(error, request) {
      const http = request?.attributes?.request?.http;
      const answer = check.undecided(error, {
        api: request?.attributes?.contextExtensions["api"] ?? "",
        host: http?.host ?? "",
      });
      if (answer === undefined) return undefined;
      const headers = readHeaders(http);
      return answer.refusal === undefined
        ? admitted(answer, { headers, credential: "forward" })
        : denied(answer.refusal, { isGrpc: isGrpcRequest(headers) });
    },
  };
}

function requestOf(
  { contextExtensions, source }: AttributeContext,
  http: AttributeContext_HttpRequest,
  headers: RequestHeaders,
): GatewayRequest {
  const forwardedProto = oneOf("forwarded_proto", contextExtensions["forwarded_proto"], [
    "ignored",
    "trusted",
  ]);
  const address = source?.address?.address;
  const { api, mode } = gatewayOptions({ api: contextExtensions["api"], mode: contextExtensions["mode"] });
  return {
    api,
    mode,
    method: http.method,
    path: http.path,
    host: http.host,
    // Over HTTP/2 a client writes :scheme as it likes; Envoy writes X-Forwarded-Proto, at an edge always.
    scheme:
      forwardedProto === "trusted"
        ? weakestScheme(headers.value("x-forwarded-proto") ?? http.scheme)
        : weakestScheme(http.scheme, headers.value("x-forwarded-proto")),
    clientIp: address?.case === "socketAddress" ? address.value.address : "",
    authorization: headers.value("authorization"),
    preflightFor: http.method === "OPTIONS" ? preflightMethod(headers.value) : "",
  };
}

/** The request's headers, in whichever form Envoy sends them. */
interface RequestHeaders {
  /** By lower-case name; several values are joined by commas; null: none. */
  value(name: string): string | null;
  /** In lower case. */
  names(): Iterable<string>;
}

function readHeaders(http: AttributeContext_HttpRequest | undefined): RequestHeaders {
  if (http?.headerMap !== undefined) return readHeaderMap(http.headerMap);
  const headers = http?.headers ?? {};
  return {
    value: (name) => (Object.hasOwn(headers, name) ? (headers[name] as string) : null),
    names: () => Object.keys(headers),
  };
}

/** With `encode_raw_headers` each line stands alone, and its value is bytes. */
function readHeaderMap({ headers }: HeaderMap): RequestHeaders {
  return {
    value(name) {
      const values = headers
        .filter(({ key }) => key.toLowerCase() === name)
        .map(({ rawValue, value }) =>
          rawValue.length > 0 ? Buffer.from(rawValue).toString("latin1") : value,
        );
      return values.length === 0 ? null : values.join(",");
    },
    names: () => headers.map(({ key }) => key.toLowerCase()),
  };
}

function isGrpcRequest(headers: RequestHeaders): boolean {
  return /^application\/grpc(?:[+;]|$)/.test(headers.value("content-type") ?? "");
}

function admitted(
  { identity, clientHeaders, decision }: Admittance,
  { headers, credential }: { headers: RequestHeaders; credential: "strip" | "forward" },
): Response {
  const set = new Set(identity.map(([name]) => name));
  // Envoy removes after it has set: what is set must not be in it.
  const removed = new Set<string>(IDENTITY_HEADERS.filter((name) => !set.has(name)));
  for (const name of headers.names()) if (isReservedHeader(name) && !set.has(name)) removed.add(name);
  // A policy that only watches stands beside the authorization that was there before it.
  if (credential === "strip" && decision?.isShadow === false) removed.add("authorization");
  return {
    status: { code: RPC_OK },
    httpResponse: {
      case: "okResponse",
      value: {
        headers: identity.map(overwriting),
        headersToRemove: [...removed],
        responseHeadersToAdd: clientHeaders.map(overwriting),
      },
    },
  };
}

function denied(refusal: Refusal, { isGrpc }: { isGrpc: boolean }): Response {
  // To a gRPC client Envoy tells the body as the message of its status.
  const form: HeaderLine = isGrpc
    ? ["grpc-status", String(RPC_CODES[refusal.status])]
    : ["content-type", PROBLEM_TYPE];
  return {
    // A refusal whatever it is for: UNAVAILABLE might be read as an error, and let pass.
    status: { code: PERMISSION_DENIED, message: refusal.detail },
    httpResponse: {
      case: "deniedResponse",
      value: {
        status: { code: refusal.status },
        headers: [...refusal.headers, form].map(overwriting),
        body: isGrpc ? refusal.detail : refusal.body,
      },
    },
  };
}

const RPC_OK = 0;
const PERMISSION_DENIED = 7;

/** google.rpc.Code by HTTP status, for gRPC clients of the API. */
const RPC_CODES: Readonly<Record<Refusal["status"], number>> = {
  400: 3,
  401: 16,
  403: 7,
  404: 12,
  429: 8,
  503: 14,
};

/** Said of every header, since what Envoy does where it is not said has changed: appending lets a client's own stand. */
function overwriting([key, value]: HeaderLine): MessageInitShape<typeof HeaderValueOptionSchema> {
  return {
    header: { key, value },
    appendAction: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  };
}
