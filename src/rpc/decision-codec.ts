import type { Decision, DegradedCause, PointsState } from "../core/decision.ts";
import { denyReasons } from "../core/deny-reason.ts";
import type { PointsMode } from "../core/ports.ts";
import { Mode } from "../gen/tollgate/v1/decision_pb.ts";
import type { WireReader } from "../wire/wire-reader.ts";
import type { WireWriter } from "../wire/wire-writer.ts";
import { DEGRADED_CAUSES, modeOf, reasonNumber, uint32 } from "./decision-message.ts";

// As the rules in the proto files; what holds none of these is for the general way, which says so.
export const API = /^[a-z][a-z0-9_-]{0,63}$/;
export const REQUEST_ID = /^[!#-&(-+\--~]{1,128}$/;

export function readMode(reader: WireReader): PointsMode {
  const mode: number = reader.uint32();
  if (mode > Mode.RECORD) reader.refuse();
  return modeOf(mode as Mode);
}

/** What is first in every decision's message: allowed, reason, http_status, message. */
export function writeVerdict({ allowed, reason }: Decision, writer: WireWriter): void {
  writer.bool(1, allowed);
  if (reason === undefined) {
    writer.uint32(3, 200);
    return;
  }
  const { number, httpStatus, message } = denyReasons[reason];
  writer.uint32(2, number);
  writer.uint32(3, httpStatus);
  writer.string(4, message);
}

export function writePoints(field: number, state: PointsState, writer: WireWriter): void {
  const start = writer.begin(field);
  writer.string(1, state.limitName);
  writer.uint32(2, uint32(state.limit));
  writer.uint32(3, uint32(state.cost));
  writer.uint32(4, uint32(state.remaining));
  writer.uint32(5, uint32(state.windowSeconds));
  writer.uint32(6, uint32(state.resetMs));
  writer.uint32(7, uint32(state.blockedMs));
  writer.bool(8, state.shadow !== undefined);
  writer.uint32(9, reasonNumber(state.shadow?.reason));
  writer.end(start);
}

export function writeDegraded(field: number, causes: readonly DegradedCause[], writer: WireWriter): void {
  if (causes.length === 0) return;
  const start = writer.begin(field);
  for (const cause of causes) writer.varint(DEGRADED_CAUSES[cause]);
  writer.end(start);
}
