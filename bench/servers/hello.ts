// The least that Connect on our transport can do: decode a request of one string, encode an answer of one
// enum. Everything that a Check costs above it is Tollgate's.
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { createListener } from "../../src/http2/listener.ts";

const onRequest = connectNodeAdapter({
  routes: (router) =>
    router.service(Health, { check: () => ({ status: HealthCheckResponse_ServingStatus.SERVING }) }),
});
const address = await createListener({ onRequest }).listen({ kind: "tcp", host: "127.0.0.1", port: 0 });
if (address.kind !== "tcp") throw new Error("asked for TCP");
process.stdout.write(`ready http://127.0.0.1:${address.port}\n`);
