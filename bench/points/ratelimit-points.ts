import { create, toBinary } from "@bufbuild/protobuf";
import { RateLimitRequestSchema } from "../../src/gen/envoy/service/ratelimit/v3/rls_pb.ts";
import { startRateLimitPeer } from "../envoy/ratelimit-peer.ts";
import type { LoadClient } from "../load/closed-loop.ts";
import { createLoadClient } from "../load/load-client.ts";
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
  pipelineWindow: string;
}): Promise<PointsSubject> {
  const peer = await startRateLimitPeer({ domain, pipelineWindow: options.pipelineWindow });
  const client = (idsOfEach: readonly (readonly string[])[]): Promise<LoadClient> =>
    createLoadClient({
      url: `http://127.0.0.1:${peer.grpcPort}`,
      path: "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit",
      headers: {},
      messages: idsOfEach.map(requestOf),
      // RateLimitResponse.overall_code is OK.
      expectedPrefix: new Uint8Array([0x08, 0x01]),
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

function requestOf(ids: readonly string[]): Uint8Array {
  const descriptors = ids.map((value) => ({ entries: [{ key: "key_id", value }] }));
  return toBinary(RateLimitRequestSchema, create(RateLimitRequestSchema, { domain, descriptors }));
}
