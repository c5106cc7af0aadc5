import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * A TCP proxy on 127.0.0.1 that does to its connections what networks do. What a fault swallowed is never
 * followed by what came after it: the connection gives nothing more, and ends.
 */
export interface TcpProxy {
  readonly port: number;
  /** Ends every connection that is open now. */
  cut(): void;
  /** The next bytes to the server do not arrive: their connection ends instead. */
  cutNextRequest(): void;
  /** The next bytes to the server arrive, and what it answers does not: the connection ends then. */
  cutNextReply(): void;
  /** Holds back, from now on, what the server answers; 0: no more. The order stays. */
  delayReplies(byMs: number): void;
  /** The connections that are open now give no more answers, and stay open until they are cut. */
  dropReplies(): void;
  /** No fault that is still to come comes any more, and answers are not held back. */
  calm(): void;
  stop(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  state: "passing" | "asked" | "silent";
  /** Answers not given yet, in their order. */
  readonly held: Held[];
}

interface Held {
  readonly bytes: Buffer;
  /** When it is given at the earliest, on the monotonic clock. */
  readonly untilMs: number;
}

export async function startTcpProxy({ toPort }: { toPort: number }): Promise<TcpProxy> {
  const links = new Set<Link>();
  let cutsRequest = false;
  let cutsReply = false;
  let delayMs = 0;

  function end(link: Link): void {
    links.delete(link);
    link.client.destroy();
    link.server.destroy();
  }

  function passRequest(link: Link, bytes: Buffer): void {
    if (cutsRequest) {
      cutsRequest = false;
      end(link);
      return;
    }
    if (cutsReply && link.state === "passing") link.state = "asked";
    link.server.write(bytes);
  }

  function passReply(link: Link, bytes: Buffer): void {
    if (link.state === "silent") return;
    if (cutsReply && link.state === "asked") {
      cutsReply = false;
      end(link);
      return;
    }
    link.held.push({ bytes, untilMs: performance.now() + delayMs });
    // Whoever is before it in the queue has a timer that comes to it.
    if (link.held.length === 1) giveHeld(link);
  }

  /** In the order of the queue alone: timers that are due together run in any order. */
  function giveHeld(link: Link): void {
    if (!links.has(link) || link.state === "silent") return;
    let [next] = link.held;
    while (next !== undefined && next.untilMs <= performance.now()) {
      link.client.write(next.bytes);
      link.held.shift();
      [next] = link.held;
    }
    if (next !== undefined) setTimeout(() => giveHeld(link), Math.ceil(next.untilMs - performance.now()));
  }

  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ port: toPort, host: "127.0.0.1", noDelay: true });
    const link: Link = { client, server, state: "passing", held: [] };
    links.add(link);
    client.on("data", (bytes: Buffer) => passRequest(link, bytes));
    server.on("data", (bytes: Buffer) => passReply(link, bytes));
    for (const socket of [client, server]) {
      socket.on("error", () => end(link));
      socket.on("close", () => end(link));
    }
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");

  return {
    port: (listener.address() as { port: number }).port,
    cut() {
      for (const link of links) end(link);
    },
    cutNextRequest() {
      cutsRequest = true;
    },
    cutNextReply() {
      cutsReply = true;
    },
    delayReplies(byMs) {
      delayMs = byMs;
    },
    dropReplies() {
      for (const link of links) link.state = "silent";
    },
    calm() {
      cutsRequest = false;
      cutsReply = false;
      delayMs = 0;
    },
    async stop() {
      const closed = once(listener, "close");
      listener.close();
      for (const link of links) end(link);
      await closed;
    },
  };
}
