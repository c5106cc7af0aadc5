import { type Cluster, Command, type Redis } from "ioredis";
import { storeUnavailable } from "../core/errors.ts";
import type { LimitShape } from "../core/policy.ts";
import type { BucketCorrections, Charge, Deadline, GiveBackRequest } from "../core/ports.ts";
import { rememberUs, slackUs } from "../points/retention.ts";
import { requestIdReused } from "../points/take-decision.ts";
import { UnreadableBucket } from "../points/unreadable-bucket.ts";
import { giveBackScript } from "./give-back-script.ts";
import { createKeyNames, type KeyNames } from "./key-names.ts";
import { plainError } from "./plain-error.ts";
import type { Script } from "./take-script.ts";

const shapeCodes: Readonly<Record<LimitShape, number>> = { sliding: 1, fixed: 2, bucket: 3 };
const DONE = 0;
const LATE = 1;
const REUSED = 2;

const HEAD_BYTES = 10;
const CHARGE_BYTES = 33;
const GIVEN_AT = 9;

export interface RedisCorrectionsOptions {
  /** As of the buckets. */
  readonly shards?: number;
  /** For tests: one with a clock of its own. */
  readonly script?: Script;
}

/**
 * Gives points back to the buckets that `createRedisBuckets` keeps. Two round trips: the first learns Redis's
 * clock, so that the second does nothing when it arrives after the deadline. It is sent once: when its reply is
 * lost, whether points were given back is not known, and it throws `storeUnavailable`. In Cluster the
 * charges lie in one shard, as those of a take.
 */
export function createRedisCorrections(
  redis: Redis | Cluster,
  { shards = 64, script = giveBackScript }: RedisCorrectionsOptions = {},
): BucketCorrections {
  const names = createKeyNames({ shards });

  async function run(request: GiveBackRequest, notAfterUs: number): Promise<Buffer> {
    const keys = keysOf(request, names);
    const rest = [String(keys.length), ...keys, encode(request, notAfterUs)];
    const send = (name: string, which: string) =>
      redis.sendCommand(new Command(name, [which, ...rest], {})) as Promise<Buffer>;
    try {
      return await send("evalsha", script.sha1);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return send("eval", script.source);
    }
  }

  async function giveBack(request: GiveBackRequest, deadline: Deadline): Promise<Buffer> {
    const asked = await run(request, Number.NEGATIVE_INFINITY);
    const clockUs = asked.readDoubleLE(0);
    return run(request, clockUs + (deadline - performance.now()) * 1000);
  }

  return {
    async giveBack(request, deadline) {
      const answer = await by(deadline, giveBack(request, deadline)).catch((error: unknown) => {
        throw storeUnavailable("redis", plainError(error));
      });
      const verdict = answer.readUInt8(8);
      if (verdict === LATE) throw storeUnavailable("redis", new Error("it reached Redis too late"));
      if (verdict === REUSED) throw requestIdReused();
      if (verdict !== DONE) throw storeUnavailable("redis", new UnreadableBucket());
      if (request.what === "all") return [];
      return request.charges.map((_, index) => answer.readDoubleLE(GIVEN_AT + index * 8));
    },
  };
}

function keysOf({ charges, requestId, what }: GiveBackRequest, names: KeyNames): string[] {
  const buckets = charges.map((charge) => names.bucket(charge));
  if (what === "all" || requestId === "") return buckets;
  return [...buckets, ...charges.map((charge) => names.request(charge, requestId))];
}

/** Its form is at the script's head. */
function encode({ charges, what, requestId }: GiveBackRequest, notAfterUs: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeDoubleLE(notAfterUs, 0);
  head.writeUInt8(what === "all" ? 0 : 1, 8);
  head.writeUInt8(requestId === "" ? 0 : 1, 9);
  return what === "all" ? head : Buffer.concat([head, ...charges.map(encodeCharge)]);
}

function encodeCharge({ limit, cost }: Charge): Buffer {
  const windowUs = limit.windowMs * 1000;
  const bytes = Buffer.alloc(CHARGE_BYTES);
  bytes.writeUInt8(shapeCodes[limit.shape], 0);
  bytes.writeDoubleLE(cost, 1);
  bytes.writeDoubleLE(windowUs, 9);
  bytes.writeDoubleLE(rememberUs(windowUs), 17);
  bytes.writeDoubleLE(slackUs(windowUs), 25);
  return bytes;
}

/** Throws at the deadline; what comes later is dropped. */
async function by<T>(deadline: Deadline, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const leftMs = Math.max(0, deadline - performance.now());
    timer = setTimeout(() => reject(new Error("no reply in time")), leftMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
