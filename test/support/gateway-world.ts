import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChildServer, startChildServer } from "./child-server.ts";
import { freePort } from "./free-port.ts";
import type { GatewayAddress } from "./gateway-client.ts";
import { createJsonApi, createKey, type JsonApi, putWorld, succeed } from "./json-api.ts";
import { reapFolder } from "./reaper.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { inRepository } from "./repository.ts";
import { PATIENT, startTollgate, type TollgateProcess } from "./server-process.ts";

/** A gateway that is run as its example has it, but with these ports, this policy and this token. */
export interface GatewayPlace {
  /** An empty one, of its own. */
  readonly folder: string;
  readonly port: number;
  readonly tollgatePort: number;
  readonly apiPort: number;
  readonly api: string;
  readonly token: string;
  /** Undefined: plain HTTP, as in the example. */
  readonly certificate: Certificate | undefined;
}

export type StartGateway = (place: GatewayPlace) => Promise<ChildServer>;

/** Paths of PEM files. */
interface Certificate {
  readonly certificate: string;
  readonly key: string;
}

/** Tollgate with a Redis of its own, the upstream of the examples, and gateways before it, one a policy. */
export interface GatewayWorld {
  readonly tollgate: TollgateProcess;
  readonly redis: RedisServer;
  readonly call: JsonApi;
  /** The caller token that the gateways have. */
  readonly token: string;
  /** The example as it is: policies/retool.yaml. */
  readonly retool: GatewayAddress;
  /** policies/retrac.yaml, which asks for HTTPS. */
  readonly retrac: GatewayAddress;
  /** SHOP. */
  readonly shop: GatewayAddress;
  /** A key of retool that may only read users, in workspace w1. */
  readonly users: { readonly id: string; readonly secret: string };
  /** A full access key of retrac, whose owner is in the workspaces w1 and w2. */
  readonly fullAccess: { readonly id: string; readonly secret: string };
  /** A key of SHOP. */
  readonly orders: { readonly id: string; readonly secret: string };
  /** All that were started. */
  readonly gateways: readonly ChildServer[];
  /** One more gateway for retool, before servers of the test's own. */
  startGateway(ports: { tollgatePort: number; apiPort: number }): Promise<GatewayAddress>;
  stop(): Promise<void>;
}

/** Has a public route, and refuses while its points cannot be counted. */
const SHOP = `
api: shop
hosts: [shop.example]
https: any
on_outage: deny
permissions: {orders.read: 1}
roles: {clerk: {permissions: ["*"], creates_keys: true, manages_keys: own}}
scopes: {orders.read: {}}
key_types: {token: {prefix: shop_, workspace: bound, scopes: selected, acts_as: creator}}
routes:
  - {match: "GET /orders", permission: orders.read}
  - {match: "GET /status", access: public}
limits: [{name: points, per: workspace, points: 1000, window: 60s}]
`;

export async function startGatewayWorld(start: StartGateway): Promise<GatewayWorld> {
  const folder = temporaryFolder();
  const redis = await startRedis();
  const tollgate = await startTollgate({
    env: {
      REDIS_URL: redis.url,
      TOLLGATE_POLICIES: policiesIn(folder),
      TOLLGATE_POINTS_BUDGET: PATIENT,
    },
  });
  const call = createJsonApi(tollgate.url, tollgate.adminToken);
  const upstream = await startUpstream();
  const apis = ["retool", "retrac", "shop"];
  const caller = await succeed(
    call("CallerService/CreateCallerToken", { name: "gateway", grants: ["GRANT_CHECK"], apis }),
  );
  const token: string = caller.body.secret;
  const certificate = makeCertificate(folder);
  const gateways: ChildServer[] = [];

  async function startOne(place: {
    api: string;
    tollgatePort: number;
    apiPort: number;
    certificate?: Certificate;
  }): Promise<GatewayAddress> {
    const port = await freePort();
    const own = { folder: temporaryFolder(), port, token, certificate: place.certificate };
    gateways.push(await start({ ...place, ...own }));
    return { port, isTls: place.certificate !== undefined };
  }

  const ports = { tollgatePort: Number(new URL(tollgate.url).port), apiPort: upstream.port };
  const [retool, retrac, shop] = await Promise.all([
    startOne({ api: "retool", ...ports }),
    startOne({ api: "retrac", ...ports, certificate }),
    startOne({ api: "shop", ...ports }),
    putDirectory(call),
  ]);
  const [users, fullAccess, orders] = await Promise.all([
    createKey(call, { workspaceId: "w1", scopes: ["users.read"] }),
    createKey(call, { workspaceId: "w1", api: "retrac", type: "full_access", scopes: [] }),
    createKey(call, { workspaceId: "w1", api: "shop", type: "token", scopes: ["orders.read"] }),
  ]);

  return {
    tollgate,
    redis,
    call,
    token,
    retool,
    retrac,
    shop,
    users,
    fullAccess,
    orders,
    gateways,
    startGateway: (own) => startOne({ api: "retool", ...own }),
    async stop() {
      // Not SIGKILL: nginx's workers would outlive it.
      await Promise.all([...gateways, upstream.server].map((server) => server.end("SIGTERM")));
      await tollgate.kill();
      await redis.stop();
    },
  };
}

/** An example's file with other values in it; throws where what is to be replaced does not stand there. */
export function exampleWith(path: readonly string[], values: Readonly<Record<string, string>>): string {
  let text = readFileSync(inRepository("examples", ...path), "utf8");
  for (const [from, to] of Object.entries(values)) {
    if (!text.includes(from)) throw new Error(`there is no ${from} in examples/${path.join("/")}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

/** A server of the test's own, on a free port of 127.0.0.1. */
export async function startStub(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ readonly port: number; readonly server: Server }> {
  const server = createServer(answer);
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { port, server };
}

async function startUpstream(): Promise<{ port: number; server: ChildServer }> {
  const server = await startChildServer({
    name: "upstream",
    command: process.execPath,
    args: [inRepository("examples", "upstream", "upstream.js")],
    env: { PORT: "0" },
    ready: /^upstream on/,
  });
  return { port: Number(/:(\d+)$/.exec(server.readyLine)?.[1]), server };
}

async function putDirectory(call: JsonApi): Promise<void> {
  await Promise.all(["w1", "w2", "spent"].map((id) => putWorld(call, id)));
  await succeed(call("DirectoryService/PutWorkspace", { workspace: { directory: "shop", id: "w1" } }));
  const member = { directory: "shop", workspaceId: "w1", userId: "ann", role: "clerk" };
  await succeed(call("DirectoryService/PutMember", { member }));
}

function policiesIn(folder: string): string {
  const policies = join(folder, "policies");
  mkdirSync(policies);
  for (const name of ["retool.yaml", "retrac.yaml"]) {
    copyFileSync(inRepository("policies", name), join(policies, name));
  }
  writeFileSync(join(policies, "shop.yaml"), SHOP);
  return policies;
}

function makeCertificate(folder: string): Certificate {
  const made = { certificate: join(folder, "certificate.pem"), key: join(folder, "key.pem") };
  const wanted = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.retrac.co"];
  execFileSync("openssl", ["req", ...wanted, "-out", made.certificate, "-keyout", made.key], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  return made;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-gateway-"));
  // nginx's workers, who have no rights where root starts it, write what they buffer below it.
  chmodSync(folder, 0o755);
  reapFolder(folder);
  return folder;
}
