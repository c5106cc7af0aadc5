import type { StreamResponse } from "@connectrpc/connect";
import { TollgateError } from "../core/errors.ts";
import type { BatchCheckRequest } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { AuthorizationService } from "../gen/tollgate/v1/authorization_service_pb.ts";
import type { Call } from "./call.ts";
import { isOpen } from "./method.ts";

/** Streams open at once over all connections: health watches and reflection, which need no token. */
const MAX_STREAMS = 1000;

export interface OverloadBound {
  /** Counts the call in, and answers what counts it out again. Throws RESOURCE_EXHAUSTED, OVERLOADED. */
  enter(call: Call): () => void;
  /** The same for a stream, which counts until its last message. */
  boundStream<Response>(open: () => Promise<Response>): Promise<Response>;
  /** Calls in flight now, without streams; a BatchCheck counts as its checks. */
  inFlight(): number;
}

/**
 * Refuses at once, before any I/O, what would be more than `maxInFlight` calls at a time. Unary health
 * calls always pass, so that a busy server is not taken for a dead one.
 */
export function createOverloadBound(maxInFlight: number): OverloadBound {
  let inFlight = 0;
  let streams = 0;

  async function* counted<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* messages;
    } finally {
      streams--;
    }
  }

  return {
    enter(call) {
      if (isOpen(call.method)) return () => {};
      const weight = Math.min(weightOf(call), maxInFlight);
      if (inFlight + weight > maxInFlight) throw overloaded();
      inFlight += weight;
      return () => {
        inFlight -= weight;
      };
    },

    async boundStream(open) {
      if (streams >= MAX_STREAMS) throw overloaded();
      streams++;
      try {
        const response = await open();
        return { ...response, message: counted((response as StreamResponse).message) };
      } catch (error) {
        streams--;
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

function overloaded(): TollgateError {
  return new TollgateError("resource_exhausted", "Too much work is in flight; try again later, elsewhere.", {
    reason: "OVERLOADED",
  });
}
