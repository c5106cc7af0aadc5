import { afterAll, beforeAll, expect, test } from "vitest";
import { storeUnavailable, TollgateError } from "../../src/core/errors.ts";
import type { Replicas } from "../../src/core/replicas.ts";
import { ReplicaService } from "../../src/gen/tollgate/v1/replica_service_pb.ts";
import { answerOf, bearer, failureFrom, protocols } from "./clients.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

const { listReplicas } = ReplicaService.method;
const digest = "d".repeat(64);

let server: TestServer;
let list: Replicas["list"];

beforeAll(async () => {
  server = await startTestServer({
    replicas: { list: (caller, deadline) => list(caller, deadline) },
  });
});
afterAll(() => server.stop());

for (const [protocol, call] of Object.entries(protocols)) {
  test(`${protocol}: every field of the core's answer is told`, async () => {
    list = async () => ({
      highest: 2n ** 63n - 1n,
      replicas: [
        {
          id: "r1",
          version: "1.2.3",
          isThis: true,
          state: "live",
          startedMsAgo: 3_000_000_000,
          renewedMsAgo: 1,
          leaseMs: 1500,
          applied: 41n,
          changesBehind: 2n,
          policies: { retrac: digest },
        },
        {
          id: "r2",
          version: "",
          isThis: false,
          state: "lapsed",
          startedMsAgo: 9000,
          renewedMsAgo: 8000,
          leaseMs: 1000,
          applied: 0n,
          changesBehind: 43n,
          policies: {},
        },
      ],
      policies: [{ api: "retrac", policiesAgree: true, digests: [digest] }],
    });
    const answer = await answerOf(call(server, listReplicas, {}, bearer(server.adminToken)));
    // Foreign clients write a duration as the message that it is.
    const isJson = protocol !== "gRPC by grpc-js";
    const time = (seconds: number, nanos: number, text: string) =>
      isJson ? text : { seconds: String(seconds), nanos };
    expect(answer).toEqual({
      highestChange: "9223372036854775807",
      replicas: [
        {
          id: "r1",
          version: "1.2.3",
          isThis: true,
          state: "REPLICA_STATE_LIVE",
          startedAgo: time(3_000_000, 0, "3000000s"),
          renewedAgo: time(0, 1_000_000, "0.001s"),
          lease: time(1, 500_000_000, "1.500s"),
          appliedChange: "41",
          changesBehind: "2",
          policies: { retrac: digest },
        },
        {
          id: "r2",
          version: "",
          isThis: false,
          state: "REPLICA_STATE_LAPSED",
          startedAgo: time(9, 0, "9s"),
          renewedAgo: time(8, 0, "8s"),
          lease: time(1, 0, "1s"),
          appliedChange: "0",
          changesBehind: "43",
          policies: {},
        },
      ],
      policies: [{ api: "retrac", policiesAgree: true, digests: [digest] }],
    });
  });
}

const call = protocols["Connect JSON on HTTP/1.1"]!;

test.each([
  [storeUnavailable("postgres", new Error("gone")), { code: "unavailable", reason: "STORE_UNAVAILABLE" }],
  [
    new TollgateError("permission_denied", "This is for all.", { reason: "API_NOT_GRANTED" }),
    { code: "permission_denied", reason: "API_NOT_GRANTED" },
  ],
])("%#: an error of the core is told as any other", async (error, told) => {
  list = async () => {
    throw error;
  };
  expect(await failureFrom(call(server, listReplicas, {}, bearer(server.adminToken)))).toMatchObject(told);
});

test("the core is told who asks, and until when", async () => {
  const begun = performance.now();
  const asked: unknown[] = [];
  list = async (caller, deadline) => {
    asked.push([...caller.apis], deadline > begun && Number.isFinite(deadline));
    return { highest: 0n, replicas: [], policies: [] };
  };
  const token = server.issueToken(["admin"], { apis: ["retool"] });
  await answerOf(call(server, listReplicas, {}, bearer(token)));
  expect(asked).toEqual([["retool"], true]);
});
