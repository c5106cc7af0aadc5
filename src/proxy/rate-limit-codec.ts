import type { RateLimitDescriptor, RateLimitInput } from "../core/rate-limits.ts";
import type { WireReader } from "../wire/wire-reader.ts";
import type { WireWriter } from "../wire/wire-writer.ts";
import { writeStruct } from "../wire/write-struct.ts";
import type { DescriptorStatus, RateLimitAnswer } from "./rate-limit-exchange.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";
import { codeOf, MOST_POINTS, metadataOf, unitOf } from "./rate-limit-message.ts";

type Entry = RateLimitDescriptor["entries"][number];

/** A descriptor whose points may be those of the request. */
interface ReadDescriptor {
  readonly entries: readonly Entry[];
  /** Undefined: not said. */
  readonly points: number | undefined;
}

/** A plain envoy.service.ratelimit.v3.RateLimitRequest, as `rateLimitInput` maps it; not what it refuses. */
export function decodeRateLimitRequest(reader: WireReader): RateLimitInput | undefined {
  const read: ReadDescriptor[] = [];
  let api = "";
  let requestHits = 0;
  let seen = 0;
  while (reader.hasMore()) {
    const field = reader.field();
    if (field === 2) {
      read.push(readDescriptor(reader));
      continue;
    }
    seen = reader.once(seen, field);
    switch (field) {
      case 1:
        api = reader.string();
        break;
      case 3:
        requestHits = reader.uint32();
        break;
      default:
        reader.refuse();
    }
  }
  if (api === "" || read.length === 0) return undefined;
  const descriptors = read.map(({ entries, points = requestHits || 1 }) => ({
    entries,
    points: Math.min(points, MOST_POINTS),
  }));
  return { api, descriptors };
}

/** Neither a limit of the gateway's own nor hits to give back. */
function readDescriptor(reader: WireReader): ReadDescriptor {
  const entries: Entry[] = [];
  let points: number | undefined;
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    if (field === 1) {
      entries.push(readEntry(reader));
      continue;
    }
    seen = reader.once(seen, field);
    switch (field) {
      case 3:
        points = readUint64Value(reader);
        break;
      case 4:
        if (reader.bool()) reader.refuse();
        break;
      default:
        reader.refuse();
    }
  }
  reader.leave(outerEnd);
  if (entries.length === 0) reader.refuse();
  return { entries, points };
}

function readEntry(reader: WireReader): Entry {
  let key = "";
  let value = "";
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    seen = reader.once(seen, field);
    if (field === 1) key = reader.string();
    else if (field === 2) value = reader.string();
    else reader.refuse();
  }
  reader.leave(outerEnd);
  return { key, value };
}

/** A google.protobuf.UInt64Value; one above 32 bits is not plain. */
function readUint64Value(reader: WireReader): number {
  let value = 0;
  const outerEnd = reader.enter();
  if (reader.hasMore()) {
    reader.expect(1);
    value = reader.uint32();
  }
  reader.leave(outerEnd);
  return value;
}

/** An envoy.service.ratelimit.v3.RateLimitResponse, as `rateLimitResponse` makes it. */
export function encodeRateLimitResponse(answer: RateLimitAnswer, writer: WireWriter): void {
  writer.uint32(1, codeOf(answer));
  for (const status of answer.statuses) writeStatus(2, status, writer);
  for (const line of answer.headers) writeHeader(3, line, writer);
  writer.string(5, answer.body);
  const metadata = metadataOf(answer);
  if (metadata !== undefined) writeStruct(6, metadata, writer);
}

function writeStatus(field: number, status: DescriptorStatus, writer: WireWriter): void {
  const { limit } = status;
  const start = writer.begin(field);
  writer.uint32(1, codeOf(status));
  if (limit !== undefined) {
    const limitStart = writer.begin(2);
    writer.uint32(1, limit.points);
    writer.uint32(2, unitOf(limit.windowMs));
    writer.string(3, limit.name);
    writer.end(limitStart);
    writer.uint32(3, limit.remaining);
    writeDuration(4, limit.untilResetMs, writer);
  }
  writer.end(start);
}

/** A google.protobuf.Duration, of at most 2³² seconds. */
function writeDuration(field: number, ms: number, writer: WireWriter): void {
  const start = writer.begin(field);
  writer.uint32(1, Math.floor(ms / 1000));
  writer.uint32(2, (ms % 1000) * 1_000_000);
  writer.end(start);
}

/** A config.core.v3.HeaderValue. */
function writeHeader(field: number, [key, value]: HeaderLine, writer: WireWriter): void {
  const start = writer.begin(field);
  writer.string(1, key);
  writer.string(2, value);
  writer.end(start);
}
