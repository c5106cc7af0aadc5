import { tmpdir } from "node:os";
import { startChildServer } from "../../../test/support/child-server.ts";
import { freePort } from "../../../test/support/free-port.ts";
import { peerProgram } from "../peer-program.ts";
import { protoField } from "../proto-field.ts";
import { untilHealthy } from "../until-healthy.ts";

/**
 * Users that the calls are spread over. The memory store reads all its tuples in turn for each question, so
 * that many of them would measure that.
 */
const users = 10;

/**
 * Two steps, as from a key to its owner's role: who is a member of the workspace that owns a catalog may read
 * the catalog.
 */
const model = {
  schema_version: "1.1",
  type_definitions: [
    { type: "user" },
    {
      type: "workspace",
      relations: { member: { this: {} } },
      metadata: { relations: { member: { directly_related_user_types: [{ type: "user" }] } } },
    },
    {
      type: "catalog",
      relations: {
        workspace: { this: {} },
        reader: {
          tupleToUserset: {
            tupleset: { relation: "workspace" },
            computedUserset: { relation: "member" },
          },
        },
      },
      metadata: { relations: { workspace: { directly_related_user_types: [{ type: "workspace" }] } } },
    },
  ],
};

export interface OpenFgaPeer {
  readonly pid: number;
  readonly grpcPort: number;
  /** Of the openfga.v1.OpenFGAService: CheckRequests that are allowed. */
  readonly checks: readonly Buffer[];
  /** What their answers begin with. */
  readonly allowed: Buffer;
  stop(): Promise<void>;
}

/** OpenFGA with its memory store, and without the log of requests that it writes unless told otherwise. */
export async function startOpenFgaPeer(): Promise<OpenFgaPeer> {
  const grpcPort = await freePort();
  const httpPort = await freePort();
  const server = await startChildServer({
    name: "OpenFGA",
    command: await peerProgram.openfga(),
    args: ["run"],
    env: {
      OPENFGA_DATASTORE_ENGINE: "memory",
      OPENFGA_GRPC_ADDR: `127.0.0.1:${grpcPort}`,
      OPENFGA_HTTP_ADDR: `127.0.0.1:${httpPort}`,
      OPENFGA_LOG_LEVEL: "warn",
      OPENFGA_METRICS_ENABLED: "false",
      OPENFGA_PLAYGROUND_ENABLED: "false",
    },
    cwd: tmpdir(),
    // It warns, without TLS, and does not say when it serves.
    ready: /./,
  });
  const url = `http://127.0.0.1:${httpPort}`;
  await untilHealthy(`${url}/healthz`);
  const { storeId, modelId } = await fill(url);
  return {
    pid: server.pid,
    grpcPort,
    checks: Array.from({ length: users }, (_, number) =>
      // CheckRequest: store_id, tuple_key (user, relation, object), authorization_model_id.
      Buffer.concat([
        protoField(1, storeId),
        protoField(2, protoField(1, userOf(number)), protoField(2, "reader"), protoField(3, "catalog:items")),
        protoField(4, modelId),
      ]),
    ),
    // CheckResponse.allowed is true.
    allowed: Buffer.from([0x08, 0x01]),
    stop: () => server.end("SIGTERM"),
  };
}

async function fill(url: string): Promise<{ storeId: string; modelId: string }> {
  const { id: storeId } = await post<{ id: string }>(`${url}/stores`, { name: "benchmark" });
  const { authorization_model_id: modelId } = await post<{ authorization_model_id: string }>(
    `${url}/stores/${storeId}/authorization-models`,
    model,
  );
  const members = Array.from({ length: users }, (_, number) => ({
    user: userOf(number),
    relation: "member",
    object: "workspace:one",
  }));
  const owner = { user: "workspace:one", relation: "workspace", object: "catalog:items" };
  await post(`${url}/stores/${storeId}/write`, { writes: { tuple_keys: [owner, ...members] } });
  return { storeId, modelId };
}

function userOf(number: number): string {
  return `user:user-${number}`;
}

async function post<Answer>(url: string, body: object): Promise<Answer> {
  const response = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${text}`);
  return JSON.parse(text) as Answer;
}
