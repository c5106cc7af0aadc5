import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type EnvoyProcess, startEnvoy } from "../support/envoy.ts";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "../support/json-api.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { documentedYaml } from "./envoy-documentation.ts";
import { gatewayToken } from "./envoy-stage.ts";

/** An API that speaks gRPC, behind Envoy. Its methods' paths are routes of a policy, as any others. */
let tollgate: TollgateProcess;
let call: JsonApi;
let api: Server;
let envoy: EnvoyProcess<"api">;
let client: Client;
/** What the API was told of who calls. */
const arrived: Record<string, unknown>[] = [];

const asIs = (bytes: Buffer) => bytes;

beforeAll(async () => {
  tollgate = await startTollgate({ env: { TOLLGATE_POINTS_BUDGET: PATIENT } });
  call = createJsonApi(tollgate.url, tollgate.adminToken);
  await putWorld(call, "w1");
  api = new Server();
  const method = {
    path: "/api/v2/users",
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  api.addService(
    { createUser: method },
    {
      createUser(
        asked: { request: Buffer; metadata: Metadata },
        answer: (error: null, bytes: Buffer) => void,
      ) {
        arrived.push(asked.metadata.getMap());
        answer(null, asked.request);
      },
    },
  );
  const upstreamPort = await new Promise<number>((resolve, reject) => {
    api.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  envoy = await startEnvoy({
    example: "envoy.yaml",
    token: await gatewayToken(call),
    tollgatePort: Number(new URL(tollgate.url).port),
    upstreamPort,
    listeners: { api: {} },
    clusters: { upstream: documentedYaml("envoy.md", "An API that speaks gRPC") },
    timeout: "5s",
  });
  client = new Client(`127.0.0.1:${envoy.ports.api}`, credentials.createInsecure(), {
    "grpc.default_authority": "retool.example.com",
  });
});

afterAll(async () => {
  client?.close();
  await envoy?.stop();
  api?.forceShutdown();
  await tollgate?.stop();
});

/** Answers what the API said, or the error that the client got. */
function createUser(
  metadata: Readonly<Record<string, string>>,
  path = "/api/v2/users",
): Promise<Buffer | ServiceError> {
  const sent = new Metadata();
  for (const [name, value] of Object.entries(metadata)) sent.set(name, value);
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, asIs, asIs, Buffer.from("user"), sent, (error, bytes) =>
      resolve(error ?? (bytes as Buffer)),
    );
  });
}

describe("a gRPC client through Envoy", () => {
  it("reaches the API with a key, which never arrives", async () => {
    const { id, secret } = await createKey(call, { workspaceId: "w1", scopes: ["users.write"] });
    const answer = await createUser({ authorization: `Bearer ${secret}`, "x-tollgate-user": "root" });
    expect(answer.toString()).toBe("user");
    expect(arrived.at(-1)).toMatchObject({ "x-tollgate-key-id": id, "x-tollgate-workspace": "w1" });
    expect(arrived.at(-1)).not.toHaveProperty("authorization");
    expect(arrived.at(-1)).not.toHaveProperty("x-tollgate-user");
  });

  it("gets each refusal as the status of gRPC that means it, with what to do in the metadata", async () => {
    const before = arrived.length;
    const { secret } = await createKey(call, { workspaceId: "w1", scopes: ["users.read"] });
    const bearer = { authorization: `Bearer ${secret}` };

    const missing = (await createUser({})) as ServiceError;
    expect([missing.code, missing.details]).toEqual([status.UNAUTHENTICATED, "An API key is required."]);
    expect(missing.metadata.get("www-authenticate")).toEqual(['Bearer realm="retool"']);

    const forbidden = (await createUser(bearer)) as ServiceError;
    expect([forbidden.code, forbidden.details]).toEqual([
      status.PERMISSION_DENIED,
      "The API key's scopes do not allow this.",
    ]);
    expect(forbidden.metadata.get("www-authenticate")).toEqual([
      expect.stringContaining('scope="users.write"'),
    ]);

    const unknown = (await createUser(bearer, "/api/v2/nothing")) as ServiceError;
    expect(unknown.code).toBe(status.UNIMPLEMENTED);

    await succeed(call("ConsumePoints", { api: "retool", key: secret, points: 300, mode: "MODE_RECORD" }));
    const writer = await createKey(call, { workspaceId: "w1", scopes: ["users.write"] });
    const limited = (await createUser({ authorization: `Bearer ${writer.secret}` })) as ServiceError;
    expect(limited.code).toBe(status.RESOURCE_EXHAUSTED);
    expect(Number(limited.metadata.get("retry-after")[0])).toBeGreaterThan(0);
    expect(limited.metadata.get("ratelimit-policy")).toEqual(['"points";q=300;w=60']);
    expect(arrived).toHaveLength(before);
  });
});
