import type { Http2ServerResponse } from "node:http2";
import { create } from "@bufbuild/protobuf";
import { Code, type ConnectError, createConnectRouter, createContextValues } from "@connectrpc/connect";
import type {
  UniversalHandler,
  UniversalServerRequest,
  UniversalServerResponse,
} from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import { TollgateError } from "../core/errors.ts";
import { Authorization, CheckResponseSchema } from "../gen/envoy/service/auth/v3/external_auth_pb.ts";
import { RateLimitResponseSchema, RateLimitService } from "../gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { toNodeExchange } from "../http2/node-stream.ts";
import type { ServerStream } from "../http2/stream.ts";
import { wireMethod } from "../wire/wire-method.ts";
import { authorizationOf } from "./authorization-header.ts";
import { type Arrival, arrivalKey, type Call, createCall } from "./call.ts";
import { type CallRunner, type CallRunnerDependencies, createCallRunner } from "./call-runner.ts";
import { decodeCheckRequest, encodeCheckResponse } from "./check-codec.ts";
import { decodeConsumePointsRequest, encodeConsumePointsResponse } from "./consume-points-codec.ts";
import { createDecisions, type Decisions, type DecisionsDependencies } from "./decisions.ts";
import { toTollgateError } from "./errors.ts";
import { respellingGrpcMessage } from "./grpc-message.ts";
import { fieldOf, GrpcStream, type GrpcStreamContext, isPlainGrpcFields } from "./grpc-stream.ts";
import { type HotMethod, hotMethod, serveGrpcUnary } from "./grpc-unary.ts";
import { answerOverHttp, answerProblem } from "./http-answer.ts";
import { type HttpEndpoint, serveHttpEndpoint } from "./http-endpoint.ts";
import { LEAK_REPORTS_PATH, type LeakReportEndpoint } from "./leak-report-endpoint.ts";
import { FORWARD_AUTH } from "./method.ts";
import {
  type BodyBounds,
  bounded,
  createRequestBodies,
  discardRest,
  type Exchange,
  inSlices,
  type RequestBodies,
  type RequestBody,
} from "./request-bodies.ts";
import { createRoutes, type Gateways, type RoutesDependencies } from "./routes.ts";
import { errorIn, READ_BEFORE_BODY, unreadable } from "./unreadable.ts";

export interface HandlerDependencies
  extends Omit<RoutesDependencies, "decisions">,
    DecisionsDependencies,
    Omit<CallRunnerDependencies, "callerTokens"> {
  /** Forward auth, for gateways that ask over plain HTTP. */
  readonly forwardAuth: HttpEndpoint;
  /** For secret scanners; undefined: off. */
  readonly leakReports?: LeakReportEndpoint | undefined;
  readonly bodies?: Partial<BodyBounds>;
}

type NodeRequest = Exchange["request"];
type NodeResponse = Exchange["response"];

/** A request on its way to a method. */
interface Incoming extends Exchange {
  readonly call: Call;
  /** Undefined: of a stream of messages, which has no end to wait for. */
  readonly body: RequestBody | undefined;
  readonly authorization: string | null;
  /** Why the body is not to be read; undefined: it is. */
  readonly refusal: TollgateError | undefined;
}

export interface RequestHandler {
  /** Serves one request of Node's HTTP/1.1 or HTTP/2 server. */
  handle(request: NodeRequest, response: NodeResponse): void;
  /** Serves one stream of our own engine, if it is of the plain kind; otherwise false, and `handle` is to be asked. */
  serveStream(stream: ServerStream): boolean;
  /** Calls in flight now. */
  inFlight: CallRunner["inFlight"];
  /** Bytes held of bodies that are not whole yet. */
  unfinishedBytes: RequestBodies["unfinishedBytes"];
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
  const { forwardAuth, leakReports, log, serving } = dependencies;
  const runner = createCallRunner({ ...dependencies, answerInstead: gatewayAnswers(dependencies.gateways) });
  const bodies = createRequestBodies(dependencies.bodies);
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
  const hotMethods = hotMethodsByPath(decisions, dependencies.gateways);

