import { HeaderValueOption_HeaderAppendAction as AppendAction } from "../gen/envoy/config/core/v3/base_pb.ts";
import type { WireReader } from "../wire/wire-reader.ts";
import type { WireWriter } from "../wire/wire-writer.ts";
import { writeStruct } from "../wire/write-struct.ts";
import { decisionMetadata } from "./decision-metadata.ts";
import {
  EXTENSIONS,
  type ExtAuthzAnswer,
  type ExtAuthzDenial,
  type ExtAuthzHttpRequest,
  type ExtAuthzPass,
  type ExtAuthzRequest,
  READ_HEADERS,
  type RequestHeaders,
  RPC_OK,
  RPC_PERMISSION_DENIED,
} from "./ext-authz-exchange.ts";
import type { HeaderLine } from "./rate-limit-headers.ts";

/**
 * A plain envoy.service.auth.v3.CheckRequest, as `extAuthzRequest` maps it. What is not looked at is read as
 * well: the message may hold nothing that cannot be read.
 */
export function decodeExtAuthzRequest(reader: WireReader): ExtAuthzRequest | undefined {
  if (reader.field() !== 1) return undefined;
  const contextExtensions: Record<string, string> = {};
  let clientIp = "";
  let http: ExtAuthzHttpRequest | undefined;
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    if (field === 10) {
      readExtension(reader, contextExtensions);
      continue;
    }
    seen = reader.once(seen, field);
    switch (field) {
      case 1:
        clientIp = readPeer(reader);
        break;
      case 2:
        readPeer(reader);
        break;
      case 4:
        http = readRequest(reader);
        break;
      case 11:
      case 13:
        skipEmpty(reader);
        break;
      case 12:
        skipTlsSession(reader);
        break;
      default:
        reader.refuse();
    }
  }
  reader.leave(outerEnd);
  return { contextExtensions, clientIp, http };
}

/** `context_extensions`: an entry of the map. */
function readExtension(reader: WireReader, into: Record<string, string>): void {
  const outerEnd = reader.enter();
  reader.expect(1);
  const name = reader.string();
  reader.expect(2);
  const value = reader.string();
  reader.leave(outerEnd);
  if (!EXTENSIONS.includes(name) || name in into) reader.refuse();
  else into[name] = value;
}

/** AttributeContext.Peer: its IP address. */
function readPeer(reader: WireReader): string {
  let address = "";
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    seen = reader.once(seen, field);
    switch (field) {
      case 1:
        address = readAddress(reader);
        break;
      case 2:
      case 4:
      case 5:
        reader.skipString();
        break;
      default:
        reader.refuse();
    }
  }
  reader.leave(outerEnd);
  return address;
}

/** config.core.v3.Address, if it is a SocketAddress. */
function readAddress(reader: WireReader): string {
  let address = "";
  let seen = 0;
  const outerEnd = reader.enter();
  reader.expect(1);
  const addressEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    seen = reader.once(seen, field);
    switch (field) {
      case 2:
        address = reader.string();
        break;
      case 1:
      case 3:
      case 6:
        reader.skipInteger();
        break;
      case 4:
      case 5:
        reader.skipString();
        break;
      default:
        reader.refuse();
    }
  }
  reader.leave(addressEnd);
  reader.leave(outerEnd);
  return address;
}

/** AttributeContext.Request. */
function readRequest(reader: WireReader): ExtAuthzHttpRequest | undefined {
  let http: ExtAuthzHttpRequest | undefined;
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    seen = reader.once(seen, field);
    switch (field) {
      case 1:
        skipTimestamp(reader);
        break;
      case 2:
        http = readHttpRequest(reader);
        break;
      default:
        reader.refuse();
    }
  }
  reader.leave(outerEnd);
  return http;
}

