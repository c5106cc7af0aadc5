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
  /** The same of what the server is asked. */
  delayRequests(byMs: number): void;
  /** The connections that are open now give no more answers, and stay open until they are cut. */
  dropReplies(): void;
  /** No fault that is still to come comes any more, and nothing is held back. */
  calm(): void;
  stop(): Promise<void>;
}

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  state: "passing" | "asked" | "silent";
  /** Not given yet, in their order. */
  readonly heldRequests: Held[];
  readonly heldReplies: Held[];
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
  let requestDelayMs = 0;
  let replyDelayMs = 0;

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
    hold(link, link.heldRequests, { bytes, untilMs: performance.now() + requestDelayMs });
  }

  function passReply(link: Link, bytes: Buffer): void {
    if (link.state === "silent") return;
    if (cutsReply && link.state === "asked") {
      cutsReply = false;
      end(link);
      return;
    }
    hold(link, link.heldReplies, { bytes, untilMs: performance.now() + replyDelayMs });
  }

  function hold(link: Link, held: Held[], next: Held): void {
    // Whoever is before it in the queue has a timer that comes to it.
    if (held.push(next) === 1) giveHeld(link, held);
  }

  /** In the order of the queue alone: timers that are due together run in any order. */
  function giveHeld(link: Link, held: Held[]): void {
    const isReplies = held === link.heldReplies;
    if (!links.has(link) || (isReplies && link.state === "silent")) return;
    let [next] = held;
    while (next !== undefined && next.untilMs <= performance.now()) {
      (isReplies ? link.client : link.server).write(next.bytes);
      held.shift();
      [next] = held;
    }
    if (next !== undefined)
      setTimeout(() => giveHeld(link, held), Math.ceil(next.untilMs - performance.now()));
  }

  const listener = createServer({ noDelay: true }, (client) => {
    const server = connect({ port: toPort, host: "127.0.0.1", noDelay: true });
    const link: Link = { client, server, state: "passing", heldRequests: [], heldReplies: [] };
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
      replyDelayMs = byMs;
    },
    delayRequests(byMs) {
      requestDelayMs = byMs;
    },
    dropReplies() {
      for (const link of links) link.state = "silent";
    },
    calm() {
      cutsRequest = false;
      cutsReply = false;
      requestDelayMs = 0;
      replyDelayMs = 0;
    },
    async stop() {
      const closed = once(listener, "close");
      listener.close();
      for (const link of links) end(link);
      await closed;
    },
  };
}
