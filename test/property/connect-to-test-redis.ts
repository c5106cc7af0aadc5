import type { Redis } from "ioredis";
import { createRedis } from "../../src/redis/connect.ts";
import { redisUrl } from "../support/redis.ts";

/** A connection of the test file's own, to the database of its own. */
export async function connectToTestRedis(): Promise<Redis> {
  const redis = await createRedis(redisUrl(), {
    onError: (error) => {
      throw error;
    },
  });
  if (redis.isCluster) throw new Error("the test run's Redis is a cluster");
  // Each comparison listens for its end.
  redis.setMaxListeners(200);
  return redis as Redis;
}
