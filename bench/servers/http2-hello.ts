// The floor under any gRPC service on node:http2: it carries the bytes of the hello's answer, and nothing is
// decoded. No framework stands between.
import { createServer } from "node:http2";
import { listenAsHello } from "./listen-as-hello.ts";

/** One message, not compressed: HealthCheckResponse with the status SERVING. */
const frame = Buffer.from([0, 0, 0, 0, 2, 0x08, 0x01]);

const server = createServer();
server.on("stream", (stream) => {
  stream.on("data", () => {});
  stream.once("end", () => {
    stream.respond({ "content-type": "application/grpc+proto" }, { waitForTrailers: true });
    stream.once("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.end(frame);
  });
});
listenAsHello(server);
