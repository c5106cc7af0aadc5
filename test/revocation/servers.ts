import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** One of the replicas under test, with networks of its own between it and Postgres. */
export interface Replica {
  /** Of its look-ups, writes and renewals. */
  readonly queries: TcpProxy;
  /** Of what it hears of changes. */
  readonly notifications: TcpProxy;
  /** Of the process now running: its number, and how often it was started. */
  readonly name: string;
  readonly state: "up" | "stopped" | "down";
  readonly url: string;
  readonly pid: number;
  readonly client: Client<typeof AuthorizationService>;
  /** SIGSTOP. */
  freeze(): void;
  /** SIGCONT. */
  thaw(): void;
  /** SIGKILL, then a new process. */
  killAndRestart(): Promise<void>;
  output(): string;
  stop(): Promise<void>;
}

export async function startReplica(options: {
  number: number;
  databaseUrl: string;
  env: Readonly<Record<string, string>>;
  /** Otherwise it is connected straight, and the networks are nobody's: they take time, too. */
  isProxied: boolean;
}): Promise<Replica> {
  const toPort = Number(new URL(options.databaseUrl).port);
  const queries = await startTcpProxy({ toPort });
  const notifications = await startTcpProxy({ toPort });
  const urls = options.isProxied
    ? [through(options.databaseUrl, queries), through(options.databaseUrl, notifications)]
    : [options.databaseUrl, options.databaseUrl];
  const env = { ...options.env, DATABASE_URL: urls[0] as string, DATABASE_DIRECT_URL: urls[1] as string };
  let starts = 0;
  let state: Replica["state"] = "down";
  let running = await start();

  async function start(): Promise<Running> {
    const server = await startTollgate({ env });
    starts++;
    state = "up";
    const sessionManager = new Http2SessionManager(server.url);
    const transport = createGrpcTransport({ baseUrl: server.url, sessionManager });
    return { server, sessionManager, client: createClient(AuthorizationService, transport) };
  }

  return {
    queries,
    notifications,
    get name() {
      return `${options.number}.${starts}`;
    },
    get state() {
      return state;
    },
    get url() {
      return running.server.url;
    },
    get pid() {
      return running.server.pid;
    },
    get client() {
      return running.client;
    },
    freeze() {
      running.server.process.kill("SIGSTOP");
      state = "stopped";
    },
    thaw() {
      running.server.process.kill("SIGCONT");
      state = "up";
    },
    async killAndRestart() {
      const { server, sessionManager } = running;
      state = "down";
      await server.kill();
      sessionManager.abort();
      queries.calm();
      notifications.calm();
      running = await start();
    },
    output: () => running.server.output(),
    async stop() {
      running.sessionManager.abort();
      await running.server.stop();
      await Promise.all([queries.stop(), notifications.stop()]);
    },
  };
}

function through(url: string, { port }: TcpProxy): string {
  const proxied = new URL(url);
  proxied.port = String(port);
  return proxied.href;
}

interface Running {
  readonly server: TollgateProcess;
  readonly sessionManager: Http2SessionManager;
  readonly client: Client<typeof AuthorizationService>;
}
