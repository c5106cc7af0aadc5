import type { ConsumeInput, Decision } from "../core/decision.ts";
import type { WireReader } from "../wire/wire-reader.ts";
import type { WireWriter } from "../wire/wire-writer.ts";
import { API, REQUEST_ID, readMode, writeDegraded, writePoints, writeVerdict } from "./decision-codec.ts";
import { reasonNumber, uint32 } from "./decision-message.ts";

// As the proto's rules.
const KEY_ID = /^[!#-&(-+\--~]{1,64}$/;
const WORKSPACE_ID = REQUEST_ID;

/** A plain tollgate.v1.ConsumePointsRequest that keeps the proto's rules, as `consumeInput` maps it. */
export function decodeConsumePointsRequest(reader: WireReader): ConsumeInput | undefined {
  let api = "";
  let key: string | undefined;
  let keyId: string | undefined;
  let workspaceId = "";
  let points = 0;
  let requestId = "";
  let mode: ConsumeInput["mode"] = "enforce";
  let seen = 0;
  while (reader.hasMore()) {
    const field = reader.field();
    seen = reader.once(seen, field);
    switch (field) {
      case 1:
        api = reader.string();
        break;
      case 2:
        key = reader.string();
        break;
      case 3:
        keyId = reader.string();
        break;
      case 4:
        workspaceId = reader.string();
        break;
      case 5:
        points = reader.uint32();
        break;
      case 6:
        requestId = reader.string();
        break;
      case 7:
        mode = readMode(reader);
        break;
      default:
        reader.refuse();
    }
  }
  const subject = subjectOf(key, keyId);
  if (subject === undefined || (api !== "" && !API.test(api))) return undefined;
  if (workspaceId !== "" && !WORKSPACE_ID.test(workspaceId)) return undefined;
  if (requestId !== "" && !REQUEST_ID.test(requestId)) return undefined;
  return { api, subject, workspaceId, points, requestId, mode };
}

/** Undefined: there is not exactly one. */
function subjectOf(key: string | undefined, keyId: string | undefined): ConsumeInput["subject"] | undefined {
  if (keyId === undefined) return key === undefined ? undefined : { key };
  return key === undefined && KEY_ID.test(keyId) ? { keyId } : undefined;
}

/** A tollgate.v1.ConsumePointsResponse, as `consumePointsResponse` makes it. */
export function encodeConsumePointsResponse(decision: Decision, writer: WireWriter): void {
  const { points } = decision;
  writeVerdict(decision, writer);
  if (points !== undefined) writePoints(5, points, writer);
  for (const limit of decision.limits) writePoints(6, limit, writer);
  writer.uint32(7, uint32(decision.retryAfterMs));
  writeDegraded(8, decision.degraded, writer);
  writer.uint32(9, reasonNumber(decision.shadowReason));
}
