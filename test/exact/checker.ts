import {
  attemptsOf,
  type BucketHistory,
  bucketHistories,
  type ExactCharge,
  isAdmitted,
  isCharge,
  isUncertain,
  type Sight,
} from "./bucket-history.ts";
import type { Decision, ExactLimit, Rules } from "./history.ts";
import { countUpTo, createSpans, type Span } from "./spans.ts";

/**
 * - over_admission: the store admitted more than the points, all of it surely within one window.
 * - admitted_in_block, block_not_started, block_without_cause, block_length: a block begins with the call that
 *   would exceed the limit, refuses every call, lasts its time, and nothing extends it.
 * - refusal_charged, charged_twice, partly_charged: fewer points are left than what was charged explains. Named
 *   after what could explain it: a refusal, a repeated request_id, one limit of several. A call that the service
 *   itself sent twice goes by one of these names, too.
 * - charge_lost: more points are left than what was surely charged leaves.
 * - refused_though_free, repeat_refused: nothing was there to refuse it for.
 * - limit_left_out: an answer does not tell of each limit that applies.
 * - local_share: one process admitted more by itself, surely within one window, than its share. (The store alone
 *   admits at most the points, so that all together is at most the points and a share for each process.) A request_id
 *   that both admitted counts here: the store may have known it only because it was told.
 * - no_answer: a call hung.
 */
export type BrokenRule =
  | "over_admission"
  | "admitted_in_block"
  | "block_not_started"
  | "block_without_cause"
  | "block_length"
  | "refusal_charged"
  | "charged_twice"
  | "partly_charged"
  | "charge_lost"
  | "refused_though_free"
  | "repeat_refused"
  | "limit_left_out"
  | "local_share"
  | "no_answer";

export interface Violation {
  readonly rule: BrokenRule;
  /** Empty: of no one bucket. */
  readonly bucket: string;
  readonly detail: string;
  readonly decision: Decision;
}

/** The client's clock and the store's may differ by that much in a window, rounding included; milliseconds. */
const CLOCKS_APART_MS = 2;

/** Charges within a sixtieth of the window may come back together, with the last of them. */
const ROUNDING = 60;

/**
 * Finds what a history proves to be broken. Knows nothing of how points are kept: a charge was made at some time
 * between its call and its answer, and only what is wrong wherever in between it was made is a violation.
 * The earliest comes first.
 */
export function findViolations(history: readonly Decision[], rules: Rules): Violation[] {
  const buckets = bucketHistories(history, rules);
  const violations = [
    ...hangs(history, rules),
    ...leftOut(history),
    ...refusedRepeats(history),
    ...refusedThoughFree(buckets),
    ...buckets.flatMap((bucket) => [
      ...overAdmission(bucket),
      ...wrongRemaining(bucket),
      ...brokenBlocks(bucket, rules),
      ...localShares(bucket, rules),
    ]),
  ];
  return violations.sort((a, b) => a.decision.sentMs - b.decision.sentMs);
}

function hangs(history: readonly Decision[], { longestAnswerMs }: Rules): Violation[] {
  return history
    .filter(({ sentMs, answeredMs }) => answeredMs - sentMs >= longestAnswerMs)
    .map((decision) => ({
      rule: "no_answer",
      bucket: "",
      detail: `none for ${longestAnswerMs} ms`,
      decision,
    }));
}

function leftOut(history: readonly Decision[]): Violation[] {
  return history.flatMap((decision) => {
    const { answer, buckets } = decision;
    if (answer.kind !== "decided" || answer.by !== "store") return [];
    const told = new Set(answer.states.map(({ limit }) => limit));
    const missing = Object.keys(buckets).filter((name) => !told.has(name));
    if (missing.length === 0) return [];
    return [{ rule: "limit_left_out" as const, bucket: "", detail: `not told: ${missing.join()}`, decision }];
  });
}

