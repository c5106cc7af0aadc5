import { connect } from "node:net";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { toJsonString } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import type { Command } from "commander";
import type { Flags } from "../config.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { CallerService } from "../gen/tollgate/v1/caller_service_pb.ts";
import { DirectoryService } from "../gen/tollgate/v1/directory_service_pb.ts";
import { PointsService } from "../gen/tollgate/v1/points_service_pb.ts";
import { ReplicaService } from "../gen/tollgate/v1/replica_service_pb.ts";
import { type ClientConfig, readClientConfig } from "./client-config.ts";
import type { Terminal } from "./terminal.ts";

/** One run of a command: its terminal, its global options, and the server that it talks to. */
export interface Session {
  readonly terminal: Terminal;
  /** --json: results are JSON, one object a line. */
  readonly asJson: boolean;
  readonly keys: Client<typeof AuthorizationService>;
  readonly directory: Client<typeof DirectoryService>;
  readonly points: Client<typeof PointsService>;
  readonly callers: Client<typeof CallerService>;
  readonly replicas: Client<typeof ReplicaService>;
  /** The server's address, for messages. */
  readonly url: string;
}

/** Reads the global options of the command that runs. Throws ConfigError. */
export function openSession(command: Command, terminal: Terminal): Session {
  const config = readClientConfig(terminal.env, flagsOf(command));
  const transport = createConnectTransport({
    ...(config.server.kind === "unix"
      ? {
          baseUrl: "http://localhost",
          httpVersion: "1.1",
          nodeOptions: { createConnection: socketTo(config.server.path) },
        }
      : { baseUrl: config.server.baseUrl, httpVersion: "1.1" }),
    defaultTimeoutMs: 15_000,
    interceptors: [withToken(config)],
  });
  return {
    terminal,
    asJson: isJson(command),
    keys: createClient(AuthorizationService, transport),
    directory: createClient(DirectoryService, transport),
    points: createClient(PointsService, transport),
    callers: createClient(CallerService, transport),
    replicas: createClient(ReplicaService, transport),
    url: config.url,
  };
}

/** The options of a command and of those above it, by long name; those that take no value are left out. */
export function flagsOf(command: Command): Flags {
  const flags: Record<string, string> = {};
  for (let current: Command | null = command; current !== null; current = current.parent) {
    for (const option of current.options) {
      const value: unknown = current.opts()[option.attributeName()];
      if (typeof value === "string" && option.long) flags[option.long.slice(2)] ??= value;
    }
  }
  return flags;
}

export function isJson(command: Command): boolean {
  return command.optsWithGlobals().json === true;
}

/** A message as one line of JSON; false and 0 are written. */
export function messageJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return toJsonString(schema, message, { alwaysEmitImplicit: true });
}

function socketTo(path: string) {
  return () => connect({ path });
}

/** Sends the token, and says which server it was that did not answer. */
function withToken(config: ClientConfig): Interceptor {
  return (next) => async (request) => {
    if (config.token !== undefined) request.header.set("authorization", `Bearer ${config.token}`);
    try {
      return await next(request);
    } catch (error) {
      throw namingServer(ConnectError.from(error), config.url);
    }
  };
}

/** An error without Tollgate's details comes from the network, from a proxy, or from another kind of server. */
function namingServer(error: ConnectError, url: string): ConnectError {
  if (error.findDetails(ErrorInfoSchema).length > 0) return error;
  const { code = "" } = (error.cause ?? {}) as NodeJS.ErrnoException;
  const reason = networkReasons[code] ?? (error.rawMessage || Code[error.code]);
  const kind = code in networkReasons ? Code.Unavailable : error.code;
  return new ConnectError(`no answer from ${url}: ${reason}`, kind, undefined, undefined, error.cause);
}

const networkReasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection is refused; is `tollgate serve` running there?",
  ENOENT: "there is no such socket; is `tollgate serve` running there?",
  ENOTFOUND: "the host name is not known",
  ECONNRESET: "the connection was closed",
};
