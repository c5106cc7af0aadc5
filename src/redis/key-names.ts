import { hash } from "node:crypto";
import type { LimitShape } from "../core/policy.ts";
import type { Charge } from "../core/ports.ts";

/** Raised when the state's bytes change their meaning: versions never read each other's. */
const FORMAT = 2;

/** Short, so that no name is above 44 bytes: with what Redis adds to each, one more takes 16. */
const letters: Readonly<Record<LimitShape, string>> = { sliding: "s", fixed: "f", bucket: "b" };

/** Names held ready: two generations of this many, about 250 bytes each. One costs two digests, about 2 us, to make. */
const CACHED_NAMES = 16_384;

/**
 * The only owner of the names of keys in Redis:
 *
 *     tg:{<shard>}:<format, shape's letter, window in ms>:<digest of the bucket>   a bucket
 *     tg:{<shard>}:r:<digest of the bucket and the request_id>                    a remembered request_id
 *
 * The shard is what Redis Cluster places keys by. A digest is the first 128 bits of SHA-256: what it was
 * made of cannot be read from it.
 */
export interface KeyNames {
  bucket(charge: Charge): string;
  /** In the shard of its bucket. */
  request(charge: Charge, requestId: string): string;
}

/** The name of a bucket's key, and what it was made of. */
class Named {
  readonly name: string;
  readonly #shards: number;
  readonly #bucket: string;
  readonly #shardBy: string;
  readonly #windowMs: number;
  readonly #shape: LimitShape;

  constructor(name: string, { charge, shards }: { charge: Charge; shards: number }) {
    this.name = name;
    this.#shards = shards;
    this.#bucket = charge.bucket;
    this.#shardBy = charge.shardBy;
    this.#windowMs = charge.limit.windowMs;
    this.#shape = charge.limit.shape;
  }

  /** Another policy may give the same bucket another window, shape or shard. */
  isOf({ bucket, shardBy, limit }: Charge, shards: number): boolean {
    return (
      this.#bucket === bucket &&
      this.#shardBy === shardBy &&
      this.#windowMs === limit.windowMs &&
      this.#shape === limit.shape &&
      this.#shards === shards
    );
  }
}

export function createKeyNames({ shards }: { shards: number }): KeyNames {
  // By bucket: a charge brings that string, so that a look-up makes none.
  let fresh = new Map<string, Named>();
  let older = new Map<string, Named>();

  /** Mostly the charge is one that has been named. */
  function bucketName(charge: Charge): string {
    const { derived } = charge;
    if (derived instanceof Named && derived.isOf(charge, shards)) return derived.name;
    const named = namedByBucket(charge);
    charge.derived = named;
    return named.name;
  }

  function namedByBucket(charge: Charge): Named {
    const { bucket } = charge;
    let named = fresh.get(bucket);
    if (named?.isOf(charge, shards) === true) return named;
    named = older.get(bucket);
    if (named?.isOf(charge, shards) !== true) named = new Named(nameOf(charge), { charge, shards });
    if (fresh.size >= CACHED_NAMES) {
      older = fresh;
      fresh = new Map();
    }
    fresh.set(bucket, named);
    return named;
  }

  function nameOf({ limit: { shape, windowMs }, bucket, shardBy }: Charge): string {
    const shard = sha256(shardBy).readUInt32BE(0) % shards;
    return `tg:{${shard}}:${FORMAT}${letters[shape]}${windowMs}:${digest(bucket)}`;
  }

  return {
    bucket: bucketName,
    request(charge, requestId) {
      return `${shardOf(bucketName(charge))}:r:${digest(JSON.stringify([charge.bucket, requestId]))}`;
    },
  };
}

/** What names of one shard begin with. */
export function shardOf(name: string): string {
  return name.slice(0, name.indexOf("}") + 1);
}

function digest(text: string): string {
  return sha256(text).toString("base64url", 0, 16);
}

function sha256(text: string): Buffer {
  return hash("sha256", text, "buffer");
}
