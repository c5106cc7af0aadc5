import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/** Stands before a node of a Redis Cluster, and does to its replicas and its clients what a network does. */
export interface NodeProxy {
  readonly port: number;
  /** From now on what replicas get comes so much later. */
  delayReplicas(byMs: number): void;
  /** From now on nothing goes to replicas or comes from them, though their connections stand. */
  stallReplicas(): void;
  /** A client's next call arrives, and what the node answers does not: the connection ends then. */
  cutNextReply(): void;
  /** No reply that is still to be cut is cut any more. */
  calm(): void;
  /**
   * Ends all connections, as if the node's machine were gone: what was on its way to replicas does not arrive. What
   * comes after is neither late nor held.
   */
  cut(): void;
  stop(): Promise<void>;
}

/** Only replicas send it, before they are sent anything that counts. */
const REPLICA_WORD = "REPLCONF";

/** In calls of scripts: what counts of a client. */
const CALL_WORD = "evalsha";

export async function startNodeProxy({ toPort }: { toPort: number }): Promise<NodeProxy> {
  const sockets = new Set<Socket>();
  let delayMs = 0;
  let isStalled = false;
  let cutsReply = false;

  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ port: toPort, host: "127.0.0.1", noDelay: true });
    let isReplica = false;
    let losesReply = false;
    const end = (): void => {
      for (const socket of [client, server]) {
        sockets.delete(socket);
        socket.destroy();
      }
    };
    client.on("data", (bytes: Buffer) => {
      isReplica ||= bytes.includes(REPLICA_WORD);
      if (isReplica && isStalled) return;
      if (cutsReply && !isReplica && bytes.includes(CALL_WORD)) {
        cutsReply = false;
        losesReply = true;
      }
      server.write(bytes);
    });
    server.on("data", (bytes: Buffer) => {
      if (losesReply) end();
      else if (!isReplica || (delayMs === 0 && !isStalled)) client.write(bytes);
      else if (!isStalled) setTimeout(() => client.write(bytes), delayMs);
    });
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("error", end);
      socket.on("close", end);
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");

  function cut(): void {
    delayMs = 0;
    isStalled = false;
    cutsReply = false;
    for (const socket of sockets) socket.destroy();
  }

  return {
    port: (listener.address() as { port: number }).port,
    delayReplicas(byMs) {
      delayMs = byMs;
    },
    stallReplicas() {
      isStalled = true;
    },
    cutNextReply() {
      cutsReply = true;
    },
    calm() {
      cutsReply = false;
    },
    cut,
    async stop() {
      const closed = once(listener, "close");
      listener.close();
      cut();
      await closed;
    },
  };
}
