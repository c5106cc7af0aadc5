import type { LimitShape } from "../core/policy.ts";
import type { BucketState, Charge, PointsMode, TakeAnswer, TakeRequest } from "../core/ports.ts";
import { rememberUs, slackUs } from "../points/retention.ts";
import { requestIdOf } from "../points/take-decision.ts";
import type { KeyNames } from "./key-names.ts";

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

/** `notAfterUs` is on Redis's clock; -Infinity asks only what time it is there. */
export function encodeTakes(
  batch: readonly { readonly request: TakeRequest; readonly notAfterUs: number }[],
  names: KeyNames,
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
  const limits: Buffer[] = [];
  const indexOfLimit = new Map<string, number>();
  const limit = (charge: Charge): number => {
    const { shape, windowMs, blockMs, shadow } = charge.limit;
    const id = `${shape} ${shadow} ${windowMs} ${blockMs} ${charge.points}`;
    let index = indexOfLimit.get(id);
    if (index === undefined) {
      index = limits.push(encodeLimit(charge));
      indexOfLimit.set(id, index);
    }
    return index;
  };

  const charges = batch.reduce((count, { request }) => count + request.charges.length, 0);
  const takes = Buffer.allocUnsafe(batch.length * TAKE_BYTES + charges * CHARGE_BYTES);
  let at = 0;
  for (const { request, notAfterUs } of batch) {
    at = takes.writeDoubleLE(notAfterUs, at);
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
  return { keys, limits: Buffer.concat(limits), takes };
}

function encodeLimit({ limit, points }: Charge): Buffer {
  const windowUs = limit.windowMs * 1000;
  const bytes = Buffer.allocUnsafe(LIMIT_BYTES);
  bytes.writeUInt8(shapeCodes[limit.shape], 0);
  bytes.writeUInt8(limit.shadow === true ? 1 : 0, 1);
  bytes.writeDoubleLE(points, 2);
  bytes.writeDoubleLE(windowUs, 10);
  bytes.writeDoubleLE(limit.blockMs * 1000, 18);
  bytes.writeDoubleLE(rememberUs(windowUs), 26);
  bytes.writeDoubleLE(slackUs(windowUs), 34);
  return bytes;
}

/** Redis's time at the call, in microseconds, and a verdict for each of the takes. */
export function decodeAnswer(
  bytes: Buffer,
  requests: readonly TakeRequest[],
): { clockUs: number; verdicts: TakeVerdict[] } {
  let at = 8;
  const verdicts = requests.map((request): TakeVerdict => {
    const verdict = bytes.readUInt8(at++);
    if (verdict === LATE) return "late";
    if (verdict === REUSED) return "reused";
    if (verdict === UNREADABLE) return "unreadable";
    const states = request.charges.map(() => {
      const state = decodeState(bytes, at);
      at += STATE_BYTES;
      return state;
    });
    return { outcome: outcomeOf(verdict), states, decidedBy: "store" };
  });
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
