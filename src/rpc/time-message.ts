import type { Duration, Timestamp } from "@bufbuild/protobuf/wkt";
import { invalidField } from "../core/errors.ts";

// google/protobuf/timestamp.proto: from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z.
const FIRST_SECOND = -62_135_596_800n;
const LAST_SECOND = 253_402_300_799n;
const MAX_NANOS = 999_999_999;

/** Milliseconds since the epoch, rounded down; undefined stays so. Throws INVALID_ARGUMENT out of range. */
export function timeMs(timestamp: Timestamp | undefined, field: string): number | undefined {
  if (timestamp === undefined) return undefined;
  const { seconds, nanos } = timestamp;
  if (seconds < FIRST_SECOND || seconds > LAST_SECOND || nanos < 0 || nanos > MAX_NANOS) {
    throw invalidField(field, "is no time between the years 1 and 9999");
  }
  return Number(seconds) * 1000 + Math.floor(nanos / 1e6);
}

/** Milliseconds, rounded up, so that only 0s is 0. The proto's rules bound it. */
export function durationMs(duration: Duration | undefined): number | undefined {
  if (duration === undefined) return undefined;
  return Number(duration.seconds) * 1000 + Math.ceil(duration.nanos / 1e6);
}

/** Of 0 and more. */
export function duration(ms: number): { seconds: bigint; nanos: number } {
  return timestamp(ms);
}

export function timestamp(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1000) * 1e6) };
}
