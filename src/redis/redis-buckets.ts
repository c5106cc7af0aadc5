import { type Cluster, Command, type Redis } from "ioredis";
import { storeUnavailable, TollgateError } from "../core/errors.ts";
import type { BucketStore, TakeRequest } from "../core/ports.ts";
import { NoReply } from "../points/no-reply.ts";
import { STORE_SHARE } from "../points/store-share.ts";
import { isCluster } from "./connect.ts";
import { createDueWatch, type Watched } from "./due-watch.ts";
import { createKeyNames, shardOf } from "./key-names.ts";
import { PendingTake } from "./pending-take.ts";
import { plainError } from "./plain-error.ts";
import { createRedisClock, type RedisClock } from "./redis-clock.ts";
import { decodeAnswer, type EncodedTakes, encodeTakes } from "./take-codec.ts";
import { type Script, takeScript } from "./take-script.ts";

/**
 * Charges in one call of the script, as far as takes are whole: so it keeps Redis from others for about 0.6 ms at
 * most (measured by `npm run bench -- --points --only longest-hold`). It also bounds the keys of a call: from about
 * 8000 on Lua cannot unpack them.
 */
const BATCH_CHARGES = 64;

/**
 * Charges of one turn that are under way together, as far as calls are whole. Those behind them are sent as
 * these are answered: sent at once, the last of thousands would spend their budget waiting for the first.
 */
const CHARGES_AT_ONCE = 200;

/** One call of the script that has ended. */
export interface RedisCall {
  readonly takes: number;
  readonly durationMs: number;
  /** "failed": there was no reply, or it was an error. */
  readonly outcome: "answered" | "failed";
}

export interface RedisBucketsOptions {
  /** Parts that the buckets are spread over in Redis Cluster. Another number finds none of the old state. */
  readonly shards?: number;
  /**
   * What a take may spend on Redis, whatever its deadline; less where the take's own budget is. Seven tenths of it
   * Redis has to answer, from when the take is sent: what is waited before that, while this process is busy, says
   * nothing about Redis. The rest is for sending it, and for deciding without Redis.
   */
  readonly budgetMs?: number;
  readonly observe?: (call: RedisCall) => void;
  /** For tests: one with a clock of its own. */
  readonly script?: Script;
}

export interface RedisBuckets extends BucketStore {
  /** Whether the connection stands. */
  readonly ready: boolean;
  /**
   * Loads the script and reads Redis's clock, so that the first takes need not. Throws what the driver
   * throws; takes work without it.
   */
  prepare(): Promise<void>;
}

/** The best of so many readings counts. */
const CLOCK_READINGS = 5;

/** Takes that go in one call of the script. In Cluster they are of one shard, which is their `node`. */
interface Batch extends Watched {
  takes: readonly PendingTake[];
  sinceMs: number;
  readonly node: string;
  /** Of the takes that it began with. */
  readonly charges: number;
  readonly burst: Burst;
  /** From when it is sent, until it has its reply or all of its takes are given up. */
  isUnderWay: boolean;
}

/** The takes that were gathered together. */
interface Burst {
  /** In their order. */
  unsent: Batch[];
  chargesUnderWay: number;
  /** More charges than that are not sent before others are answered. */
  atOnce: number;
}

/**
 * Buckets in Redis, on Redis's clock. Takes that come together go in one call of the script (in Cluster one a
 * shard). A call is sent once: when its reply is lost, whether it charged is not known,
 * and the take throws `storeUnavailable` with the cause `NoReply`, which tells it when it turns out; with any other
 * cause the take did nothing. Only what surely did nothing is sent again: a call that
 * the server did not know the script for, and a take that it found to be late while there is still time.
 * One whose time is up before it is sent, or for which nobody waits by then, fails with the cause `NotSent`.
 * In Cluster a take over several shards is "internal" CROSS_SHARD.
 */