  function serveByConnect(handler: UniversalHandler, incoming: Incoming, whole?: Uint8Array): void {
    const { request, response, authorization } = incoming;
    const arrival: Arrival = { connection: connectionOf(request), isSeen: false };
    const values = createContextValues().set(arrivalKey, arrival);
    let universal: UniversalServerRequest;
    try {
      universal = universalRequestFromNodeRequest(request, response, undefined, values);
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
    if (authorization !== null) universal.header.set("authorization", authorization);
    const read = whole === undefined ? (universal.body as AsyncIterable<Uint8Array>) : inSlicesOf(whole);
    const serve = async () => {
      const answer = await handler({ ...universal, body: bodyFor({ incoming, arrival, read }) });
      const isRefused = !arrival.isSeen && !universal.signal.aborted && handler.method.methodKind === "unary";
      const told = isRefused ? await explained({ handler, incoming, universal, answer }) : answer;
      await universalResponseToNodeResponse(respelled(told), response);
    };
    serve().catch(logUndelivered);
  }

  /** Throws what forbids to read it: Connect gives that the form of whatever protocol it is. */
  async function* bodyFor(options: {
    incoming: Incoming;
    arrival: Arrival;
    read: AsyncIterable<Uint8Array>;
  }): AsyncGenerator<Uint8Array> {
    const { incoming, arrival, read } = options;
    const { body, call } = incoming;
    try {
      if (incoming.refusal !== undefined) throw incoming.refusal;
      yield* body === undefined ? read : bounded(read, { exchange: incoming, body });
    } catch (error) {
      if (!(error instanceof TollgateError)) throw error;
      arrival.isSeen = true;
      throw runner.failed(call, error);
    }
  }

  /** What Connect refused by itself is logged and measured as well, and told in the form of all errors. */
  async function explained(options: {
    handler: UniversalHandler;
    incoming: Incoming;
    universal: UniversalServerRequest;
    answer: UniversalServerResponse;
  }): Promise<UniversalServerResponse> {
    const { handler, incoming, universal } = options;
    const { error, answer } = await errorIn(options.answer);
    if (error === undefined) return answer;
    const told = runner.failed(incoming.call, unreadable(error, handler.method.input));
    for (const name of READ_BEFORE_BODY) universal.header.delete(name);
    return handler({ ...universal, body: throwing(told) });
  }

  /** The client is gone, or has reset the stream: nobody is left to be told. */
  function logUndelivered(error: unknown): void {
    log.debug({ err: error }, "answer not delivered");
  }

  const streams: GrpcStreamContext = {
    runner,
    bodies,
    readMaxBytes: READ_MAX_BYTES,
    otherwise(stream, { call, body, whole }) {
      const handler = handlers.get(fieldOf(stream.fields, ":path") ?? "") as UniversalHandler;
      const authorization = fieldOf(stream.fields, "authorization");
      const incoming = { ...toNodeExchange(stream), call, body, authorization, refusal: undefined };
      serveByConnect(handler, incoming, whole);
    },
    onUndelivered: logUndelivered,
  };

  return {
    inFlight: runner.inFlight,
    unfinishedBytes: bodies.unfinishedBytes,
    serveStream(stream) {
      const { fields } = stream;
      const hot = hotMethods.get(fieldOf(fields, ":path") ?? "");
      if (hot === undefined || !isPlainGrpcFields(fields)) return false;
      void new GrpcStream(stream, { hot, context: streams });
      return true;
    },
    handle(request, response) {
      const path = pathOf(request.url ?? "");
      if (path === forwardAuth.path) {
        serveHttpEndpoint(
          { request, response },
          { endpoint: forwardAuth, method: FORWARD_AUTH, runner },
        ).catch(logUndelivered);
        return;
      }
      if (path === LEAK_REPORTS_PATH && leakReports !== undefined) {
        const exchange = { request, response };
        leakReports(exchange, bodies.begin(exchange)).catch(logUndelivered);
        if ("stream" in request) discardRest(request.stream);
        return;
      }
      const handler = handlers.get(path);
      if (handler === undefined) {
        answerOverHttp({ method: request.method ?? "", path, response, serving });
        return;
      }
      const { method } = handler;
      const authorization = authorizationOf(request.rawHeaders);
      const header = (name: string) => (name === "authorization" ? authorization : headerOf(request, name));
      const call = createCall({ method, message: undefined, header });
      const refusal = runner.refusal(call);
      const hot = hotMethods.get(path);
      if (hot !== undefined && "stream" in request && isPlainGrpcFields(request.rawHeaders)) {
        const body = bodies.begin({ request, response });
        serveGrpcUnary(request, response as Http2ServerResponse, {
          hot,
          call,
          body,
          refusal,
          runner,
          readMaxBytes: READ_MAX_BYTES,
          otherwise: (whole) =>
            serveByConnect(handler, { request, response, call, body, authorization, refusal }, whole),
          onUndelivered: logUndelivered,
        });
        return;
      }
      const body = method.methodKind === "bidi_streaming" ? undefined : bodies.begin({ request, response });
      serveByConnect(handler, { request, response, call, body, authorization, refusal });
    },
  };
}

/**
 * What gateways are told instead of errors, which they may be set to let pass on; but for those who may not
 * ask at all.
 */
function gatewayAnswers({ extAuthz, rateLimit }: Gateways): CallRunner["answerInstead"] {
  return ({ method, message }, error) => {
    if (error.code === Code.Unauthenticated || error.code === Code.PermissionDenied) return undefined;
    if (method === Authorization.method.check) {
      const answer = extAuthz.failed(toTollgateError(error), message);
      return answer && create(CheckResponseSchema, answer);
    }
    if (method === RateLimitService.method.shouldRateLimit) {
      const answer = rateLimit.failed(toTollgateError(error), message);
      return answer && create(RateLimitResponseSchema, answer);
    }
    return undefined;
  };
}

/** Several values are joined by commas, as any list of header values is. */
function headerOf(request: NodeRequest, name: string): string | null {
  const value = request.headers[name];
  if (value === undefined) return null;
  return typeof value === "string" ? value : value.join(", ");
}

function connectionOf(request: NodeRequest): object {
  return "stream" in request ? (request.stream.session ?? request.stream) : request.socket;
}

async function* inSlicesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield* inSlices(bytes);
}