function refusedRepeats(history: readonly Decision[]): Violation[] {
  return attemptsOf(history.filter(isCharge)).flatMap((group) => {
    const admitted = group.filter(({ answer }) => isAdmitted(answer, "store"));
    const knownMs = Math.min(...admitted.map(({ answeredMs }) => answeredMs));
    return group
      .filter(({ sentMs, answer }) => sentMs > knownMs && answer.kind === "decided" && answer.by === "store")
      .filter(({ answer }) => !isAdmitted(answer, "store"))
      .map((decision) => ({
        rule: "repeat_refused" as const,
        bucket: "",
        detail: `request_id ${decision.requestId} was admitted before`,
        decision,
      }));
  });
}

/** A refusal by a limit needs one limit, of those that apply, that the cost may not have fitted. */
function refusedThoughFree(buckets: readonly BucketHistory[]): Violation[] {
  const explained = new Map<Decision, boolean>();
  for (const { charges, sights, limit } of buckets) {
    for (const sight of sights) {
      if (sight.outcome !== "exceeded") continue;
      const exceeds = mostSpent(charges, sight, limit) + sight.decision.cost > limit.points;
      explained.set(sight.decision, explained.get(sight.decision) === true || exceeds);
    }
  }
  return [...explained]
    .filter(([, isExplained]) => !isExplained)
    .map(([decision]) => ({
      rule: "refused_though_free",
      bucket: "",
      detail: `cost ${decision.cost} fits`,
      decision,
    }));
}

function overAdmission({ bucket, limit, charges, decisions }: BucketHistory): Violation[] {
  const sure = charges.filter(({ isSure, isLocal }) => isSure && !isLocal);
  const broken = crowded(sure, limit.windowMs, limit.points);
  if (broken === undefined) return [];
  const decision = decisions.find(({ sentMs }) => sentMs === broken.fromMs) as Decision;
  const detail = `${broken.sum} points within ${limit.windowMs} ms, of ${limit.points}`;
  return [{ rule: "over_admission", bucket, detail, decision }];
}

/** Charges, sorted, that surely lie within one window and are more than `points`; the first such. */
function crowded(
  sure: readonly ExactCharge[],
  windowMs: number,
  points: number,
): { fromMs: number; sum: number } | undefined {
  for (const [index, { fromMs }] of sure.entries()) {
    const endMs = fromMs + windowMs - CLOCKS_APART_MS;
    let sum = 0;
    for (let at = index; at < sure.length; at++) {
      const charge = sure[at] as ExactCharge;
      if (charge.fromMs >= endMs) break;
      if (charge.toMs < endMs) sum += charge.cost;
    }
    if (sum > points) return { fromMs, sum };
  }
  return undefined;
}

function wrongRemaining({ bucket, limit, charges, sights, decisions }: BucketHistory): Violation[] {
  return sights.flatMap((sight): Violation[] => {
    const { state, decision } = sight;
    // During a block none are told.
    if (state.blockedMs > 0) return [];
    const most = Math.max(0, limit.points - leastSpent(charges, sight, limit));
    if (state.remaining > most) {
      const detail = `${state.remaining} points left, and at most ${most} can be`;
      const isPart = Object.keys(decision.buckets).length > 1;
      return [{ rule: isPart ? "partly_charged" : "charge_lost", bucket, detail, decision }];
    }
    const least = Math.max(0, limit.points - mostSpent(charges, sight, limit));
    if (state.remaining >= least) return [];
    const detail = `${state.remaining} points left, and at least ${least} must be`;
    const rule = whatWouldExplain(least - state.remaining, { sight, decisions, limit });
    return [{ rule, bucket, detail, decision }];
  });
}

