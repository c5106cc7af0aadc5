import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** One of the `tollgate serve` processes under test. */
export interface AskedServer {
  /** Of the process now running: its number among the servers, and how often it was started. */
  readonly name: string;
  readonly isUp: boolean;
  readonly url: string;
  readonly client: Client<typeof AuthorizationService>;
  /** SIGKILL, then a new process, on the same data. */
  killAndRestart(): Promise<void>;
  output(): string;
  stop(): Promise<void>;
}

/** With a network of its own between it and Redis. */
export interface ExactServer extends AskedServer {
  readonly proxy: TcpProxy;
}

export async function startExactServer(options: {
  number: number;
  redisPort: number;
  env: Readonly<Record<string, string>>;
}): Promise<ExactServer> {
  const proxy = await startTcpProxy({ toPort: options.redisPort });
  const server = await startAskedServer({
    number: options.number,
    env: { ...options.env, REDIS_URL: `redis://127.0.0.1:${proxy.port}` },
    // A start that cannot reach Redis fails, as it should.
    beforeRestart: () => proxy.calm(),
  });
  const stopServer = server.stop;
  return Object.assign(server, {
    proxy,
    async stop() {
      await stopServer();
      await proxy.stop();
    },
  });
}

export async function startAskedServer({
  number,
  env,
  beforeRestart = () => {},
}: {
  number: number;
  /** With REDIS_URL. */
  env: Readonly<Record<string, string>>;
  /** Called when the process is gone and the next is yet to start. */
  beforeRestart?: () => void;
}): Promise<AskedServer> {
  let starts = 0;
  let isUp = false;
  let running = await start();

  async function start(): Promise<Running> {
    const server = await startTollgate({ env });
    starts++;
    isUp = true;
    const sessionManager = new Http2SessionManager(server.url);
    const authorization = `Bearer ${server.adminToken}`;
    const transport = createGrpcTransport({
      baseUrl: server.url,
      sessionManager,
      interceptors: [
        (next) => (request) => {
          request.header.set("authorization", authorization);
          return next(request);
        },
      ],
    });
    return { server, sessionManager, client: createClient(AuthorizationService, transport) };
  }

  return {
    get name() {
      return `${number}.${starts}`;
    },
    get isUp() {
      return isUp;
    },
    get url() {
      return running.server.url;
    },
    get client() {
      return running.client;
    },
    async killAndRestart() {
      const { server, sessionManager } = running;
      await server.kill();
      isUp = false;
      sessionManager.abort();
      beforeRestart();
      running = await start();
    },
    output: () => running.server.output(),
    async stop() {
      running.sessionManager.abort();
      await running.server.stop();
    },
  };
}

interface Running {
  readonly server: TollgateProcess;
  readonly sessionManager: Http2SessionManager;
  readonly client: Client<typeof AuthorizationService>;
}
