import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { AuthorizationService } from "../../src/gen/tollgate/v1/authorization_service_pb.ts";
import { startTollgate, type TollgateProcess } from "../support/server-process.ts";
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts";

/** One of the `tollgate serve` processes under test, with a network of its own between it and Redis. */
export interface ExactServer {
  readonly proxy: TcpProxy;
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

export async function startExactServer(options: {
  number: number;
  redisPort: number;
  env: Readonly<Record<string, string>>;
}): Promise<ExactServer> {
  const proxy = await startTcpProxy({ toPort: options.redisPort });
  const env = { ...options.env, REDIS_URL: `redis://127.0.0.1:${proxy.port}` };
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
    proxy,
    get name() {
      return `${options.number}.${starts}`;
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
      // A start that cannot reach Redis fails, as it should.
      proxy.calm();
      running = await start();
    },
    output: () => running.server.output(),
    async stop() {
      running.sessionManager.abort();
      await running.server.stop();
      await proxy.stop();
    },
  };
}

interface Running {
  readonly server: TollgateProcess;
  readonly sessionManager: Http2SessionManager;
  readonly client: Client<typeof AuthorizationService>;
}
