import type { Socket } from "node:net";
import { type ConnectionBounds, type ConnectionEvents, Http2Connection } from "./connection.ts";

export interface EngineBounds extends ConnectionBounds {
  /** Of answers that clients have not taken, and of the header lists of open streams, over all connections. */
  readonly maxQueuedBytesInAll: number;
}

export interface EngineOptions extends Pick<ConnectionEvents, "onStream" | "onFault" | "onReset"> {
  readonly bounds: EngineBounds;
}

/** Our HTTP/2 server: RFC 9113, without push and priorities. */
export interface Http2Engine {
  /** Serves a connection, from the preface on. */
  accept(socket: Socket & { readonly encrypted?: boolean }): void;
  /** Tells all clients to go elsewhere; the connections end when their streams do. */
  retire(): void;
  /** Ends all connections at once. */
  destroy(): void;
  /** Open now. */
  connections(): number;
  /** Open now, over all connections. */
  streams(): number;
  /** Bytes of answers that clients have not taken. */
  queuedBytes(): number;
}

const LONGEST_SWEEP_MS = 1000;

export function createHttp2Engine(options: EngineOptions): Http2Engine {
  const { bounds, onStream, onFault, onReset } = options;
  const connections = new Set<Http2Connection>();
  const clock = { nowMs: performance.now() };
  let sweeping: NodeJS.Timeout | undefined;
  let isRetired = false;

  /** Fine enough for the shortest of the timeouts. */
  const sweepMs = Math.max(
    10,
    Math.min(
      LONGEST_SWEEP_MS,
      bounds.headerTimeoutMs / 4,
      bounds.bodyTimeoutMs / 4,
      bounds.idleTimeoutMs / 4,
      bounds.maxAgeMs / 4,
    ),
  );

  function sweep(): void {
    clock.nowMs = performance.now();
    for (const connection of connections) connection.sweep();
    shedMost();
  }

  /** Those for whom the most is held go first. */
  function shedMost(): void {
    let held = 0;
    for (const connection of connections) held += connection.heldBytes;
    if (held <= bounds.maxQueuedBytesInAll) return;
    const byHeld = [...connections].sort((a, b) => b.heldBytes - a.heldBytes);
    for (const connection of byHeld) {
      if (held <= bounds.maxQueuedBytesInAll) return;
      held -= connection.heldBytes;
      connection.shed();
    }
  }

  function queuedBytes(): number {
    let bytes = 0;
    for (const connection of connections) bytes += connection.queuedBytes;
    return bytes;
  }

  return {
    accept(socket) {
      if (connections.size === 0) {
        clock.nowMs = performance.now();
        sweeping = setInterval(sweep, sweepMs);
        sweeping.unref();
      }
      const connection = new Http2Connection({
        socket,
        isEncrypted: socket.encrypted === true,
        remoteAddress: socket.remoteAddress,
        bounds,
        clock,
        onStream,
        onFault,
        onReset,
        onEnded() {
          connections.delete(connection);
          if (connections.size === 0) clearInterval(sweeping);
        },
      });
      connections.add(connection);
      if (isRetired) connection.retire();
    },
    retire() {
      isRetired = true;
      for (const connection of connections) connection.retire();
    },
    destroy() {
      for (const connection of connections) connection.destroy();
    },
    connections: () => connections.size,
    streams() {
      let streams = 0;
      for (const connection of connections) streams += connection.streams;
      return streams;
    },
    queuedBytes,
  };
}
