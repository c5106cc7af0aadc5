import { Cluster, Command, type Redis } from "ioredis";
import { storeUnavailable, type TollgateError } from "../core/errors.ts";
import type { BucketStore, Deadline, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { requestIdReused } from "../points/take-decision.ts";
import { UnreadableBucket } from "../points/unreadable-bucket.ts";
import { createKeyNames, shardOf } from "./key-names.ts";
import { plainError } from "./plain-error.ts";
import { createRedisClock, type RedisClock } from "./redis-clock.ts";
import { decodeAnswer, type EncodedTakes, encodeTakes, type TakeVerdict } from "./take-codec.ts";
import { type Script, takeScript } from "./take-script.ts";

/** Takes in one call of the script: so it keeps Redis from others for well under a millisecond. */
const BATCH_TAKES = 100;

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
   * The most that a take waits for Redis from when it is sent, whatever its deadline. What it waits before
   * that, while this process is busy, says nothing about Redis.
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

/** Timers of a machine that has time wake within this of their hour. */
const PUNCTUAL_MS = 2;

/** The best of so many readings counts. */
const CLOCK_READINGS = 5;

interface Waiting {
  readonly request: TakeRequest;
  readonly callerDeadline: Deadline;
  /** The caller's; once it is sent, the budget's where that is sooner. */
  deadline: Deadline;
  readonly resolve: (answer: TakeAnswer) => void;
  readonly reject: (error: TollgateError) => void;
  /** Sent before, and answered that it came too late: nothing was charged. */
  sentBefore: boolean;
  settled: boolean;
}

/**
 * Buckets in Redis, on Redis's clock. Takes of one turn of the event loop go in one call of the script
 * (in Cluster one a shard). A call is sent once: when its reply is lost, whether it charged is not known,
 * and the take throws `storeUnavailable`. Only what surely did nothing is sent again: a call that
 * the server did not know the script for, and a take that it found to be late while there is still time.
 */
export function createRedisBuckets(
  redis: Redis | Cluster,
  { shards = 64, budgetMs = 25, observe = () => {}, script = takeScript }: RedisBucketsOptions = {},
): RedisBuckets {
  const names = createKeyNames({ shards });
  const clocks = new Map<string, RedisClock>();
  let queue: Waiting[] = [];
  // Another server than before may answer from then on.
  for (const event of ["close", "-node"]) redis.on(event, () => clocks.clear());

  function clockOf(node: string): RedisClock {
    const known = clocks.get(node) ?? createRedisClock();
    clocks.set(node, known);
    return known;
  }

  function enqueue(waiting: Waiting): void {
    if (queue.push(waiting) === 1) setImmediate(flush);
  }

  function flush(): void {
    const now = performance.now();
    const due = queue;
    queue = [];
    const groups = new Map<string, Waiting[]>();
    for (const waiting of due) {
      if (waiting.deadline <= now) {
        fail(waiting, new Error("the time was up before the take was sent"));
        continue;
      }
      if (!waiting.sentBefore) waiting.deadline = Math.min(waiting.deadline, now + budgetMs);
      const node = redis instanceof Cluster ? shardOfAll(waiting) : "";
      const group = groups.get(node);
      if (group === undefined) groups.set(node, [waiting]);
      else group.push(waiting);
    }
    for (const [node, group] of groups) {
      for (let start = 0; start < group.length; start += BATCH_TAKES) {
        void send(node, group.slice(start, start + BATCH_TAKES));
      }
    }
  }

  function shardOfAll({ request }: Waiting): string {
    const [first, ...others] = request.charges.map((charge) => shardOf(names.bucket(charge)));
    if (first === undefined) return "";
    return others.every((shard) => shard === first) ? first : "";
  }

  async function send(node: string, batch: readonly Waiting[]): Promise<void> {
    const clock = clockOf(node);
    const sentMs = performance.now();
    const stopWatching = failWhenDue(batch);
    try {
      const bytes = await call(
        encodeTakes(
          batch.map(({ request, deadline }) => ({ request, notAfterUs: clock.at(deadline) })),
          names,
        ),
      );
      const receivedMs = performance.now();
      const { clockUs, verdicts } = decodeAnswer(
        bytes,
        batch.map(({ request }) => request),
      );
      clock.observe(clockUs, { sentMs, receivedMs });
      observe({ takes: batch.length, durationMs: receivedMs - sentMs, outcome: "answered" });
      batch.forEach((waiting, index) => settle(waiting, verdicts[index]));
    } catch (error) {
      observe({ takes: batch.length, durationMs: performance.now() - sentMs, outcome: "failed" });
      for (const waiting of batch) fail(waiting, plainError(error));
    } finally {
      stopWatching();
    }
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

  function settle(waiting: Waiting, verdict: TakeVerdict | undefined): void {
    if (waiting.settled) return;
    if (verdict === "late" && !waiting.sentBefore && performance.now() < waiting.deadline) {
      waiting.sentBefore = true;
      enqueue(waiting);
      return;
    }
    if (verdict === "late" || verdict === undefined)
      fail(waiting, new Error("the take reached Redis too late"));
    else if (verdict === "unreadable") fail(waiting, new UnreadableBucket());
    else {
      waiting.settled = true;
      if (verdict === "reused") waiting.reject(requestIdReused());
      else waiting.resolve(verdict);
    }
  }

  return {
    get ready() {
      return redis.status === "ready";
    },

    async prepare() {
      if (redis instanceof Cluster) return;
      await redis.script("LOAD", script.source);
      const clock = clockOf("");
      for (let reading = 0; reading < CLOCK_READINGS; reading++) {
        const sentMs = performance.now();
        const [seconds = 0, microseconds = 0] = (await redis.time()).map(Number);
        clock.observe(seconds * 1e6 + microseconds, { sentMs, receivedMs: performance.now() });
      }
    },

    take(request, deadline) {
      return new Promise((resolve, reject) => {
        enqueue({
          request,
          callerDeadline: deadline,
          deadline,
          resolve,
          reject,
          sentBefore: false,
          settled: false,
        });
      });
    },
  };
}

function fail(waiting: Waiting, cause: Error): void {
  if (waiting.settled) return;
  waiting.settled = true;
  waiting.reject(storeUnavailable("redis", cause));
}

/**
 * Fails each of the batch that has no answer at its deadline. Answers what ends the watch.
 *
 * A watch that wakes late itself says that the machine stood still, or had no processor to spare, and then
 * Redis had as little: its takes get as much longer, up to their caller's deadline. On a machine that has
 * time this adds nothing.
 */
function failWhenDue(batch: readonly Waiting[]): () => void {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const watch = (): void => {
    const open = batch.filter(({ settled }) => !settled);
    if (ended || open.length === 0) return;
    const due = Math.min(...open.map(({ deadline }) => deadline));
    const wakeMs = performance.now() + Math.max(1, Math.ceil(due - performance.now()));
    timer = setTimeout(() => {
      const lateMs = performance.now() - wakeMs;
      if (lateMs > PUNCTUAL_MS) prolong(open, lateMs);
      // Then a turn later: a reply that came in meanwhile, while this process was busy, is read first.
      setImmediate(failDue);
    }, wakeMs - performance.now());
  };
  const failDue = (): void => {
    if (ended) return;
    const now = performance.now();
    for (const waiting of batch) {
      if (waiting.deadline <= now) fail(waiting, new Error("no reply in time"));
    }
    watch();
  };
  watch();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/** From now: what came before was not Redis's time. */
function prolong(batch: readonly Waiting[], byMs: number): void {
  const untilMs = performance.now() + byMs;
  for (const waiting of batch) {
    waiting.deadline = Math.min(waiting.callerDeadline, Math.max(waiting.deadline, untilMs));
  }
}
