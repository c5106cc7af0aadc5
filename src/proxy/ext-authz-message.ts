import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type HeaderMap,
  HeaderValueOption_HeaderAppendAction,
  type HeaderValueOptionSchema,
} from "../gen/envoy/config/core/v3/base_pb.ts";
import type { AttributeContext_HttpRequest } from "../gen/envoy/service/auth/v3/attribute_context_pb.ts";
import type { CheckRequest, CheckResponseSchema } from "../gen/envoy/service/auth/v3/external_auth_pb.ts";
import { decisionMetadata } from "./decision-metadata.ts";
import {
  type ExtAuthzAnswer,
  type ExtAuthzRequest,
  type RequestHeaders,
  RPC_OK,
  RPC_PERMISSION_DENIED,
} from "./ext-authz-exchange.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";

export function extAuthzRequest({ attributes }: CheckRequest): ExtAuthzRequest {
  const address = attributes?.source?.address?.address;
  const http = attributes?.request?.http;
  return {
    contextExtensions: attributes?.contextExtensions ?? {},
    clientIp: address?.case === "socketAddress" ? address.value.address : "",
    http: http && {
      method: http.method,
      path: http.path,
      host: http.host,
      scheme: http.scheme,
      headers: readHeaders(http),
    },
  };
}

function readHeaders({ headers, headerMap }: AttributeContext_HttpRequest): RequestHeaders {
  if (headerMap !== undefined) return readHeaderMap(headerMap);
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

export function extAuthzResponse(answer: ExtAuthzAnswer): MessageInitShape<typeof CheckResponseSchema> {
  const { decision } = answer;
  const dynamicMetadata = decision === undefined ? undefined : decisionMetadata(decision);
  if (answer.outcome === "passed") {
    return {
      status: { code: RPC_OK },
      httpResponse: {
        case: "okResponse",
        value: {
          headers: answer.identity.map(overwriting),
          headersToRemove: [...answer.removed],
          responseHeadersToAdd: answer.clientHeaders.map(overwriting),
        },
      },
      dynamicMetadata,
    };
  }
  return {
    status: { code: RPC_PERMISSION_DENIED, message: answer.detail },
    httpResponse: {
      case: "deniedResponse",
      value: {
        status: { code: answer.status },
        headers: answer.headers.map(overwriting),
        body: answer.body,
      },
    },
    dynamicMetadata,
  };
}

/** Said of every header, since what Envoy does where it is not said has changed: appending lets a client's own stand. */
function overwriting([key, value]: HeaderLine): MessageInitShape<typeof HeaderValueOptionSchema> {
  return {
    header: { key, value },
    appendAction: HeaderValueOption_HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
  };
}
