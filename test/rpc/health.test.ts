import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, expect, test } from "vitest";
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from "../../src/gen/grpc/health/v1/health_pb.ts";
import type { ServingReport } from "../../src/rpc/serving.ts";
import { grpcJsClient } from "./clients.ts";
import { startTestServer, type TestServer } from "./test-server.ts";

let server: TestServer;
let report: ServingReport;
afterEach(() => server.stop());

async function start(): Promise<ReturnType<typeof createClient<typeof Health>>> {
  report = { serving: true, stores: { postgres: true, redis: true } };
  server = await startTestServer({ report: () => report });
  return createClient(Health, createGrpcTransport({ baseUrl: server.url }));
}

test("Check tells the state of the whole and of each service by name, to grpc-js too", async () => {
  const client = await start();
  for (const service of ["", "tollgate.v1.AuthorizationService", "grpc.health.v1.Health"]) {
    expect((await client.check({ service })).status).toBe(Status.SERVING);
  }
  report = { serving: false, stores: { postgres: false, redis: true } };
  expect((await client.check({ service: "" })).status).toBe(Status.NOT_SERVING);

  const foreign = grpcJsClient(server, "grpc.health.v1.Health");
  const answer = await new Promise((resolve, reject) => {
    const check = foreign["check"] as unknown as (
      request: object,
      done: (e: unknown, a: unknown) => void,
    ) => void;
    check.call(foreign, {}, (error, value) => (error === null ? resolve(value) : reject(error)));
  });
  foreign.close();
  expect(answer).toEqual({ status: "NOT_SERVING" });
});

test("Check of a service that is not there is NOT_FOUND", async () => {
  const client = await start();
  const error = await client.check({ service: "tollgate.v1.Nothing" }).catch(ConnectError.from);
  expect(error).toMatchObject({ code: Code.NotFound });
});

test("List tells all states at once", async () => {
  const client = await start();
  const { statuses } = await client.list({});
  expect(Object.keys(statuses)).toContain("tollgate.v1.DirectoryService");
  expect(Object.values(statuses).map(({ status }) => status)).toEqual(
    Object.values(statuses).map(() => Status.SERVING),
  );
});

test("Watch tells the state at once, then each change, and ends at shutdown after it has told so", async () => {
  const client = await start();
  const seen: Status[] = [];
  for await (const { status } of client.watch({ service: "" })) {
    seen.push(status);
    if (seen.length === 1) report = { ...report, serving: false };
    if (seen.length === 2) report = { ...report, serving: true };
    if (seen.length === 3) server.stopping.abort();
  }
  expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]);
});

test("Watch of a service that is not there says SERVICE_UNKNOWN and stays", async () => {
  const client = await start();
  const seen: Status[] = [];
  for await (const { status } of client.watch({ service: "nothing" })) {
    seen.push(status);
    server.stopping.abort();
  }
  expect(seen).toEqual([Status.SERVICE_UNKNOWN]);
});

test("a Watch that its client leaves is let go", async () => {
  const client = await start();
  const controller = new AbortController();
  const watching = (async () => {
    for await (const _ of client.watch({ service: "" }, { signal: controller.signal })) controller.abort();
  })();
  await expect(watching).rejects.toMatchObject({ code: Code.Canceled });
  await server.listener.drain(600_000);
});

test("GET /healthz is 200 while serving and 503 otherwise, with the stores' state", async () => {
  await start();
  const up = await fetch(`${server.url}/healthz`);
  expect(up.status).toBe(200);
  expect(await up.json()).toEqual({ status: "serving", stores: { postgres: true, redis: true } });
  report = { serving: false, stores: { postgres: false, redis: true } };
  const down = await fetch(`${server.url}/healthz?verbose`);
  expect(down.status).toBe(503);
  expect(await down.json()).toEqual({ status: "not_serving", stores: { postgres: false, redis: true } });
  report = { serving: true, stores: {} };
  server.stopping.abort();
  expect((await fetch(`${server.url}/healthz`)).status).toBe(503);
});

test("other paths are 404 in JSON, another method on /healthz 405, a GET of an RPC 405", async () => {
  await start();
  const missing = await fetch(`${server.url}/nothing`);
  expect([missing.status, await missing.json()]).toEqual([
    404,
    { code: "not_found", message: "Nothing is here." },
  ]);
  const posted = await fetch(`${server.url}/healthz`, { method: "POST", body: "x" });
  expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  expect((await fetch(`${server.url}/healthz`, { method: "HEAD" })).status).toBe(200);
  expect((await fetch(`${server.url}/tollgate.v1.AuthorizationService/Check`)).status).toBe(405);
});