function whatWouldExplain(
  missing: number,
  around: { sight: Sight; decisions: readonly Decision[]; limit: ExactLimit },
): BrokenRule {
  const { sight, decisions, limit } = around;
  const sinceMs = sight.decision.sentMs - countsForMs(limit);
  const recent = decisions.filter(
    (decision) =>
      isCharge(decision) && decision.answeredMs >= sinceMs && decision.sentMs <= sight.decision.answeredMs,
  );
  const repeated = attemptsOf(recent.filter(({ requestId }) => requestId !== ""))
    .flatMap((group) => group.filter((decision) => !isRefused(decision)).slice(1))
    .reduce((sum, { cost }) => sum + cost, 0);
  if (repeated >= missing) return "charged_twice";
  return recent.some((decision) => isRefused(decision) && Object.keys(decision.buckets).length > 1)
    ? "partly_charged"
    : "refusal_charged";
}

function isRefused({ answer }: Decision): boolean {
  return answer.kind === "decided" && answer.by === "store" && answer.outcome !== "admitted";
}

/** How long a charge may count: with what the rounding adds, and the clocks. */
function countsForMs({ windowMs }: ExactLimit): number {
  return windowMs + windowMs / ROUNDING + CLOCKS_APART_MS;
}

/** What counted at least when the store saw it: what was surely charged before, and surely not yet out. */
function leastSpent(charges: readonly ExactCharge[], { decision, own }: Sight, limit: ExactLimit): number {
  const inSinceMs = decision.answeredMs - limit.windowMs + CLOCKS_APART_MS;
  let sum = own !== undefined && own.fromMs > inSinceMs ? own.cost : 0;
  for (let at = countUpTo(charges, decision.sentMs) - 1; at >= 0; at--) {
    const charge = charges[at] as ExactCharge;
    if (charge.fromMs <= inSinceMs) break;
    if (charge.isSure && charge !== own && charge.toMs < decision.sentMs) sum += charge.cost;
  }
  return sum;
}

/** What counted at most when the store saw it. */
function mostSpent(charges: readonly ExactCharge[], { decision }: Sight, limit: ExactLimit): number {
  const outBeforeMs = decision.sentMs - countsForMs(limit);
  const longestMs = longest(charges);
  let sum = 0;
  for (let at = countUpTo(charges, decision.answeredMs) - 1; at >= 0; at--) {
    const charge = charges[at] as ExactCharge;
    if (charge.fromMs + longestMs < outBeforeMs) break;
    if (charge.toMs >= outBeforeMs) sum += charge.cost;
  }
  return sum;
}

const longestOf = new WeakMap<readonly ExactCharge[], number>();

function longest(charges: readonly ExactCharge[]): number {
  const known =
    longestOf.get(charges) ?? charges.reduce((most, { fromMs, toMs }) => Math.max(most, toMs - fromMs), 0);
  longestOf.set(charges, known);
  return known;
}

function brokenBlocks(history: BucketHistory, rules: Rules): Violation[] {
  const { bucket, limit, sights, charges } = history;
  const violation = (rule: BrokenRule, { decision }: Sight, detail: string): Violation => ({
    rule,
    bucket,
    detail,
    decision,
  });
  const starts = createSpans(possibleStarts(history, rules));
  const surelyBlocked = createSpans(sureBlocks(history));

  return sights.flatMap((sight): Violation[] => {
    const { decision, outcome, state } = sight;
    const { blockedMs } = state;
    const wasBlockedUntilMs = surelyBlocked.latestEnd(decision.sentMs);
    const isRepeat = sight.mayRepeat && outcome === "admitted";
    if (decision.answeredMs < wasBlockedUntilMs && outcome !== "blocked" && !isRepeat) {
      const detail = `${outcome} ${wasBlockedUntilMs - decision.answeredMs} ms before the block's end`;
      return [violation("admitted_in_block", sight, detail)];
    }
    if (blockedMs > limit.blockMs) {
      return [violation("block_length", sight, `${blockedMs} ms left of a block of ${limit.blockMs} ms`)];
    }
    if (outcome === "exceeded") {
      const wouldExceed = mostSpent(charges, sight, limit) + decision.cost > limit.points;
      const surelyExceeds = surelySpent(charges, sight, limit) + decision.cost > limit.points;
      if (blockedMs === 0) {
        if (limit.blockMs === 0 || !isCharge(decision) || sight.mayRepeat || !surelyExceeds) return [];
        return [violation("block_not_started", sight, "the limit was exceeded, and no block runs")];
      }
      if (!isCharge(decision) || !wouldExceed) {
        return [violation("block_without_cause", sight, "it did not exceed the limit, and a block runs")];
      }
      if (blockedMs === limit.blockMs) return [];
      return [violation("block_length", sight, `it begins with ${blockedMs} ms of ${limit.blockMs}`)];
    }
    if (outcome === "admitted" && blockedMs > 0 && !isRepeat) {
      return [violation("admitted_in_block", sight, `with ${blockedMs} ms of the block left`)];
    }
    if (blockedMs === 0) return [];
    // Begun at some time from `earliestMs` to `latestMs`, if it lasts its time and was not extended.
    const earliestMs = decision.sentMs + blockedMs - 1 - limit.blockMs - CLOCKS_APART_MS;
    const latestMs = decision.answeredMs + blockedMs - limit.blockMs + CLOCKS_APART_MS;
    if (starts.latestEnd(latestMs) >= earliestMs) return [];
    const detail = `${blockedMs} ms of a block are left that nothing began ${limit.blockMs} ms before its end`;
    return [violation("block_without_cause", sight, detail)];
  });
}

