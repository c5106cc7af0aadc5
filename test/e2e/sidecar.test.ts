import { type ChildProcess, spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { inRepository } from "../support/repository.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";

/** The example, with a foreign gRPC client (grpc-js), before a small API. */
let tollgate: TollgateProcess;
let call: JsonApi;
let sidecar: ChildProcess;
let sidecarUrl: string;
let upstream: Server;

beforeAll(async () => {
  tollgate = await startTollgate();
  call = createJsonApi(tollgate.url, tollgate.adminToken);
  await putWorld(call, "w1");
  upstream = createServer((request, response) => response.end(JSON.stringify(request.headers)));
  const upstreamPort = await new Promise<number>((resolve) => {
    upstream.listen(0, "127.0.0.1", () => resolve((upstream.address() as { port: number }).port));
  });
  const token = await succeed(
    call("CallerService/CreateCallerToken", { name: "sidecar", grants: ["GRANT_CHECK"], apis: ["retool"] }),
  );
  sidecar = spawn(process.execPath, [inRepository("examples", "sidecar", "sidecar.js")], {
    env: {
      TOLLGATE_ADDRESS: tollgate.url.replace("http://", ""),
      TOLLGATE_TOKEN: token.body.secret,
      API: "retool",
      PORT: "0",
      UPSTREAM: `http://127.0.0.1:${upstreamPort}`,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  sidecarUrl = await new Promise<string>((resolve, reject) => {
    sidecar.once("exit", (code) => reject(new Error(`the sidecar ended with ${code}`)));
    sidecar.stdout?.on("data", (data: Buffer) => resolve(/http:\S+/.exec(data.toString())?.[0] ?? ""));
  });
});

afterAll(async () => {
  sidecar?.kill();
  upstream?.close();
  await tollgate?.stop();
});

it("passes admitted requests on as who they are, without the key, whatever the client says of himself", async () => {
  const { id, secret } = await createKey(call, { workspaceId: "w1" });
  const response = await fetch(`${sidecarUrl}/api/v2/users`, {
    headers: { authorization: `Bearer ${secret}`, "x-tollgate-workspace": "other" },
  });
  expect(response.status).toBe(200);
  const seen = await response.json();
  expect(seen).toMatchObject({ "x-tollgate-key-id": id, "x-tollgate-workspace": "w1" });
  expect(JSON.stringify(seen)).not.toContain(secret);
});

it("answers refused requests as Tollgate says", async () => {
  const { secret } = await createKey(call, { workspaceId: "w1", scopes: ["users.read"] });
  const ask = (path: string, headers: Record<string, string>) => fetch(`${sidecarUrl}${path}`, { headers });
  expect((await ask("/api/v2/users", {})).status).toBe(401);
  expect((await ask("/api/v2/users", { cookie: `session=${secret}` })).status).toBe(401);
  const bearer = { authorization: `Bearer ${secret}` };
  expect((await ask("/api/v2/groups", bearer)).status).toBe(403);
  expect((await ask("/api/v2//groups", bearer)).status).toBe(404);
  await succeed(call("ConsumePoints", { api: "retool", key: secret, points: 300, mode: "MODE_RECORD" }));
  const limited = await ask("/api/v2/users", bearer);
  expect(limited.status).toBe(429);
  expect(Number(limited.headers.get("retry-after"))).toBeGreaterThan(0);
});