export function createRedisBuckets(
  redis: Redis | Cluster,
  { shards = 64, budgetMs = 25, observe = () => {}, script = takeScript }: RedisBucketsOptions = {},
): RedisBuckets {
  const names = createKeyNames({ shards });
  const clocks = new Map<string, RedisClock>();
  const watch = createDueWatch<Batch>({ onAllFailed: silent });
  // By node, in the order in which they came.
  let gathered = new Map<string, PendingTake[]>();
  let callsUnderWay = 0;
  // The last call that ended held one take, and was answered.
  let comeAlone = false;
  // Another server than before may answer from then on.
  for (const event of ["close", "-node"]) redis.on(event, () => clocks.clear());

  function clockOf(node: string): RedisClock {
    let clock = clocks.get(node);
    if (clock === undefined) {
      clock = createRedisClock();
      clocks.set(node, clock);
    }
    return clock;
  }

  /** Undefined: they are of several. */
  function shardOfAll({ charges }: TakeRequest): string | undefined {
    const [first = "", ...others] = charges.map((charge) => shardOf(names.bucket(charge)));
    return others.every((shard) => shard === first) ? first : undefined;
  }

  /**
   * Takes are gathered until the turn of the event loop ends. But while they come one at a time, each is sent as
   * soon as what was read with it is served: a lone Check takes a tenth less so. After a call that failed none
   * is: it may have failed at once, and one who asks again and again would keep the process from ever reading.
   */
  function gather(node: string, take: PendingTake): void {
    if (gathered.size === 0) {
      if (comeAlone && callsUnderWay === 0) process.nextTick(flush);
      else setImmediate(flush);
    }
    const takes = gathered.get(node);
    if (takes === undefined) gathered.set(node, [take]);
    else takes.push(take);
  }

  function flush(): void {
    const burst: Burst = { unsent: [], chargesUnderWay: 0, atOnce: CHARGES_AT_ONCE };
    const sinceMs = performance.now();
    for (const [node, takes] of gathered) {
      for (const { part, charges } of partsOf(takes)) {
        burst.unsent.push({ takes: part, charges, sinceMs, node, burst, isUnderWay: false, place: -1 });
      }
    }
    gathered = new Map();
    sendMore(burst);
    for (const batch of burst.unsent) watch.add(batch);
  }

  function sendMore(burst: Burst): void {
    while (burst.chargesUnderWay < burst.atOnce) {
      const next = burst.unsent.shift();
      if (next === undefined) return;
      send(next);
    }
  }

  function redisMsOf(request: TakeRequest): number {
    return STORE_SHARE * Math.min(budgetMs, request.budgetMs ?? budgetMs);
  }

  function send(batch: Batch): void {
    const sentMs = performance.now();
    batch.sinceMs = sentMs;
    batch.takes = batch.takes.filter((take) => take.isStillToSend(sentMs));
    if (batch.takes.length === 0) {
      watch.drop(batch);
      return;
    }
    for (const take of batch.takes) take.send(sentMs + redisMsOf(take.request));
    batch.isUnderWay = true;
    callsUnderWay++;
    batch.burst.chargesUnderWay += batch.charges;
    watch.add(batch);
    void exchange(batch);
  }

  /** Settles the batch by the reply, whenever that comes. */
  async function exchange(batch: Batch): Promise<void> {
    const { node, takes, sinceMs: sentMs } = batch;
    const clock = clockOf(node);
    const clockWasKnown = clock.known;
    const again: PendingTake[] = [];
    try {
      const bytes = await call(encodeTakes(takes, { names, clock }));
      const receivedMs = performance.now();
      comeAlone = takes.length === 1;
      const { clockUs, verdicts } = decodeAnswer(bytes, takes);
      clock.observe(clockUs, { sentMs, receivedMs });
      observe({ takes: takes.length, durationMs: receivedMs - sentMs, outcome: "answered" });
      takes.forEach((take, index) => {
        if (take.settle(verdicts[index], { clockWasKnown }) === "again") again.push(take);
      });
    } catch (error) {
      comeAlone = false;
      observe({ takes: takes.length, durationMs: performance.now() - sentMs, outcome: "failed" });
      const fate = didNothing(error) ? "nothing" : "unknown";
      const plain = plainError(error);
      const cause = fate === "nothing" ? plain : new NoReply(plain.message, Promise.resolve(fate));
      const unavailable = storeUnavailable("redis", cause);
      for (const take of takes) take.lose(fate, unavailable);
    }
    if (!batch.isUnderWay) return;
    end(batch);
    if (again.length > 0) {
      const { burst, charges } = batch;
      const next = {
        takes: again,
        charges,
        sinceMs: performance.now(),
        node,
        burst,
        isUnderWay: false,
        place: -1,
      };
      // Before those behind them, so that they keep their order.
      burst.unsent.unshift(next);
      watch.add(next);
    }
    sendMore(batch.burst);
  }

  function end(batch: Batch): void {
    batch.isUnderWay = false;
    watch.drop(batch);
    callsUnderWay--;
    batch.burst.chargesUnderWay -= batch.charges;
  }

  /** All takes of the batch are given up. Where Redis had its share of each one's budget, so are others behind it. */
  function silent(batch: Batch): void {
    if (!batch.isUnderWay) return;
    const { burst, node, takes, sinceMs } = batch;
    end(batch);
    const silentMs = performance.now() - sinceMs;
    if (takes.every(({ request }) => silentMs >= redisMsOf(request))) abandon(burst, { node, silentMs });
    sendMore(burst);
  }

  function abandon(burst: Burst, { node: silent, silentMs }: { node: string; silentMs: number }): void {
    // One for all: in a burst of a thousand, errors of their own take milliseconds that nobody has now.
    const error = storeUnavailable("redis", new Error("no reply in time to the takes before it"));
    burst.unsent = burst.unsent.filter((batch) => {
      if (batch.node === silent) {
        for (const take of batch.takes) if (redisMsOf(take.request) <= silentMs) take.refuse(error);
      }
      const isOpen = batch.takes.some((take) => take.isOpen);
      if (!isOpen) watch.drop(batch);
      return isOpen;
    });
    // Other shards may be on the same silent server: one after another they would wait far too long.
    burst.atOnce = Number.POSITIVE_INFINITY;
  }

  async function call(encoded: EncodedTakes): Promise<Buffer> {
    try {
      return await run("evalsha", script.sha1, encoded);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return run("eval", script.source, encoded);
    }
  }

  function run(
    name: "eval" | "evalsha",
    which: string,
    { keys, limits, takes }: EncodedTakes,
  ): Promise<Buffer> {
    const command = new Command(name, [which, String(keys.length), ...keys, limits, takes], {});
    return redis.sendCommand(command) as Promise<Buffer>;
  }

  return {
    get ready() {
      return redis.status === "ready";
    },

    async prepare() {
      if (isCluster(redis)) return;
      await redis.script("LOAD", script.source);
      const clock = clockOf("");
      for (let reading = 0; reading < CLOCK_READINGS; reading++) {
        const sentMs = performance.now();
        const [seconds = 0, microseconds = 0] = (await redis.time()).map(Number);
        clock.observe(seconds * 1e6 + microseconds, { sentMs, receivedMs: performance.now() });
      }
    },

    take(request, deadline) {
      const node = isCluster(redis) ? shardOfAll(request) : "";
      if (node === undefined) return Promise.reject(crossShard());
      const take = new PendingTake(request, deadline);
      gather(node, take);
      return take.answer;
    },
  };
}

/** As many takes in each as go in one call. */
function partsOf(takes: readonly PendingTake[]): { part: readonly PendingTake[]; charges: number }[] {
  const parts: { part: PendingTake[]; charges: number }[] = [];
  let last: { part: PendingTake[]; charges: number } | undefined;
  for (const take of takes) {
    const charges = take.request.charges.length;
    if (last === undefined || last.charges + charges > BATCH_CHARGES) {
      last = { part: [], charges: 0 };
      parts.push(last);
    }
    last.part.push(take);
    last.charges += charges;
  }
  return parts;
}

/**
 * Redis answered with an error, which the script meets before it writes, or the call never left this process. In a
 * cluster the last of several answers counts: those before sent the call elsewhere.
 */
function didNothing(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return (
    error.name === "ReplyError" ||
    error.message.endsWith("enableOfflineQueue options is false") ||
    error.message.startsWith("Too many Cluster redirections. Last error: ReplyError: ")
  );
}

function crossShard(): TollgateError {
  return new TollgateError("internal", "The points of several shards cannot be taken in one step.", {
    reason: "CROSS_SHARD",
  });
}