function possibleStarts({ decisions, sights }: BucketHistory, { lateMs }: Rules): Span[] {
  const told = sights.filter((sight) => startsBlock(sight)).map(({ decision }) => decision);
  const lost = decisions.filter((decision) => isCharge(decision) && isUncertain(decision));
  return [
    ...told.map(({ sentMs, answeredMs }) => ({ fromMs: sentMs, toMs: answeredMs })),
    ...lost.map(({ sentMs, answeredMs }) => ({ fromMs: sentMs, toMs: answeredMs + lateMs })),
  ];
}

function sureBlocks({ sights, limit }: BucketHistory): Span[] {
  return sights
    .filter(({ state }) => state.blockedMs > 0)
    .map((sight) => {
      const { sentMs, answeredMs } = sight.decision;
      const leftMs = startsBlock(sight) ? limit.blockMs : sight.state.blockedMs - 1;
      return { fromMs: answeredMs, toMs: sentMs + leftMs - CLOCKS_APART_MS };
    });
}

function startsBlock({ outcome, state, decision }: Sight): boolean {
  return outcome === "exceeded" && state.blockedMs > 0 && isCharge(decision);
}

/** What surely counted without the help of rounding: only that starts a block. */
function surelySpent(charges: readonly ExactCharge[], sight: Sight, limit: ExactLimit): number {
  const rounding = limit.windowMs / ROUNDING;
  return leastSpent(charges, sight, { ...limit, windowMs: limit.windowMs - rounding });
}

function localShares({ bucket, limit, decisions }: BucketHistory, { leastReplicas }: Rules): Violation[] {
  const share = Math.floor(limit.points / leastReplicas);
  const local = decisions.filter((each) => isCharge(each) && isAdmitted(each.answer, "local"));
  return [...new Set(local.map(({ process }) => process))].flatMap((process) => {
    const own = local.filter((decision) => decision.process === process);
    const charges = attemptsOf(own).map((group) => ({
      fromMs: Math.min(...group.map(({ sentMs }) => sentMs)),
      toMs: Math.min(...group.map(({ answeredMs }) => answeredMs)),
      cost: (group[0] as Decision).cost,
      isSure: true,
      isLocal: true,
    }));
    charges.sort((a, b) => a.fromMs - b.fromMs);
    const broken = crowded(charges, limit.windowMs, share);
    if (broken === undefined) return [];
    const decision = own.find(({ sentMs }) => sentMs === broken.fromMs) as Decision;
    const detail = `process ${process} admitted ${broken.sum} within ${limit.windowMs} ms of a share of ${share}`;
    return [{ rule: "local_share" as const, bucket, detail, decision }];
  });
}