function throwing(error: ConnectError): AsyncIterable<Uint8Array> {
  const next = async () => {
    throw error;
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

/** Only gRPC has trailers of HTTP; the others write their errors into the body. */
function respelled(answer: UniversalServerResponse): UniversalServerResponse {
  const { body, trailer } = answer;
  if (body === undefined || trailer === undefined) return answer;
  return { ...answer, body: respellingGrpcMessage(body, trailer) };
}

function hotMethodsByPath(decisions: Decisions, gateways: Gateways): ReadonlyMap<string, HotMethod> {
  const { check, batchCheck, consumePoints } = AuthorizationService.method;
  const hot = [
    hotMethod(
      check,
      decisions.check,
      wireMethod({
        decode: decodeCheckRequest,
        work: decisions.decideCheck,
        encode: encodeCheckResponse,
      }),
    ),
    hotMethod(batchCheck, decisions.batchCheck),
    hotMethod(
      consumePoints,
      decisions.consumePoints,
      wireMethod({
        decode: decodeConsumePointsRequest,
        work: decisions.decideConsume,
        encode: encodeConsumePointsResponse,
      }),
    ),
    hotMethod(Authorization.method.check, gateways.extAuthz.check, gateways.extAuthz.wire),
    hotMethod(
      RateLimitService.method.shouldRateLimit,
      gateways.rateLimit.shouldRateLimit,
      gateways.rateLimit.wire,
    ),
  ];
  return new Map(hot.map((each) => [`/${each.method.parent.typeName}/${each.method.name}`, each]));
}

function pathOf(url: string): string {
  const mark = url.indexOf("?");
  return mark === -1 ? url : url.slice(0, mark);
}
