import type { CheckInput, Decision, HttpTarget, Principal, Step } from "../core/decision.ts";
import type { WireReader } from "../wire/wire-reader.ts";
import type { WireWriter } from "../wire/wire-writer.ts";
import { API, REQUEST_ID, readMode, writeDegraded, writePoints, writeVerdict } from "./decision-codec.ts";
import { reasonNumber, uint32 } from "./decision-message.ts";

// As the proto's rules.
const MAX_PERMISSION_BYTES = 128;
const MAX_LOCATION_IDS = 100;

/** A plain tollgate.v1.CheckRequest that keeps the proto's rules, as `checkInput` maps it. */
export function decodeCheckRequest(reader: WireReader): CheckInput | undefined {
  let api = "";
  let key = "";
  let permission: string | undefined;
  let http: HttpTarget | undefined;
  let workspaceId = "";
  const locationIds: string[] = [];
  let points: number | undefined;
  let requestId = "";
  let mode: CheckInput["mode"] = "enforce";
  let explain = false;
  let clientIp = "";
  let seen = 0;
  while (reader.hasMore()) {
    const field = reader.field();
    if (field === 6) {
      if (locationIds.push(reader.string()) > MAX_LOCATION_IDS) reader.refuse();
      continue;
    }
    seen = reader.once(seen, field);
    switch (field) {
      case 1:
        api = reader.string();
        break;
      case 2:
        key = reader.string();
        break;
      case 3:
        permission = reader.string();
        break;
      case 4:
        http = decodeHttpRequest(reader);
        break;
      case 5:
        workspaceId = reader.string();
        break;
      case 7:
        points = reader.uint32();
        break;
      case 8:
        requestId = reader.string();
        break;
      case 9:
        mode = readMode(reader);
        break;
      case 10:
        explain = reader.bool();
        break;
      case 11:
        clientIp = reader.string();
        break;
      default:
        reader.refuse();
    }
  }
  const target = targetOf(permission, http);
  if (target === undefined) return undefined;
  if ((api !== "" && !API.test(api)) || (requestId !== "" && !REQUEST_ID.test(requestId))) return undefined;
  return {
    api,
    key,
    target,
    workspaceId,
    locationIds,
    points,
    requestId,
    mode,
    explain,
    clientIp,
  };
}

/** Undefined: there is not exactly one. */
function targetOf(
  permission: string | undefined,
  http: HttpTarget | undefined,
): CheckInput["target"] | undefined {
  if (permission === undefined) {
    return http === undefined || http.method === "" || http.path === "" ? undefined : { http };
  }
  if (http !== undefined || permission === "") return undefined;
  return Buffer.byteLength(permission) > MAX_PERMISSION_BYTES ? undefined : { permission };
}

function decodeHttpRequest(reader: WireReader): HttpTarget {
  let method = "";
  let path = "";
  let scheme = "";
  let host = "";
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    seen = reader.once(seen, field);
    switch (field) {
      case 1:
        method = reader.string();
        break;
      case 2:
        path = reader.string();
        break;
      case 3:
        scheme = reader.string();
        break;
      case 4:
        host = reader.string();
        break;
      default:
        reader.refuse();
    }
  }
  reader.leave(outerEnd);
  return { method, path, scheme, host };
}

/** A tollgate.v1.CheckResponse, as `checkResponse` makes it. */
export function encodeCheckResponse(decision: Decision, writer: WireWriter): void {
  const { principal, points } = decision;
  writeVerdict(decision, writer);
  if (principal !== undefined) writePrincipal(5, principal, writer);
  if (points !== undefined) writePoints(6, points, writer);
  for (const limit of decision.limits) writePoints(7, limit, writer);
  writer.uint32(8, uint32(decision.retryAfterMs));
  writeDegraded(9, decision.degraded, writer);
  writer.strings(10, decision.requiredScopes);
  writer.uint32(11, reasonNumber(decision.shadowReason));
  for (const step of decision.steps) writeStep(12, step, writer);
}

function writePrincipal(field: number, principal: Principal, writer: WireWriter): void {
  const start = writer.begin(field);
  writeIdentity(principal, writer);
  if (principal.arePermissionsShared === true) writer.sharedStrings(11, principal.permissions);
  else writer.strings(11, principal.permissions);
  writer.bool(12, principal.allLocations);
  writer.strings(13, principal.locationIds);
  for (const name of Object.keys(principal.metadata)) {
    const entry = writer.begin(14);
    writer.stringAlways(1, name);
    writer.stringAlways(2, principal.metadata[name] as string);
    writer.end(entry);
  }
  writer.end(start);
}

/** Most Checks of a key answer the same one: it is written once, and copied from then on. */
function writeIdentity(principal: Principal, writer: WireWriter): void {
  if (principal.encoded !== undefined) {
    writer.raw(principal.encoded);
    return;
  }
  const start = writer.position;
  writer.string(1, principal.api);
  writer.string(2, principal.keyId);
  writer.string(3, principal.keyName);
  writer.string(4, principal.keyType);
  writer.string(5, principal.environment);
  writer.string(6, principal.workspaceId);
  writer.string(7, principal.userId);
  writer.string(8, principal.createdBy);
  writer.string(9, principal.role);
  writer.string(10, principal.plan);
  principal.encoded = writer.writtenSince(start);
}

function writeStep(field: number, { name, passed, detail }: Step, writer: WireWriter): void {
  const start = writer.begin(field);
  writer.string(1, name);
  writer.bool(2, passed);
  writer.string(3, detail);
  writer.end(start);
}
