import { type Cluster, Command, type Redis } from "ioredis";
import { storeUnavailable, TollgateError } from "../core/errors.ts";
import type { BucketStore, Deadline, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { type Fate, NoReply } from "../points/no-reply.ts";
import { NotSent } from "../points/not-sent.ts";
import { STORE_SHARE } from "../points/store-share.ts";
import { requestIdReused } from "../points/take-decision.ts";
import { UnreadableBucket } from "../points/unreadable-bucket.ts";
import { isCluster } from "./connect.ts";
import { createKeyNames, shardOf } from "./key-names.ts";
import { plainError } from "./plain-error.ts";
import { createRedisClock, type RedisClock } from "./redis-clock.ts";
import { decodeAnswer, type EncodedTakes, encodeTakes, type TakeVerdict } from "./take-codec.ts";
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

/** Timers of a machine that has time wake within this of their hour, also behind the end of a burst. */
const PUNCTUAL_MS = 5;

/** The best of so many readings counts. */
const CLOCK_READINGS = 5;

/** Redis did not answer for that long. */
interface Silence {
  readonly silentMs: number;
}

interface Waiting {
  readonly request: TakeRequest;
  readonly callerDeadline: Deadline;
  /** The caller's; once it is sent, the budget's where that is sooner. */
  deadline: Deadline;
  /** Redis's time for it has begun. */
  sent: boolean;
  readonly resolve: (answer: TakeAnswer) => void;
  readonly reject: (error: TollgateError) => void;
  /** In a call that has no reply yet. */
  underWay: boolean;
  /** Sent, and answered that it came too late: nothing was charged. */
  wasLate: boolean;
  /** Of one that failed while it was under way. */
  tellFate: ((fate: Fate) => void) | undefined;
  settled: boolean;
}

/**
 * Buckets in Redis, on Redis's clock. Takes of one turn of the event loop go in one call of the script
 * (in Cluster one a shard). A call is sent once: when its reply is lost, whether it charged is not known,
 * and the take throws `storeUnavailable` with the cause `NoReply`, which tells it when it turns out; with any other
 * cause the take did nothing. Only what surely did nothing is sent again: a call that
 * the server did not know the script for, and a take that it found to be late while there is still time.
 * One whose time is up before it is sent, or for which nobody waits by then, fails with the cause `NotSent`. In Cluster a take over several
 * shards is "internal" CROSS_SHARD.
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
    const due = queue;
    queue = [];
    const groups = new Map<string, Waiting[]>();
    for (const waiting of due) {
      const node = isCluster(redis) ? shardOfAll(waiting) : "";
      if (node === undefined) {
        refuse(waiting, crossShard());
        continue;
      }
      const group = groups.get(node);
      if (group === undefined) groups.set(node, [waiting]);
      else group.push(waiting);
    }
    sendInOrder(groups);
  }

  /** Undefined: they are of several. */
  function shardOfAll({ request }: Waiting): string | undefined {
    const [first = "", ...others] = request.charges.map((charge) => shardOf(names.bucket(charge)));
    return others.every((shard) => shard === first) ? first : undefined;
  }

  function sendInOrder(groups: ReadonlyMap<string, readonly Waiting[]>): void {
    let unsent = [...groups].flatMap(([node, group]) =>
      batchesOf(group).map((batch) => ({ node, batch, watch: failWhenDue(batch) })),
    );
    let atOnce = CHARGES_AT_ONCE;
    let underWay = 0;
    const sendMore = (): void => {
      while (underWay < atOnce) {
        const next = unsent.shift();
        if (next === undefined) return;
        next.watch.stop();
        underWay += chargesOf(next.batch);
        void sendNext(next.node, next.batch);
      }
    };
    const sendNext = async (node: string, batch: readonly Waiting[]): Promise<void> => {
      const ending = await send(node, batch);
      underWay -= chargesOf(batch);
      if ("silentMs" in ending) abandon(node, ending.silentMs);
      // Before those behind them, so that they keep their order.
      else if (ending.length > 0) unsent.unshift({ node, batch: ending, watch: failWhenDue(ending) });
      sendMore();
    };
    const abandon = (silent: string, silentMs: number): void => {
      // One for all: in a burst of a thousand, errors of their own take milliseconds that nobody has now.
      const error = storeUnavailable("redis", new Error("no reply in time to the takes before it"));
      for (const { node, batch, watch } of unsent) {
        if (node !== silent) continue;
        for (const waiting of batch) {
          if (redisMsOf(waiting.request) > silentMs) continue;
          refuse(waiting, error);
        }
        if (!batch.some(isOpen)) watch.stop();
      }
      unsent = unsent.filter(({ batch }) => batch.some(isOpen));
      // Other shards may be on the same silent server: one after another they would wait far too long.
      atOnce = Number.POSITIVE_INFINITY;
    };
    sendMore();
  }

  function redisMsOf(request: TakeRequest): number {
    return STORE_SHARE * Math.min(budgetMs, request.budgetMs ?? budgetMs);
  }

  /**
   * Until the call has ended, or all of its takes are given up. Answers those to be sent again; a silence:
   * all are given up, and Redis had its share of each one's budget.
   */
  async function send(node: string, all: readonly Waiting[]): Promise<readonly Waiting[] | Silence> {
    const sentMs = performance.now();
    const batch = all.filter((waiting) => isStillToSend(waiting, sentMs));
    if (batch.length === 0) return [];
    for (const waiting of batch) {
      waiting.sent = true;
      waiting.deadline = Math.min(waiting.deadline, sentMs + redisMsOf(waiting.request));
    }
    const watch = failWhenDue(batch);
    const again = await Promise.race([exchange(node, { batch, sentMs }), watch.allFailed]);
    watch.stop();
    const silentMs = performance.now() - sentMs;
    const hadItsTime = batch.every(({ request }) => silentMs >= redisMsOf(request));
    return again ?? (hadItsTime ? { silentMs } : []);
  }

  /** Settles the batch by the reply, whenever that comes, but for those to be sent again, which it answers. */
  async function exchange(
    node: string,
    { batch, sentMs }: { batch: readonly Waiting[]; sentMs: number },
  ): Promise<readonly Waiting[]> {
    const clock = clockOf(node);
    const clockWasKnown = clock.known;
    for (const waiting of batch) waiting.underWay = true;
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
      return batch.filter((waiting, index) => {
        const verdict = verdicts[index];
        land(waiting, fateBy(verdict));
        return settle(waiting, { verdict, clockWasKnown }) === "again";
      });
    } catch (error) {
      observe({ takes: batch.length, durationMs: performance.now() - sentMs, outcome: "failed" });
      const fate = didNothing(error) ? "nothing" : "unknown";
      const plain = plainError(error);
      const cause = fate === "nothing" ? plain : new NoReply(plain.message, Promise.resolve(fate));
      const unavailable = storeUnavailable("redis", cause);
      for (const waiting of batch) {
        land(waiting, fate);
        refuse(waiting, unavailable);
      }
      return [];
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

  function settle(
    waiting: Waiting,
    { verdict, clockWasKnown }: { verdict: TakeVerdict | undefined; clockWasKnown: boolean },
  ): "settled" | "again" {
    if (waiting.settled) return "settled";
    if (verdict === "late" && !waiting.wasLate) {
      waiting.wasLate = true;
      if (!clockWasKnown) {
        // This call could do no more than ask what time it is: Redis's time for the take is yet to begin.
        waiting.sent = false;
        waiting.deadline = waiting.callerDeadline;
      }
      return "again";
    }
    if (verdict === "late" || verdict === undefined) fail(waiting, new Error(TOO_LATE));
    else if (verdict === "unreadable") fail(waiting, new UnreadableBucket());
    else if (verdict === "reused") refuse(waiting, requestIdReused());
    else {
      waiting.settled = true;
      waiting.resolve(verdict);
    }
    return "settled";
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
      return new Promise((resolve, reject) => {
        enqueue({
          request,
          callerDeadline: deadline,
          deadline,
          resolve,
          reject,
          sent: false,
          underWay: false,
          wasLate: false,
          tellFate: undefined,
          settled: false,
        });
      });
    },
  };
}

