import { Redis } from "ioredis";
import { createRedis } from "../../src/redis/connect.ts";
import { type RedisServer, startRedis } from "../../test/support/redis.ts";

/** A Redis that nothing else uses, and the client that Tollgate has of its own. */
export async function startOwnRedis(): Promise<{ redis: RedisServer; client: Redis }> {
  const redis = await startRedis();
  const client = await createRedis(redis.url, {
    onError: (error) => {
      throw error;
    },
  });
  if (!(client instanceof Redis)) throw new Error("the bench's Redis is a cluster");
  return { redis, client };
}
