import type { StreamResponse } from "@connectrpc/connect";
import { TollgateError } from "../core/errors.ts";
import type { BatchCheckRequest } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import type { Call } from "./call.ts";
import { isOpen } from "./method.ts";

/** Streams open at once over all connections: health watches and reflection, which need no token. */
const MAX_STREAMS = 1000;
/** Of them on one connection. */
const MAX_STREAMS_EACH = 20;

export interface OverloadBound {
  /** Counts the call in as one. Throws RESOURCE_EXHAUSTED, OVERLOADED. */
  enter(call: Call): Place;
  /** The same for a stream of a connection, which counts until its last message. */
  boundStream<Response>(connection: object, open: () => Promise<Response>): Promise<Response>;
  /** Calls in flight now, without streams; a BatchCheck counts as its checks. */
  inFlight(): number;
}

export interface Place {
  /**
   * Counts a BatchCheck as its checks from now on: once it is known who sent it, and that it holds no more
   * checks than it may. Throws RESOURCE_EXHAUSTED, OVERLOADED.
   */
  grow(): void;
  leave(): void;
}

const FREE: Place = { grow() {}, leave() {} };

/**
 * Refuses at once, before any I/O, what would be more than `maxInFlight` calls at a time. Unary health
 * calls always pass, so that a busy server is not taken for a dead one.
 */
export function createOverloadBound(maxInFlight: number): OverloadBound {
  let inFlight = 0;
  let streams = 0;
  const streamsOf = new WeakMap<object, number>();

  function countStream(connection: object, change: 1 | -1): void {
    streams += change;
    streamsOf.set(connection, (streamsOf.get(connection) ?? 0) + change);
  }

  async function* counted<T>(connection: object, messages: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* messages;
    } finally {
      countStream(connection, -1);
    }
  }

  class Taken implements Place {
    readonly #call: Call;
    #weight = 1;

    constructor(call: Call) {
      this.#call = call;
      inFlight++;
    }

    grow(): void {
      const more = Math.min(weightOf(this.#call), maxInFlight) - this.#weight;
      if (inFlight + more > maxInFlight) throw overloaded();
      inFlight += more;
      this.#weight += more;
    }

    leave(): void {
      inFlight -= this.#weight;
    }
  }

  return {
    enter(call) {
      if (isOpen(call.method)) return FREE;
      if (inFlight >= maxInFlight) throw overloaded();
      return new Taken(call);
    },

    async boundStream(connection, open) {
      if (streams >= MAX_STREAMS || (streamsOf.get(connection) ?? 0) >= MAX_STREAMS_EACH) throw overloaded();
      countStream(connection, 1);
      try {
        const response = await open();
        return { ...response, message: counted(connection, (response as StreamResponse).message) };
      } catch (error) {
        countStream(connection, -1);
        throw error;
      }
    },

    inFlight: () => inFlight,
  };
}

function weightOf({ method, message }: Call): number {
  if (method !== AuthorizationService.method.batchCheck) return 1;
  return Math.max(1, (message as BatchCheckRequest).checks.length);
}

export function overloaded(): TollgateError {
  return new TollgateError("resource_exhausted", "Too much work is in flight; try again later, elsewhere.", {
    reason: "OVERLOADED",
  });
}
