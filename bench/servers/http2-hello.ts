// The floor under any gRPC service on our transport: node:http2 carries the bytes of the hello's answer,
// and nothing is decoded. No framework stands between.
import type { Http2ServerResponse } from "node:http2";
import { createListener } from "../../src/http2/listener.ts";

/** One message, not compressed: HealthCheckResponse with the status SERVING. */
const frame = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01]);

const listener = createListener({
  onRequest(request, response) {
    if (!("stream" in request)) throw new Error("the load client speaks HTTP/2");
    const answer = response as Http2ServerResponse;
    request.stream.on("data", () => {});
    request.stream.once("end", () => {
      answer.writeHead(200, { "content-type": "application/grpc+proto" });
      answer.addTrailers({ "grpc-status": "0" });
      answer.end(frame);
    });
  },
});
const address = await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
if (address.kind !== "tcp") throw new Error("asked for TCP");
process.stdout.write(`ready http://127.0.0.1:${address.port}\n`);
