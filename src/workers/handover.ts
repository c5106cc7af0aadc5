import type { Socket } from "node:net";

/** Who takes connections: a worker, seen from here. */
export interface Taker {
  /** Settles when the worker has taken it; rejects when the worker ends before: then nothing was read. */
  hand(socket: Socket): Promise<void>;
}

export interface Handover {
  /** A connection that was accepted, of which nothing is read yet. */
  give(socket: Socket): void;
  /** From now on this worker is handed connections. */
  add(taker: Taker): void;
  /** It is handed no more. */
  remove(taker: Taker): void;
  /** What a worker says that it holds. */
  count(taker: Taker, open: number): void;
  /** Closes what no worker has been handed. */
  close(): void;
}

/** Beyond this, further connections are closed: workers do not keep up with accepting. */
const MAX_WAITING = 4096;

/**
 * Hands each connection to the worker that holds the fewest. HTTP/2 connections are few and long: left to
 * chance, or to turns, one worker has all the work after the other was restarted. A worker is handed one at a
 * time, so that those which it does not come to take go to the others, also when it dies.
 *
 * Connections wait while all workers are busy with taking one, and before the first worker is there. When
 * there is none any more they are closed, so that clients go elsewhere.
 */
export function createHandover(): Handover {
  const places = new Map<Taker, { open: number; isTaking: boolean }>();
  let waiting: Socket[] = [];
  let isWaitingForFirst = true;

  function handOn(): void {
    while (waiting.length > 0) {
      const taker = idlest();
      if (taker === undefined) return;
      void handTo(taker, waiting.shift() as Socket);
    }
  }

  /** Of those that are free; among equals the one that was handed something longest ago. */
  function idlest(): Taker | undefined {
    let found: Taker | undefined;
    let fewest = Number.POSITIVE_INFINITY;
    for (const [taker, { open, isTaking }] of places) {
      if (isTaking || open >= fewest) continue;
      found = taker;
      fewest = open;
    }
    return found;
  }

  async function handTo(taker: Taker, socket: Socket): Promise<void> {
    const place = { open: (places.get(taker)?.open ?? 0) + 1, isTaking: true };
    places.delete(taker);
    places.set(taker, place);
    try {
      await taker.hand(socket);
    } catch {
      places.delete(taker);
      give(socket);
      return;
    }
    // Closes this process's end only: the connection is the worker's.
    socket.destroy();
    place.isTaking = false;
    handOn();
  }

  function give(socket: Socket): void {
    if (waiting.length >= MAX_WAITING || (places.size === 0 && !isWaitingForFirst)) {
      socket.destroy();
      return;
    }
    waiting.push(socket);
    handOn();
  }

  function closeWaiting(): void {
    for (const socket of waiting) socket.destroy();
    waiting = [];
  }

  return {
    give,
    add(taker) {
      isWaitingForFirst = false;
      places.set(taker, { open: 0, isTaking: false });
      handOn();
    },
    remove(taker) {
      places.delete(taker);
      if (places.size === 0) closeWaiting();
    },
    count(taker, open) {
      const place = places.get(taker);
      if (place !== undefined) place.open = open;
    },
    close() {
      isWaitingForFirst = false;
      places.clear();
      closeWaiting();
    },
  };
}
