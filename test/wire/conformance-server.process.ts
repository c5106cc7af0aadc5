// The server that connectconformance tests: the conformance service on our listener. The runner starts one
// for each of its configurations, writes a ServerCompatRequest to it and reads a ServerCompatResponse, both
// with their length before them. Arguments: a file with the descriptors of the runner's proto files, and who
// speaks HTTP/2.
import { readFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { compressionBrotli, compressionGzip, connectNodeAdapter } from "@connectrpc/connect-node";
import { createListener, type RequestHandler } from "../../src/http2/listener.ts";
import type { TlsIdentity } from "../../src/http2/tls-acceptor.ts";
import { discardRest } from "../../src/rpc/request-bodies.ts";
import { readConformanceSchema, type ServerCompatRequest } from "./conformance-schema.ts";
import { conformanceRoutes } from "./conformance-service.ts";
import type { Engine } from "./engines.ts";

const LENGTH_BYTES = 4;

const [, , descriptors = "", engine] = process.argv;
const schema = readConformanceSchema(readFileSync(descriptors));
const asked = fromBinary(schema.serverCompatRequest, (await buffer(process.stdin)).subarray(LENGTH_BYTES));
const serve = connectNodeAdapter({
  routes: conformanceRoutes(schema),
  acceptCompression: [compressionGzip, compressionBrotli],
  // Of the messages in google.protobuf.Any.
  jsonOptions: { registry: schema.registry },
  ...(asked.messageReceiveLimit === 0 ? {} : { readMaxBytes: asked.messageReceiveLimit }),
});
const onRequest: RequestHandler = (request, response) => {
  serve(request, response);
  // As ours does: Connect itself leaves what it refuses unread.
  if ("stream" in request) discardRest(request.stream);
};

const listener = createListener({ engine: engine as Engine, tls: identityFor(asked), onRequest });
const address = await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
if (address.kind !== "tcp") throw new Error("asked for TCP");
process.once("SIGTERM", () => void listener.drain(0));

const { host, port } = address;
const pemCert = asked.serverCreds?.cert ?? new Uint8Array();
const told = toBinary(
  schema.serverCompatResponse,
  create(schema.serverCompatResponse, { host, port, pemCert }),
);
const length = Buffer.alloc(LENGTH_BYTES);
length.writeUInt32BE(told.length);
process.stdout.write(Buffer.concat([length, told]));

/** The runner's own, and its clients must show a certificate where it gives one to trust. */
function identityFor({ useTls, serverCreds, clientTlsCert }: ServerCompatRequest): TlsIdentity | undefined {
  if (!useTls) return undefined;
  if (serverCreds === undefined) throw new Error("asked for TLS without a certificate");
  const text = (pem: Uint8Array) => Buffer.from(pem).toString("latin1");
  return {
    cert: text(serverCreds.cert),
    key: text(serverCreds.key),
    clientCa: clientTlsCert.length === 0 ? undefined : text(clientTlsCert),
  };
}
