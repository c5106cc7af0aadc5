// The least that Connect on node:http2 can do: decode a request of one string, encode an answer of one enum.
import { createServer } from "node:http2";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { Health, HealthCheckResponse_ServingStatus } from "../../src/gen/grpc/health/v1/health_pb.ts";
import { listenAsHello } from "./listen-as-hello.ts";

const onRequest = connectNodeAdapter({
  routes: (router) =>
    router.service(Health, { check: () => ({ status: HealthCheckResponse_ServingStatus.SERVING }) }),
});
listenAsHello(createServer(onRequest));
