import { isMessage, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type CheckRequest,
  CheckRequestSchema,
  type CheckResponseSchema,
} from "../gen/envoy/service/auth/v3/external_auth_pb.ts";
import { type WireMethod, wireMethod } from "../wire/wire-method.ts";
import { decodeExtAuthzRequest, encodeExtAuthzResponse } from "./ext-authz-codec.ts";
import {
  EXTENSIONS,
  type ExtAuthzAnswer,
  type ExtAuthzDenial,
  type ExtAuthzHttpRequest,
  type ExtAuthzPass,
  type ExtAuthzRequest,
  type RequestHeaders,
} from "./ext-authz-exchange.ts";
import { extAuthzRequest, extAuthzResponse } from "./ext-authz-message.ts";
import type { Admittance, Denial, GatewayCheck } from "./gateway-check.ts";
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
  /** `check`, from bytes to bytes. */
  readonly wire: WireMethod<GatewayCall>;
  /**
   * What to answer where the call failed before it got here, such as for overload; undefined: the error.
   * `request` is a CheckRequest, or what `wire` made of one; undefined where it could not be read.
   */
  failed(error: unknown, request: object | undefined): Response | undefined;
}

type Credential = "strip" | "forward";

export function createExtAuthz({ check, onUndecided }: ExtAuthzDependencies): ExtAuthz {
  async function decide(request: ExtAuthzRequest, call: GatewayCall): Promise<ExtAuthzAnswer> {
    const { http } = request;
    if (http === undefined) {
      onUndecided(gatewayMisconfigured("only HTTP requests can be decided"));
      return denied({ refusal: undecided(), decision: undefined }, { isGrpc: false });
    }
    const { headers } = http;
    const isGrpc = isGrpcRequest(headers);
    let credential: Credential;
    let question: GatewayRequest;
    try {
      requireKnown(Object.keys(request.contextExtensions), EXTENSIONS);
      credential = oneOf("credential", request.contextExtensions["credential"], ["strip", "forward"]);
      question = questionOf(request, http);
    } catch (error) {
      onUndecided(error);
      return denied({ refusal: undecided(), decision: undefined }, { isGrpc });
    }
    const answer = await check.decide(question, call);
    return answer.refusal === undefined
      ? admitted(answer, { headers, credential })
      : denied(answer, { isGrpc });
  }

  return {
    check: async (request, call) => extAuthzResponse(await decide(extAuthzRequest(request), call)),

    wire: wireMethod({ decode: decodeExtAuthzRequest, work: decide, encode: encodeExtAuthzResponse }),

    failed(error, request) {
      const read = isMessage(request, CheckRequestSchema)
        ? extAuthzRequest(request)
        : (request as ExtAuthzRequest | undefined);
      const answer = check.undecided(error, {
        api: read?.contextExtensions["api"] ?? "",
        host: read?.http?.host ?? "",
      });
      if (answer === undefined) return undefined;
      const headers = read?.http?.headers ?? NO_HEADERS;
      return extAuthzResponse(
        answer.refusal === undefined
          ? admitted(answer, { headers, credential: "forward" })
          : denied(answer, { isGrpc: isGrpcRequest(headers) }),
      );
    },
  };
}

const NO_HEADERS: RequestHeaders = { value: () => null, names: () => [] };

function questionOf(
  { contextExtensions, clientIp }: ExtAuthzRequest,
  { method, path, host, scheme, headers }: ExtAuthzHttpRequest,
): GatewayRequest {
  const forwardedProto = oneOf("forwarded_proto", contextExtensions["forwarded_proto"], [
    "ignored",
    "trusted",
  ]);
  const { api, mode } = gatewayOptions({ api: contextExtensions["api"], mode: contextExtensions["mode"] });
  return {
    api,
    mode,
    method,
    path,
    host,
    // Over HTTP/2 a client writes :scheme as it likes; Envoy writes X-Forwarded-Proto, at an edge always.
    scheme:
      forwardedProto === "trusted"
        ? weakestScheme(headers.value("x-forwarded-proto") ?? scheme)
        : weakestScheme(scheme, headers.value("x-forwarded-proto")),
    clientIp,
    authorization: headers.value("authorization"),
    preflightFor: method === "OPTIONS" ? preflightMethod((name) => headers.value(name)) : "",
  };
}

function isGrpcRequest(headers: RequestHeaders): boolean {
  return /^application\/grpc(?:[+;]|$)/.test(headers.value("content-type") ?? "");
}

function admitted(
  { identity, clientHeaders, decision }: Admittance,
  { headers, credential }: { headers: RequestHeaders; credential: Credential },
): ExtAuthzPass {
  const isSet = (name: string) => identity.some(([each]) => each === name);
  const removed = new Set<string>(IDENTITY_HEADERS.filter((name) => !isSet(name)));
  for (const name of headers.names()) if (isReservedHeader(name) && !isSet(name)) removed.add(name);
  // A policy that only watches stands beside the authorization that was there before it.
  if (credential === "strip" && decision?.isShadow === false) removed.add("authorization");
  return { outcome: "passed", identity, removed: [...removed], clientHeaders, decision };
}

function denied({ refusal, decision }: Denial, { isGrpc }: { isGrpc: boolean }): ExtAuthzDenial {
  const { status, detail } = refusal;
  // To a gRPC client Envoy tells the body as the message of its status.
  const form: HeaderLine = isGrpc
    ? ["grpc-status", String(RPC_CODES[status])]
    : ["content-type", PROBLEM_TYPE];
  return {
    outcome: "denied",
    status,
    detail,
    headers: [...refusal.headers, form],
    body: isGrpc ? detail : refusal.body,
    decision,
  };
}

/** google.rpc.Code by HTTP status, for gRPC clients of the API. */
const RPC_CODES: Readonly<Record<Refusal["status"], number>> = {
  400: 3,
  401: 16,
  403: 7,
  404: 12,
  429: 8,
  503: 14,
};
