import { createGrpcLoadClient } from "../load/grpc-load-client.ts";
import type { LoadClient } from "../load/load-client.ts";
import {
  type RateLimitPeerOptions,
  rateLimitAdmitted,
  rateLimitPath,
  rateLimitRequest,
  startRateLimitPeer,
} from "../peers/ratelimit/ratelimit-peer.ts";
import { filledBuckets, inFlight, loadedBuckets, type PointsSubject } from "./points-subject.ts";

const domain = "retrac";
/** Subjects of one request that makes buckets. */
const fillDescriptors = 100;
const fillMs = 300_000;
const connections = 4;
/** Of gRPC: OK. */
const admitted = "0";

/** envoyproxy/ratelimit with 600 points a minute for each id, asked by gRPC, 64 requests in flight. */
export async function startRateLimitPoints(options: {
  name: string;
  redis: RateLimitPeerOptions["redis"];
}): Promise<PointsSubject> {
  const peer = await startRateLimitPeer({ domain, redis: options.redis });
  const client = (idsOfEach: readonly (readonly string[])[]): Promise<LoadClient> =>
    createGrpcLoadClient({
      url: `http://127.0.0.1:${peer.grpcPort}`,
      path: rateLimitPath,
      headers: {},
      messages: idsOfEach.map((ids) => rateLimitRequest(domain, ids)),
      expectedPrefix: rateLimitAdmitted,
      connections,
      inFlight: inFlight / connections,
    });
  async function makeBuckets(count: number): Promise<void> {
    const calls = count / fillDescriptors;
    const filler = await client(
      Array.from({ length: calls }, (_, call) =>
        Array.from({ length: fillDescriptors }, (_, index) => idOf(call * fillDescriptors + index)),
      ),
    );
    const result = await filler.run({ minMs: 0, minCalls: calls, maxMs: fillMs, maxCalls: calls });
    filler.close();
    if (result.statuses[admitted] !== calls || result.unexpected > 0) {
      throw new Error(`buckets could not be made: ${JSON.stringify(result)}`);
    }
  }
  const load = await client(Array.from({ length: loadedBuckets }, (_, bucket) => [idOf(bucket)]));
  return {
    name: options.name,
    redis: peer.redis,
    commands: ["incrby", "expire"],
    admitted,
    async fill() {
      await makeBuckets(filledBuckets);
      return filledBuckets;
    },
    warmUp: () => makeBuckets(loadedBuckets),
    load,
    async stop() {
      load.close();
      await peer.stop();
    },
  };
}

function idOf(bucket: number): string {
  return `key-${bucket}`;
}
