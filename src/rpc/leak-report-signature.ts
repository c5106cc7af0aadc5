import { createHmac, timingSafeEqual } from "node:crypto";

/** A report may be this old, or this far ahead: clocks differ, and what is older may be somebody else's repeat. */
const MAX_AGE_MS = 5 * 60_000;

export interface SignedReport {
  /** Of `X-Tollgate-Timestamp`: seconds since the epoch. Null: none was sent. */
  readonly timestamp: string | null;
  /** Of `X-Tollgate-Signature`: "sha256=" and 64 hex digits. */
  readonly signature: string | null;
}

/** Whether the signature can be one that is still good: asked before the body is read. */
export function isTimely({ timestamp, signature }: SignedReport, nowMs: number): boolean {
  if (timestamp === null || !/^\d{1,12}$/.test(timestamp) || givenDigest(signature) === undefined)
    return false;
  return Math.abs(nowMs - Number(timestamp) * 1000) <= MAX_AGE_MS;
}

/**
 * Whether the signature is the HMAC-SHA256 of the timestamp, a full stop and the raw body. The timestamp is
 * signed too: else a report could be sent again with another one.
 */
export function isSigned({ timestamp, signature }: SignedReport, body: Uint8Array, secret: string): boolean {
  const given = givenDigest(signature);
  if (given === undefined) return false;
  const expected = createHmac("sha256", secret).update(`${timestamp}.`).update(body).digest();
  return timingSafeEqual(given, expected);
}

function givenDigest(signature: string | null): Buffer | undefined {
  const hex = /^sha256=([0-9a-f]{64})$/i.exec(signature ?? "")?.[1];
  return hex === undefined ? undefined : Buffer.from(hex, "hex");
}