function batchesOf(group: readonly Waiting[]): (readonly Waiting[])[] {
  const batches: Waiting[][] = [];
  let charges = Number.POSITIVE_INFINITY;
  for (const waiting of group) {
    const more = waiting.request.charges.length;
    if (charges + more > BATCH_CHARGES) {
      batches.push([]);
      charges = 0;
    }
    batches.at(-1)?.push(waiting);
    charges += more;
  }
  return batches;
}

function chargesOf(batch: readonly Waiting[]): number {
  return batch.reduce((sum, { request }) => sum + request.charges.length, 0);
}

function isOpen({ settled }: Waiting): boolean {
  return !settled;
}

const TOO_LATE = "the take reached Redis too late";

function isStillToSend(waiting: Waiting, nowMs: number): boolean {
  if (!waiting.sent && waiting.request.waiter?.isAborted === true) fail(waiting, new NotSent());
  if (waiting.deadline <= nowMs) giveUp(waiting);
  return !waiting.settled;
}

function giveUp(waiting: Waiting): void {
  if (waiting.settled) return;
  if (!waiting.sent) fail(waiting, new NotSent());
  else if (!waiting.underWay) fail(waiting, new Error(TOO_LATE));
  else {
    const fate = new Promise<Fate>((resolve) => {
      waiting.tellFate = resolve;
    });
    fail(waiting, new NoReply("no reply in time", fate));
  }
}

/** Its call has ended. */
function land(waiting: Waiting, fate: Fate): void {
  waiting.underWay = false;
  waiting.tellFate?.(fate);
}

function fateBy(verdict: TakeVerdict | undefined): Fate {
  return typeof verdict === "object" && verdict.outcome === "admitted" ? "charged" : "nothing";
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

function fail(waiting: Waiting, cause: Error): void {
  refuse(waiting, storeUnavailable("redis", cause));
}

function refuse(waiting: Waiting, error: TollgateError): void {
  if (waiting.settled) return;
  waiting.settled = true;
  waiting.reject(error);
}

interface Watch {
  /** None of the batch is open any more, before the watch was stopped. */
  readonly allFailed: Promise<void>;
  stop(): void;
}

/**
 * Fails each of the batch that has no answer at its deadline.
 *
 * A watch that wakes late itself says that the machine stood still, or had no processor to spare, and then
 * Redis had as little: its takes get as much longer, up to their caller's deadline. On a machine that has
 * time this adds nothing.
 */
function failWhenDue(batch: readonly Waiting[]): Watch {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  let tellAllFailed = (): void => {};
  const allFailed = new Promise<void>((resolve) => {
    tellAllFailed = resolve;
  });
  const watch = (): void => {
    const open = batch.filter(isOpen);
    if (open.length === 0) {
      tellAllFailed();
      return;
    }
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
      if (waiting.deadline <= now) giveUp(waiting);
    }
    watch();
  };
  watch();
  return {
    allFailed,
    stop() {
      ended = true;
      clearTimeout(timer);
    },
  };
}

/** From now: what came before was not Redis's time. */
function prolong(batch: readonly Waiting[], byMs: number): void {
  const untilMs = performance.now() + byMs;
  for (const waiting of batch) {
    waiting.deadline = Math.min(waiting.callerDeadline, Math.max(waiting.deadline, untilMs));
  }
}
