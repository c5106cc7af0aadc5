// A sidecar: stands before an API service, asks Tollgate about each request over gRPC with grpc-js, and
// either passes it on or answers as Tollgate says.
//
//   TOLLGATE_ADDRESS   where Tollgate listens; default 127.0.0.1:8080
//   TOLLGATE_TOKEN     a caller token with the grant "check"
//   API                the policy's name
//   UPSTREAM           the API service, such as http://127.0.0.1:3000
//   PORT               where the sidecar listens; default 8081, 0 picks one

import { createServer, request as httpRequest } from "node:http";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const { TOLLGATE_ADDRESS = "127.0.0.1:8080", TOLLGATE_TOKEN, API, UPSTREAM, PORT = "8081" } = process.env;
for (const name of ["TOLLGATE_TOKEN", "API", "UPSTREAM"]) {
  if (!process.env[name]) {
    console.error(`${name} is not set`);
    process.exit(2);
  }
}
const upstreamAddress = new URL(UPSTREAM);

const proto = fileURLToPath(new URL("../../proto", import.meta.url));
const definition = loadSync("tollgate/v1/authorization_service.proto", {
  includeDirs: [proto, `${proto}/vendor`],
  keepCase: true,
  enums: String,
  defaults: true,
});
const { AuthorizationService } = grpc.loadPackageDefinition(definition).tollgate.v1;
const tollgate = new AuthorizationService(TOLLGATE_ADDRESS, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${TOLLGATE_TOKEN}`);

const server = createServer((request, response) => {
  const check = {
    api: API,
    key: bearerOf(request),
    http: {
      method: request.method,
      path: request.url,
      scheme: "https", // What the client used: this sidecar stands behind the TLS proxy.
      host: request.headers.host ?? "",
    },
  };
  tollgate.check(check, metadata, { deadline: Date.now() + 200 }, (error, decision) => {
    // An error means that nothing was decided: refuse.
    if (error !== null) {
      console.error(`Tollgate: ${error.code} ${error.details}`);
      return answer(response, 503, { message: "Authorization is not available." });
    }
    if (!decision.allowed) {
      if (decision.retry_after_ms > 0) {
        response.setHeader("Retry-After", Math.ceil(decision.retry_after_ms / 1000));
      }
      return answer(response, decision.http_status, { reason: decision.reason, message: decision.message });
    }
    passOn(request, response, decision.principal);
  });
});

/** The key, and only where exactly one Authorization header carries it: a cookie is never a credential. */
function bearerOf(request) {
  const values = request.headersDistinct.authorization ?? [];
  return values.length === 1 ? (/^Bearer +(.+)$/i.exec(values[0])?.[1] ?? "") : "";
}

function passOn(request, response, principal) {
  // Identity is what Tollgate says, never what the client sent.
  const headers = Object.fromEntries(
    Object.entries(request.headers).filter(
      ([name]) => name !== "authorization" && !name.startsWith("x-tollgate-"),
    ),
  );
  // Public routes have no principal.
  headers["x-tollgate-key-id"] = principal?.key_id ?? "";
  headers["x-tollgate-workspace"] = principal?.workspace_id ?? "";
  const target = {
    host: upstreamAddress.hostname,
    port: upstreamAddress.port,
    // As Tollgate saw it: a URL made of it might lose a part.
    path: request.url,
    method: request.method,
    headers,
  };
  const upstream = httpRequest(target, (from) => {
    response.writeHead(from.statusCode, from.headers);
    from.pipe(response);
  });
  upstream.on("error", () => answer(response, 502, { message: "The API does not answer." }));
  request.pipe(upstream);
}

function answer(response, status, body) {
  if (response.headersSent) return response.destroy();
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

server.listen(Number(PORT), "127.0.0.1", () =>
  console.log(`sidecar on http://127.0.0.1:${server.address().port}`),
);
