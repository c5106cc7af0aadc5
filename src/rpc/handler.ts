import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Stream } from "node:http2";
import { createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { authorizationOf } from "./authorization-header.ts";
import { type CallRunner, type CallRunnerDependencies, createCallRunner } from "./call-runner.ts";
import { createDecisions, type Decisions, type DecisionsDependencies } from "./decisions.ts";
import { respellingGrpcMessage } from "./grpc-message.ts";
import { type HotMethod, hotMethod, isPlainGrpc, serveGrpcUnary } from "./grpc-unary.ts";
import { answerOverHttp, answerProblem } from "./http-answer.ts";
import { createRoutes, type RoutesDependencies } from "./routes.ts";

export interface HandlerDependencies
  extends Omit<RoutesDependencies, "decisions">,
    DecisionsDependencies,
    Omit<CallRunnerDependencies, "callerTokens"> {}

type NodeRequest = IncomingMessage | Http2ServerRequest;
type NodeResponse = ServerResponse | Http2ServerResponse;

export interface RequestHandler {
  /** Serves one request of Node's HTTP/1.1 or HTTP/2 server. */
  handle(request: NodeRequest, response: NodeResponse): void;
  /** Calls in flight now. */
  inFlight: CallRunner["inFlight"];
}

/** The largest request message, also after decompression. */
const READ_MAX_BYTES = 4 * 1024 * 1024;
/** Answers below this are not compressed: on a local network the CPU costs more than the bytes. */
const COMPRESS_MIN_BYTES = 16 * 1024;

/**
 * Everything of the port in one handler: gRPC, gRPC-Web and Connect for every service, `GET /healthz`,
 * and 404 for the rest.
 */
export function createRequestHandler(dependencies: HandlerDependencies): RequestHandler {
  const { log, serving } = dependencies;
  const runner = createCallRunner(dependencies);
  const decisions = createDecisions(dependencies);
  const router = createConnectRouter({
    interceptors: [runner.interceptor],
    // Strict: a misspelt field or mode would otherwise be passed over, and the call charged without it.
    jsonOptions: { alwaysEmitImplicit: true, ignoreUnknownFields: false },
    readMaxBytes: READ_MAX_BYTES,
    compressMinBytes: COMPRESS_MIN_BYTES,
    acceptCompression: [compressionGzip, compressionBrotli],
  });
  createRoutes({ ...dependencies, decisions })(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const hotMethods = hotMethodsByPath(decisions);

  function serveByConnect(
    handler: UniversalHandler,
    { request, response }: { request: NodeRequest; response: NodeResponse },
    body?: Uint8Array,
  ): void {
    let universal: ReturnType<typeof universalRequestFromNodeRequest>;
    try {
      universal = universalRequestFromNodeRequest(request, response, undefined, undefined);
    } catch {
      // What it makes a URL of is the client's own: an authority that is missing, or none at all.
      answerProblem(response, {
        status: 400,
        code: "invalid_argument",
        message: "The request names no valid host.",
      });
      return;
    }
    if ("stream" in request) discardRest(request.stream);
    const authorization = authorizationOf(request.rawHeaders);
    if (authorization !== null) universal.header.set("authorization", authorization);
    handler(body === undefined ? universal : { ...universal, body: oneChunk(body) })
      .then((answer) => universalResponseToNodeResponse(respelled(answer), response))
      .catch(logUndelivered);
  }

  /** The client is gone, or has reset the stream: nobody is left to be told. */
  function logUndelivered(error: unknown): void {
    log.debug({ err: error }, "answer not delivered");
  }

  return {
    inFlight: runner.inFlight,
    handle(request, response) {
      const path = pathOf(request.url ?? "");
      const handler = handlers.get(path);
      if (handler === undefined) {
        answerOverHttp({ method: request.method ?? "", path, response, serving });
        return;
      }
      const hot = hotMethods.get(path);
      if (hot !== undefined && "stream" in request && request.method === "POST" && isPlainGrpc(request)) {
        serveGrpcUnary(request, response as Http2ServerResponse, {
          hot,
          runner,
          readMaxBytes: READ_MAX_BYTES,
          otherwise: (body) => serveByConnect(handler, { request, response }, body),
          onUndelivered: logUndelivered,
        });
        return;
      }
      serveByConnect(handler, { request, response });
    },
  };
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/**
 * Once the answer is written, takes what the client still sends, and drops it: a client whose window is
 * full may not look for an answer before it has sent all. On HTTP/1.1 Node does so itself.
 */
function discardRest(stream: ServerHttp2Stream): void {
  stream.once("finish", () => {
    stream.removeAllListeners("data");
    stream.resume();
  });
}

/** Only gRPC has trailers of HTTP; the others write their errors into the body. */
function respelled(answer: UniversalServerResponse): UniversalServerResponse {
  const { body, trailer } = answer;
  if (body === undefined || trailer === undefined) return answer;
  return { ...answer, body: respellingGrpcMessage(body, trailer) };
}

function hotMethodsByPath(decisions: Decisions): ReadonlyMap<string, HotMethod> {
  const { check, batchCheck, consumePoints } = AuthorizationService.method;
  const hot = [
    hotMethod(check, decisions.check),
    hotMethod(batchCheck, decisions.batchCheck),
    hotMethod(consumePoints, decisions.consumePoints),
  ];
  return new Map(hot.map((each) => [`/${each.method.parent.typeName}/${each.method.name}`, each]));
}

function pathOf(url: string): string {
  const mark = url.indexOf("?");
  return mark === -1 ? url : url.slice(0, mark);
}
