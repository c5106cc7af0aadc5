import type { Redis } from "ioredis";
import type { Limit } from "../../src/core/policy.ts";
import type { BucketState, Charge, TakeAnswer } from "../../src/core/ports.ts";
import { createSetClockBuckets, type SetClockOptions } from "../../test/redis/set-clock.ts";
import type { DecidedRequest, Story, StoryRun } from "./story.ts";

/** How often the spent points are looked at; requests come at whole multiples of it. */
const LOOK_MS = 100;

/** Far more than any take needs. */
const PATIENCE_MS = 60_000;

/** Of the tally: far more than any story charges. */
const TALLY_POINTS = 1000;

/** Asks the real script about each request, on a clock that is set, and looks at the bucket all the time. */
export async function runStory(
  redis: Redis,
  story: Story,
  { edit }: Pick<SetClockOptions, "edit"> = {},
): Promise<StoryRun> {
  const { store, setClock } = createSetClockBuckets(redis, edit === undefined ? {} : { edit });
  const charges = chargesOf(story);
  const take = (mode: "enforce" | "peek"): Promise<TakeAnswer> =>
    store.take({ charges, mode, requestId: "", onOutage: "deny" }, performance.now() + PATIENCE_MS);

  const requests: DecidedRequest[] = [];
  const spent: { atMs: number; points: number }[] = [];
  const due = new Set(story.requestsMs);
  for (let atMs = 0; atMs <= story.lastsMs; atMs += LOOK_MS) {
    await setClock(atMs);
    spent.push({ atMs, points: spentPoints(story, await take("peek")) });
    if (!due.delete(atMs)) continue;
    const answer = await take("enforce");
    const { outcome, retryAfterMs } = stateOf(answer, 0);
    requests.push({ atMs, outcome, retryAfterMs });
    spent.push({ atMs, points: spentPoints(story, answer) });
  }
  if (due.size > 0) throw new Error(`${story.name} makes requests between the looks, or after its end`);
  return { requests, spent };
}

/**
 * The limit's, and a tally's: of the same shape and window, charged by the same takes and so by what the limit
 * admits, with points that never run out. It tells what is spent also during a block, when the limit tells 0 left.
 */
function chargesOf({ name, limit: { shape, points, windowMs, blockMs } }: Story): readonly Charge[] {
  const limit: Limit = {
    name,
    per: "key",
    descriptor: new Map(),
    points,
    planPoints: new Map(),
    environments: [],
    windowMs,
    shape,
    blockMs,
  };
  const charge: Charge = { limit, points, bucket: `${name}\nlimit`, shardBy: name, cost: 1 };
  const tally: Charge = {
    ...charge,
    limit: { ...limit, blockMs: 0 },
    points: TALLY_POINTS,
    bucket: `${name}\ntally`,
  };
  return [charge, tally];
}

function spentPoints({ limit: { shape, points, windowMs } }: Story, answer: TakeAnswer): number {
  // Points of a bucket flow back all the time, but whole ones are told: when all are back says how many are spent.
  if (shape === "bucket") return (stateOf(answer, 0).resetMs * points) / windowMs;
  return TALLY_POINTS - stateOf(answer, 1).remaining;
}

function stateOf({ states }: TakeAnswer, index: number): BucketState {
  const state = states[index];
  if (state === undefined) throw new Error("Redis told no state");
  return state;
}
