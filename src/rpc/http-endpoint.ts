import type { ConnectError } from "@connectrpc/connect";
import type { TollgateError } from "../core/errors.ts";
import { type AuthenticatedCall, authenticated, createCall } from "./call.ts";
import type { CallRunner } from "./call-runner.ts";
import { toTollgateError } from "./errors.ts";
import type { CallMethod } from "./method.ts";
import type { Exchange } from "./request-bodies.ts";

/** Something that is asked over plain HTTP, with the caller token in a header of its own. */
export interface HttpEndpoint {
  readonly path: string;
  /** In lower case. */
  readonly tokenHeader: string;
  answer(request: PlainRequest, call: AuthenticatedCall): Promise<PlainAnswer>;
  /** What is told where the call failed, or could not be made. */
  failed(request: PlainRequest, error: TollgateError): PlainAnswer;
}

interface PlainRequest {
  readonly url: string;
  /** Names and values in turn. */
  readonly rawHeaders: readonly string[];
  /** Undefined on a Unix socket. */
  readonly remoteAddress: string | undefined;
  readonly announcesBody: boolean;
}

interface PlainAnswer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/**
 * Serves a request as a call of `method`, through the same runner as every RPC. No header but the token is
 * the caller's own: a gateway passes its client's, so neither a deadline nor a request id is taken from them.
 */
export async function serveHttpEndpoint(
  { request, response }: Exchange,
  { endpoint, method, runner }: { endpoint: HttpEndpoint; method: CallMethod; runner: CallRunner },
): Promise<void> {
  const { remoteAddress } = request.socket;
  const announcesBody = hasBody(request);
  const plain = { url: request.url ?? "", rawHeaders: request.rawHeaders, remoteAddress, announcesBody };
  const token = tokenOf(request.rawHeaders, endpoint.tokenHeader);
  const call = createCall({
    method,
    message: undefined,
    header: (name) => (name === "authorization" && token !== null ? `Bearer ${token}` : null),
  });
  const answer = await runner
    .run(call, () => endpoint.answer(plain, authenticated(call)))
    .catch((error: ConnectError) => endpoint.failed(plain, toTollgateError(error)));
  // A gateway that has gone away is told nothing.
  if (response.destroyed) return;
  response.statusCode = answer.status;
  for (const [name, value] of answer.headers) response.setHeader(name, value);
  // Whether what follows on this connection is a body or the next question is the sender's secret.
  if (announcesBody && request.httpVersionMajor === 1) response.setHeader("connection", "close");
  response.setHeader("content-length", Buffer.byteLength(answer.body));
  (response as NodeJS.WritableStream & typeof response).end(answer.body);
}

function hasBody({ headers }: Exchange["request"]): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
}

/** Null: it is not there exactly once. */
function tokenOf(rawHeaders: readonly string[], name: string): string | null {
  const values = rawHeaders.filter(
    (_, index) => index % 2 === 1 && rawHeaders[index - 1]?.toLowerCase() === name,
  );
  return values.length === 1 ? (values[0] as string) : null;
}
