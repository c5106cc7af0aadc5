import { TollgateError } from "../core/errors.ts";
import type { LimitShape } from "../core/policy.ts";
import type { BucketState, Charge, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { fixed } from "./fixed.ts";
import { gcra } from "./gcra.ts";
import type { Instant, Shape } from "./shape.ts";
import { sliding } from "./sliding.ts";

/** A limit's state for one subject. Times are whole microseconds on the store's clock. */
export interface Bucket {
  /** The time of the last change: the bucket's clock is never before it. */
  readonly lastUs: number;
  /** The bucket refuses every charge before this time; 0: never blocked. */
  readonly blockUntilUs: number;
  /** As the limit's shape keeps it. */
  readonly spent: unknown;
}

/** A charge with what is known of its bucket. */
export interface Look {
  readonly charge: Charge;
  /** Undefined: never charged. */
  readonly bucket: Bucket | undefined;
  /** The bucket's time: the clock, or `bucket.lastUs` when that is later. */
  readonly nowUs: number;
  /** What the request_id charged this bucket before, while that is remembered. */
  readonly rememberedCost: number | undefined;
}

export interface TakeDecision {
  readonly answer: TakeAnswer;
  /** What is to be stored, one a look. */
  readonly effects: readonly Effect[];
}

export interface Effect {
  readonly look: Look;
  /** The bucket as it becomes; undefined: it is not changed. */
  readonly change: Bucket | undefined;
  /** The request_id charged the bucket now, and is to be remembered. */
  readonly charged: boolean;
}

const shapes: Readonly<Record<LimitShape, Shape<unknown>>> = { sliding, fixed, bucket: gcra };

/**
 * Decides one take by the rules of `BucketStore`, over all its charges or none. Pure: what is to be
 * stored is in the result. Throws TollgateError `failed_precondition` REQUEST_ID_REUSED.
 */
export function decideTake(mode: TakeRequest["mode"], looks: readonly Look[]): TakeDecision {
  if (
    looks.some((look) => !isInShadow(look) && (look.rememberedCost ?? look.charge.cost) !== look.charge.cost)
  ) {
    throw requestIdReused();
  }
  const judged = looks.map((look) => ({ look, alone: outcomeAlone(mode, look) }));
  const outcome = outcomeOfAll(judged);
  const results = judged.map(({ look, alone }) => {
    const decided = isInShadow(look) ? decidedInShadow(alone, outcome) : outcome;
    const charged =
      decided === "admitted" && mode !== "peek" && look.rememberedCost === undefined && look.charge.cost > 0;
    const refused = decided === "exceeded" && mode === "enforce";
    const change = charged ? afterCharge(look) : refused ? afterRefusal(look) : undefined;
    return { look, change, charged, state: stateOf(look, change ?? look.bucket, alone) };
  });
  return {
    answer: { outcome, states: results.map(({ state }) => state), decidedBy: "store" },
    effects: results,
  };
}

/** The request_id that the take goes by; empty: none. A peek asks what a new request would meet. */
export function requestIdOf({ mode, requestId }: TakeRequest): string {
  return mode === "peek" ? "" : requestId;
}

/** A request_id came again with another cost. */
export function requestIdReused(): TollgateError {
  return new TollgateError("failed_precondition", "The request_id was used before with another cost.", {
    reason: "REQUEST_ID_REUSED",
  });
}

/** When the bucket is as if it had never been charged or blocked, in microseconds on its clock. */
export function endUs(bucket: Bucket, charge: Charge): number {
  const at = { nowUs: bucket.lastUs, windowUs: charge.limit.windowMs * 1000, points: charge.points };
  return Math.max(
    bucket.blockUntilUs,
    bucket.lastUs + shapes[charge.limit.shape].untilFull(bucket.spent, at),
  );
}

/** A bucket that was never charged, blocked until then. */
export function blockedBucket(
  charge: Charge,
  { nowUs, untilUs }: { nowUs: number; untilUs: number },
): Bucket {
  return { lastUs: nowUs, blockUntilUs: untilUs, spent: shapes[charge.limit.shape].nothing };
}

type Outcome = BucketState["outcome"];

function outcomeOfAll(judged: readonly { readonly look: Look; readonly alone: Outcome }[]): Outcome {
  const isSaid = (outcome: Outcome): boolean =>
    judged.some(({ look, alone }) => alone === outcome && !isInShadow(look));
  if (isSaid("blocked")) return "blocked";
  return isSaid("exceeded") ? "exceeded" : "admitted";
}

/** Undefined: nothing is done with the bucket, since the limits that are not in shadow refuse. */
function decidedInShadow(alone: Outcome, ofOthers: Outcome): Outcome | undefined {
  return ofOthers === "admitted" ? alone : undefined;
}

function outcomeAlone(mode: TakeRequest["mode"], look: Look): Outcome {
  if (look.rememberedCost !== undefined || mode === "record") return "admitted";
  if (isBlocked(look)) return "blocked";
  const { shape, at, spent } = parts(look, look.bucket);
  return shape.fits(spent, at, look.charge.cost) ? "admitted" : "exceeded";
}

function afterCharge(look: Look): Bucket {
  const { shape, at, spent } = parts(look, look.bucket);
  const spentAfter = shape.charge(spent, at, look.charge.cost);
  // Only record charges above the points.
  const startsBlock = !isBlocked(look) && shape.exceeds(spentAfter, at, 0);
  return {
    lastUs: look.nowUs,
    blockUntilUs: startsBlock ? blockFrom(look) : (look.bucket?.blockUntilUs ?? 0),
    spent: spentAfter,
  };
}

function afterRefusal(look: Look): Bucket | undefined {
  const { charge, rememberedCost, nowUs } = look;
  if (rememberedCost !== undefined || charge.cost === 0 || charge.limit.blockMs === 0) return undefined;
  if (charge.cost > charge.points) return undefined;
  const { shape, at, spent } = parts(look, look.bucket);
  if (!shape.exceeds(spent, at, charge.cost)) return undefined;
  return { lastUs: nowUs, blockUntilUs: blockFrom(look), spent };
}

function stateOf(look: Look, bucket: Bucket | undefined, outcome: Outcome): BucketState {
  const { shape, at, spent } = parts(look, bucket);
  const blockedUs = Math.max(0, (bucket?.blockUntilUs ?? 0) - look.nowUs);
  return {
    remaining: blockedUs > 0 ? 0 : shape.remaining(spent, at),
    resetMs: toMs(Math.max(blockedUs, shape.untilFull(spent, at))),
    blockedMs: toMs(blockedUs),
    retryAfterMs:
      outcome === "admitted" ? 0 : toMs(Math.max(blockedUs, shape.untilFits(spent, at, look.charge.cost))),
    outcome,
  };
}

function parts(
  look: Look,
  bucket: Bucket | undefined,
): { shape: Shape<unknown>; at: Instant; spent: unknown } {
  const shape = shapes[look.charge.limit.shape];
  return {
    shape,
    at: { nowUs: look.nowUs, windowUs: look.charge.limit.windowMs * 1000, points: look.charge.points },
    spent: bucket === undefined ? shape.nothing : bucket.spent,
  };
}

function isInShadow({ charge }: Look): boolean {
  return charge.limit.shadow === true;
}

function isBlocked({ bucket, nowUs }: Look): boolean {
  return bucket !== undefined && bucket.blockUntilUs > nowUs;
}

/** Without a block the bucket's old one, long over, is as good as any. */
function blockFrom({ charge, nowUs, bucket }: Look): number {
  return charge.limit.blockMs === 0 ? (bucket?.blockUntilUs ?? 0) : nowUs + charge.limit.blockMs * 1000;
}

function toMs(us: number): number {
  return Math.ceil(us / 1000);
}
