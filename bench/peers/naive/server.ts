// What a team writes in an afternoon: grpc-js, ioredis, and a counter by key. Knows no key, no right and no
// workspace; counts two steps (INCR, then EXPIRE) that a crash can part. It answers Tollgate's own Check, so
// that both are sent the same bytes.
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { Redis } from "ioredis";
import { inRepository } from "../../../test/support/repository.ts";

interface Check {
  key: string;
}
interface Answer {
  allowed: boolean;
  http_status: number;
}

const limit = 1_000_000;
const windowSeconds = 60;
const redisUrl = process.env["REDIS_URL"];
if (redisUrl === undefined) throw new Error("REDIS_URL is not set");
const redis = new Redis(redisUrl);

const definition = loadSync("tollgate/v1/authorization_service.proto", {
  includeDirs: [inRepository("proto"), inRepository("proto", "vendor")],
  keepCase: true,
});
const service = serviceOf(loadPackageDefinition(definition));
const server = new Server();
server.addService(service, {
  Check(call: ServerUnaryCall<Check, Answer>, reply: sendUnaryData<Answer>) {
    const counter = `naive:${call.request.key}`;
    Promise.all([redis.incr(counter), redis.expire(counter, windowSeconds)]).then(
      ([used]) => reply(null, { allowed: used <= limit, http_status: used <= limit ? 200 : 429 }),
      (error: Error) => reply(error),
    );
  },
});
server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.stdout.write(`ready http://127.0.0.1:${port}\n`);
});

type Package = ReturnType<typeof loadPackageDefinition>;

function serviceOf(definitions: Package) {
  const v1 = (definitions["tollgate"] as Package)["v1"] as Package;
  const client = v1["AuthorizationService"];
  if (typeof client !== "function") throw new Error("the proto has no AuthorizationService");
  return client.service;
}
