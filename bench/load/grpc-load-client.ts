import { openGrpcConnection } from "./grpc-connection.ts";
import type { LoadClient } from "./load-client.ts";
import { requestBlock } from "./request-block.ts";
import { runPhase } from "./run-phase.ts";

/** What to send, and how much of it at a time. */
export interface GrpcLoadTarget {
  /** http://host:port; HTTP/2 with prior knowledge. */
  readonly url: string;
  /** The method's, such as `/tollgate.v1.AuthorizationService/Check`. */
  readonly path: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Request messages, sent in turn. */
  readonly messages: readonly Uint8Array[];
  /** What a reply message must begin with to count as expected. */
  readonly expectedPrefix: Uint8Array;
  readonly connections: number;
  /** Callers on each connection. */
  readonly inFlight: number;
}

/**
 * Unary gRPC calls from bytes made beforehand: the client shares its machine with what it measures. Unlike
 * HTTP load tools it reads grpc-status, which stands in the trailers: HTTP says 200 to a failed call.
 */
export async function createGrpcLoadClient(target: GrpcLoadTarget): Promise<LoadClient> {
  const { url, expectedPrefix, inFlight } = target;
  const frames = target.messages.map(lengthPrefixed);
  if (frames.length === 0) throw new Error("there is no message to send");
  const block = requestBlock([
    [":authority", new URL(url).host],
    [":path", target.path],
    ["content-type", "application/grpc+proto"],
    ["te", "trailers"],
    ...Object.entries(target.headers),
  ]);
  const connections = await Promise.all(
    Array.from({ length: target.connections }, () =>
      openGrpcConnection({ url, block, expectedPrefix, inFlight }),
    ),
  );
  let next = 0;
  // One of each connection after the other, so that the first few are of different ones.
  const callers = Array.from({ length: inFlight }, () =>
    connections.map((connection) => () => connection.call(frames[next++ % frames.length] as Uint8Array)),
  ).flat();
  return {
    run: (phase) => runPhase(callers, phase),
    close() {
      for (const connection of connections) connection.close();
    },
  };
}

/** gRPC over HTTP/2: not compressed, four bytes of length. */
function lengthPrefixed(message: Uint8Array): Uint8Array {
  const frame = Buffer.alloc(5 + message.length);
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return frame;
}
