import { setTimeout as wait } from "node:timers/promises";
import { create, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { type Any, anyPack, anyUnpack } from "@bufbuild/protobuf/wkt";
import { ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type {
  ConformanceError,
  ConformanceSchema,
  Header,
  StreamResponseDefinition,
  UnaryResponseDefinition,
} from "./conformance-schema.ts";

/** What a method answers with: `payload` alone. */
type Told = MessageInitShape<ConformanceSchema["service"]["method"]["unary"]["output"]>;

/** connectrpc.conformance.v1.ConformanceService, as its proto file describes it. */
export function conformanceRoutes(schema: ConformanceSchema): (router: ConnectRouter) => void {
  const { method } = schema.service;

  function requestInfo(context: HandlerContext, requests: Any[]) {
    const timeoutMs = context.timeoutMs();
    return create(schema.requestInfo, {
      requestHeaders: [...context.requestHeader].map(([name, value]) => ({ name, value: [value] })),
      requests,
      ...(timeoutMs === undefined ? {} : { timeoutMs: BigInt(timeoutMs) }),
    });
  }

  /** `seen`, where nothing was answered before: then the error tells what an answer would have told. */
  function toConnectError(error: ConformanceError, seen?: Message): ConnectError {
    const details = error.details.map((any) => {
      const value = anyUnpack(any, schema.registry);
      const desc = value && schema.registry.getMessage(value.$typeName);
      if (desc === undefined) throw new Error(`an error detail of the unknown type ${any.typeUrl}`);
      return { desc, value: value as never };
    });
    if (seen !== undefined) details.push({ desc: schema.requestInfo, value: seen as never });
    return new ConnectError(error.message ?? "", error.code, undefined, details);
  }

  async function answerOnce(
    definition: UnaryResponseDefinition | undefined,
    requests: Any[],
    context: HandlerContext,
  ): Promise<Told> {
    announce(definition, context);
    const info = requestInfo(context, requests);
    await wait(definition?.responseDelayMs ?? 0);
    if (definition?.response.case === "error") throw toConnectError(definition.response.value, info);
    return { payload: { requestInfo: info, data: definition?.response.value ?? new Uint8Array() } };
  }

  return (router) => {
    router.service(schema.service, {
      unary: (request, context) =>
        answerOnce(request.responseDefinition, [anyPack(method.unary.input, request)], context),

      idempotentUnary: (request, context) =>
        answerOnce(request.responseDefinition, [anyPack(method.idempotentUnary.input, request)], context),

      async clientStream(requests, context) {
        let definition: UnaryResponseDefinition | undefined;
        const seen: Any[] = [];
        for await (const request of requests) {
          if (seen.length === 0) definition = request.responseDefinition;
          seen.push(anyPack(method.clientStream.input, request));
        }
        return answerOnce(definition, seen, context);
      },

      async *serverStream(request, context) {
        const definition = request.responseDefinition;
        announce(definition, context);
        const info = requestInfo(context, [anyPack(method.serverStream.input, request)]);
        const answers = definition?.responseData ?? [];
        for (const [index, data] of answers.entries()) {
          await wait(definition?.responseDelayMs ?? 0);
          yield { payload: { data, ...(index === 0 ? { requestInfo: info } : {}) } };
        }
        if (definition?.error !== undefined) {
          throw toConnectError(definition.error, answers.length === 0 ? info : undefined);
        }
      },

      async *bidiStream(requests, context) {
        let definition: StreamResponseDefinition | undefined;
        let isFullDuplex = false;
        let isFirst = true;
        let answered = 0;
        let seen: Any[] = [];
        for await (const request of requests) {
          if (isFirst) {
            definition = request.responseDefinition;
            isFullDuplex = request.fullDuplex;
            announce(definition, context);
            isFirst = false;
          }
          seen.push(anyPack(method.bidiStream.input, request));
          if (!isFullDuplex) continue;
          const data = definition?.responseData[answered];
          if (data === undefined) break;
          await wait(definition?.responseDelayMs ?? 0);
          yield { payload: { data, requestInfo: requestInfo(context, seen) } };
          answered++;
          seen = [];
        }
        const info = requestInfo(context, seen);
        for (const data of definition?.responseData.slice(answered) ?? []) {
          await wait(definition?.responseDelayMs ?? 0);
          yield { payload: { data, ...(answered === 0 ? { requestInfo: info } : {}) } };
          answered++;
        }
        if (definition?.error !== undefined) {
          throw toConnectError(definition.error, answered === 0 ? info : undefined);
        }
      },
    });
  };
}

function announce(
  definition: UnaryResponseDefinition | StreamResponseDefinition | undefined,
  context: HandlerContext,
): void {
  append(context.responseHeader, definition?.responseHeaders);
  append(context.responseTrailer, definition?.responseTrailers);
}

function append(to: Headers, headers: readonly Header[] = []): void {
  for (const { name, value } of headers) {
    for (const each of value) to.append(name, each);
  }
}
