// npm run draw: draws docs/points/*.svg from runs of the real script in a Redis of their own.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Redis } from "ioredis";
import { startRedis } from "../test/support/redis.ts";
import { root } from "./checkout.ts";
import { drawPoints } from "./points-drawings/draw-points.ts";

const server = await startRedis();
const redis = new Redis(server.url);
try {
  for (const [file, svg] of await drawPoints(redis)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), svg);
    process.stdout.write(`${file} (${svg.length} bytes)\n`);
  }
} finally {
  redis.disconnect();
  await server.stop();
}
