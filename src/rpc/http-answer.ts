import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import { isServing, type Serving } from "./serving.ts";

type Response = ServerResponse | Http2ServerResponse;

/** Answers what is no RPC: `GET /healthz` (200 while serving, else 503, with the stores' state), else 404. */
export function answerOverHttp(options: {
  method: string;
  path: string;
  response: Response;
  serving: Serving;
}): void {
  const { method, path, response, serving } = options;
  if (path !== "/healthz") {
    answerProblem(response, { status: 404, code: "not_found", message: "Nothing is here." });
    return;
  }
  if (method !== "GET" && method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    answerProblem(response, { status: 405, code: "unimplemented", message: "Use GET." });
    return;
  }
  const isUp = isServing(serving);
  answerJson(response, isUp ? 200 : 503, {
    status: isUp ? "serving" : "not_serving",
    stores: serving.report().stores,
  });
}

/** An error in the form that Connect gives them: `code` and `message`. */
export function answerProblem(
  response: Response,
  problem: { status: number; code: string; message: string },
): void {
  answerJson(response, problem.status, { code: problem.code, message: problem.message });
}

export function answerJson(response: Response, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.setHeader("content-length", Buffer.byteLength(text));
  response.setHeader("cache-control", "no-store");
  // Of an HTTP/2 response the type has no end(text) in common with HTTP/1.1's.
  (response as ServerResponse).end(text);
}
