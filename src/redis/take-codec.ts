import type { LimitShape } from "../core/policy.ts";
import type { BucketState, Charge, Deadline, PointsMode, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { rememberUs, slackUs } from "../points/retention.ts";
import { requestIdOf } from "../points/take-decision.ts";
import type { KeyNames } from "./key-names.ts";
import type { RedisClock } from "./redis-clock.ts";

/** KEYS and ARGV of one call of the take script; their form is at its head. */
export interface EncodedTakes {
  readonly keys: readonly string[];
  readonly limits: Buffer;
  readonly takes: Buffer;
}

/** What the script answers to one take. */
export type TakeVerdict = TakeAnswer | "late" | "reused" | "unreadable";

const shapeCodes: Readonly<Record<LimitShape, number>> = { sliding: 1, fixed: 2, bucket: 3 };
const modeCodes: Readonly<Record<PointsMode, number>> = { enforce: 0, peek: 1, record: 2 };
const outcomes = ["admitted", "exceeded", "blocked"] as const;
const LATE = 3;
const REUSED = 4;
const UNREADABLE = 5;

const LIMIT_BYTES = 42;
const TAKE_BYTES = 11;
const CHARGE_BYTES = 14;
const STATE_BYTES = 33;

/** A take that Redis may do until its deadline, on this process's clock. */
export interface TimedTake {
  readonly request: TakeRequest;
  readonly deadline: Deadline;
}

/** With a clock that is not known yet, the takes only ask what time it is there. */
export function encodeTakes(
  batch: readonly TimedTake[],
  { names, clock }: { names: KeyNames; clock: RedisClock },
): EncodedTakes {
  const keys: string[] = [];
  const indexOfKey = new Map<string, number>();
  const key = (name: string): number => {
    let index = indexOfKey.get(name);
    if (index === undefined) {
      index = keys.push(name);
      indexOfKey.set(name, index);
    }
    return index;
  };
  // Each stands for those of the same limit and points.
  const limited: Charge[] = [];
  const limit = (charge: Charge): number => {
    let index = 0;
    while (index < limited.length && !isLimitedAs(limited[index] as Charge, charge)) index++;
    limited[index] = charge;
    return index + 1;
  };

  let charges = 0;
  for (const { request } of batch) charges += request.charges.length;
  const takes = Buffer.allocUnsafe(batch.length * TAKE_BYTES + charges * CHARGE_BYTES);
  let at = 0;
  for (const { request, deadline } of batch) {
    at = takes.writeDoubleLE(clock.at(deadline), at);
    at = takes.writeUInt8(modeCodes[request.mode], at);
    at = takes.writeUInt16LE(request.charges.length, at);
    const requestId = requestIdOf(request);
    for (const charge of request.charges) {
      at = takes.writeUInt16LE(key(names.bucket(charge)), at);
      at = takes.writeUInt16LE(requestId === "" ? 0 : key(names.request(charge, requestId)), at);
      at = takes.writeUInt16LE(limit(charge), at);
      at = takes.writeDoubleLE(charge.cost, at);
    }
  }
  return { keys, limits: encodeLimits(limited), takes };
}

function isLimitedAs(one: Charge, other: Charge): boolean {
  if (one.points !== other.points) return false;
  const { shape, windowMs, blockMs, shadow } = other.limit;
  return (
    one.limit.shape === shape &&
    one.limit.windowMs === windowMs &&
    one.limit.blockMs === blockMs &&
    one.limit.shadow === shadow
  );
}

function encodeLimits(limited: readonly Charge[]): Buffer {
  const bytes = Buffer.allocUnsafe(limited.length * LIMIT_BYTES);
  let at = 0;
  for (const { limit, points } of limited) {
    const windowUs = limit.windowMs * 1000;
    at = bytes.writeUInt8(shapeCodes[limit.shape], at);
    at = bytes.writeUInt8(limit.shadow === true ? 1 : 0, at);
    at = bytes.writeDoubleLE(points, at);
    at = bytes.writeDoubleLE(windowUs, at);
    at = bytes.writeDoubleLE(limit.blockMs * 1000, at);
    at = bytes.writeDoubleLE(rememberUs(windowUs), at);
    at = bytes.writeDoubleLE(slackUs(windowUs), at);
  }
  return bytes;
}

/** Redis's time at the call, in microseconds, and a verdict for each of the takes. */
export function decodeAnswer(
  bytes: Buffer,
  batch: readonly TimedTake[],
): { clockUs: number; verdicts: TakeVerdict[] } {
  let at = 8;
  const verdicts: TakeVerdict[] = [];
  for (const { request } of batch) {
    const verdict = bytes.readUInt8(at++);
    if (verdict === LATE) verdicts.push("late");
    else if (verdict === REUSED) verdicts.push("reused");
    else if (verdict === UNREADABLE) verdicts.push("unreadable");
    else {
      const outcome = outcomeOf(verdict);
      const statesAt = at;
      const states = request.charges.map((_, index) => decodeState(bytes, statesAt + index * STATE_BYTES));
      at += states.length * STATE_BYTES;
      verdicts.push({ outcome, states, decidedBy: "store" });
    }
  }
  if (at !== bytes.length) throw new RangeError(`the answer has ${bytes.length} bytes, not ${at}`);
  return { clockUs: bytes.readDoubleLE(0), verdicts };
}

function decodeState(bytes: Buffer, at: number): BucketState {
  return {
    outcome: outcomeOf(bytes.readUInt8(at)),
    remaining: bytes.readDoubleLE(at + 1),
    resetMs: bytes.readDoubleLE(at + 9),
    blockedMs: bytes.readDoubleLE(at + 17),
    retryAfterMs: bytes.readDoubleLE(at + 25),
  };
}

function outcomeOf(code: number): BucketState["outcome"] {
  const outcome = outcomes[code];
  if (outcome === undefined) throw new RangeError(`the answer holds the outcome ${code}`);
  return outcome;
}
