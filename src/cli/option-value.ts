import { type Timestamp, timestampDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { InvalidArgumentError } from "commander";
import { durationMs } from "../config-value.ts";

/** `a,b c` → three; an empty text → none. Repeated options add up. */
export function toList(text: string, previous: readonly string[] = []): string[] {
  return [...previous, ...text.split(/[\s,]+/).filter((part) => part !== "")];
}

/** `name=value`, repeated. */
export function toMetadata(
  text: string,
  previous: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("It must be name=value.");
  return { ...previous, [text.slice(0, equals)]: text.slice(equals + 1) };
}

export function toBoolean(text: string): boolean {
  if (text === "true" || text === "yes") return true;
  if (text === "false" || text === "no") return false;
  throw new InvalidArgumentError("It must be true or false.");
}

/** A whole number that fits into 32 bits. */
export function toPoints(text: string): number {
  const number = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(number <= 0xffff_ffff))
    throw new InvalidArgumentError("It must be a whole number from 0 to 4294967295.");
  return number;
}

export function toVersion(text: string): bigint {
  const version = /^\d{1,20}$/.test(text) ? BigInt(text) : -1n;
  if (version < 0n || version > 0xffff_ffff_ffff_ffffn) {
    throw new InvalidArgumentError("It must be a whole number of at most 64 bits.");
  }
  return version;
}

/** Milliseconds of `30s`, `24h` or `30d`. */
export function toDurationMs(text: string): number {
  const ms = durationMs(text);
  if (ms === undefined) throw new InvalidArgumentError("It must be a duration such as 30s, 24h or 30d.");
  return ms;
}

/** A point in time: RFC 3339, or a duration from now. "never": none. */
export function toTime(text: string): Timestamp | "never" {
  if (text === "never") return "never";
  const ms = durationMs(text);
  if (ms !== undefined) return timestampFromMs(Date.now() + ms);
  const time = /^\d{4}-\d\d-\d\d([Tt ].+)?$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new InvalidArgumentError(
      "It must be a duration from now (30d), a time (2027-01-31T12:00:00Z) or never.",
    );
  }
  return timestampFromMs(time);
}

/** For tables: seconds are enough for people. Empty when unset. */
export function formatTime(time: Timestamp | undefined): string {
  return time === undefined
    ? ""
    : timestampDate(time)
        .toISOString()
        .replace(/\.\d+Z$/, "Z");
}