/** AttributeContext.HttpRequest; with `encode_raw_headers`, which is rare, it is not read here. */
function readHttpRequest(reader: WireReader): ExtAuthzHttpRequest {
  const headers = new PlainHeaders();
  let method = "";
  let path = "";
  let host = "";
  let scheme = "";
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    if (field === 3) {
      headers.read(reader);
      continue;
    }
    seen = reader.once(seen, field);
    switch (field) {
      case 2:
        method = reader.string();
        break;
      case 4:
        path = reader.string();
        break;
      case 5:
        host = reader.string();
        break;
      case 6:
        scheme = reader.string();
        break;
      case 1:
      case 7:
      case 8:
      case 10:
      case 11:
        reader.skipString();
        break;
      case 9:
        reader.skipInteger();
        break;
      case 12:
        reader.skipBytes();
        break;
      default:
        reader.refuse();
    }
  }
  reader.leave(outerEnd);
  return { method, path, host, scheme, headers };
}

class PlainHeaders implements RequestHeaders {
  readonly #names: string[] = [];
  readonly #values: Partial<Record<(typeof READ_HEADERS)[number], string>> = {};

  value(name: string): string | null {
    return isRead(name) ? (this.#values[name] ?? null) : null;
  }

  names(): readonly string[] {
    return this.#names;
  }

  /** An entry of the map. A header that stands twice in a map is not plain, if it is one of those that are read. */
  read(reader: WireReader): void {
    const outerEnd = reader.enter();
    reader.expect(1);
    const name = reader.string();
    reader.expect(2);
    this.#names.push(name);
    if (!isRead(name)) reader.skipString();
    else {
      if (this.#values[name] !== undefined) reader.refuse();
      this.#values[name] = reader.string();
    }
    reader.leave(outerEnd);
  }
}

function isRead(name: string): name is (typeof READ_HEADERS)[number] {
  return (READ_HEADERS as readonly string[]).includes(name);
}

/** google.protobuf.Timestamp. */
function skipTimestamp(reader: WireReader): void {
  let seen = 0;
  const outerEnd = reader.enter();
  while (reader.hasMore()) {
    const field = reader.field();
    seen = reader.once(seen, field);
    if (field > 2) reader.refuse();
    reader.skipInteger();
  }
  reader.leave(outerEnd);
}

/** A message that is there and empty: one that is not ends elsewhere. */
function skipEmpty(reader: WireReader): void {
  reader.leave(reader.enter());
}

/** AttributeContext.TLSSession. */
function skipTlsSession(reader: WireReader): void {
  const outerEnd = reader.enter();
  if (reader.hasMore()) {
    reader.expect(1);
    reader.skipString();
  }
  reader.leave(outerEnd);
}

/** An envoy.service.auth.v3.CheckResponse, as `extAuthzResponse` makes it. */
export function encodeExtAuthzResponse(answer: ExtAuthzAnswer, writer: WireWriter): void {
  const { decision } = answer;
  if (answer.outcome === "passed") writePass(answer, writer);
  else writeDenial(answer, writer);
  if (decision !== undefined) writeStruct(4, decisionMetadata(decision), writer);
}

function writePass({ identity, removed, clientHeaders }: ExtAuthzPass, writer: WireWriter): void {
  writeStatus(RPC_OK, "", writer);
  const start = writer.begin(3);
  for (const line of identity) writeOverwriting(2, line, writer);
  writer.strings(5, removed);
  for (const line of clientHeaders) writeOverwriting(6, line, writer);
  writer.end(start);
}

function writeDenial({ status, detail, headers, body }: ExtAuthzDenial, writer: WireWriter): void {
  writeStatus(RPC_PERMISSION_DENIED, detail, writer);
  const start = writer.begin(2);
  const statusStart = writer.begin(1);
  writer.uint32(1, status);
  writer.end(statusStart);
  for (const line of headers) writeOverwriting(2, line, writer);
  writer.string(3, body);
  writer.end(start);
}

/** google.rpc.Status, which is there also where it is empty. */
function writeStatus(code: number, message: string, writer: WireWriter): void {
  const start = writer.begin(1);
  writer.uint32(1, code);
  writer.string(2, message);
  writer.end(start);
}

/** A config.core.v3.HeaderValueOption. */
function writeOverwriting(field: number, [key, value]: HeaderLine, writer: WireWriter): void {
  const start = writer.begin(field);
  const header = writer.begin(1);
  writer.string(1, key);
  writer.string(2, value);
  writer.end(header);
  writer.uint32(3, AppendAction.OVERWRITE_IF_EXISTS_OR_ADD);
  writer.end(start);
}
