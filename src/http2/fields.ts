import type { HeaderBlock } from "./hpack-decoder.ts";
import { HpackEncoder, maxEncodedBytes } from "./hpack-encoder.ts";

/** A header list: names in lower case and values in turn, pseudo-fields first. */
export type Fields = readonly string[];

/** Fields whose encoding needs no table: made once, and copied into each answer. */
export class PreparedFields {
  readonly bytes: Buffer;

  constructor(fields: Fields) {
    const encoder = new HpackEncoder();
    encoder.setMaxTableBytes(0);
    const bytes = Buffer.alloc(maxEncodedBytes(fields) + 8);
    const sizeUpdate = encoder.encode([], bytes, 0);
    const end = encoder.encode(fields, bytes, sizeUpdate);
    this.bytes = Buffer.from(bytes.subarray(sizeUpdate, end));
  }
}

/** What a header block says as a request's head. */
export class RequestHead {
  readonly block: HeaderBlock;
  /** Why it is none; undefined: it is one, or its list is too large to tell. */
  readonly fault: string | undefined;
  /** As declared; undefined: it is not. */
  readonly bodyBytes: number | undefined;

  constructor(block: HeaderBlock) {
    this.block = block;
    this.bodyBytes = block.isTooLarge ? undefined : contentLengthOf(block.fields);
    this.fault = block.isTooLarge ? undefined : faultOfRequest(block);
    if (Number.isNaN(this.bodyBytes)) this.fault ??= "a content-length that is no number";
  }
}

/** A header list, of whose fields it is known whether each `isSoundField`. */
export type CheckedFields = Pick<HeaderBlock, "fields" | "isSound">;

/** What is wrong with a request's header list by RFC 9113 8.2 and 8.3; undefined: nothing. */
export function faultOfRequest({ fields, isSound }: CheckedFields): string | undefined {
  if (!isSound) return UNSOUND;
  let method: string | undefined;
  let scheme: string | undefined;
  let path: string | undefined;
  let authority: string | undefined;
  let index = 0;
  for (; index < fields.length; index += 2) {
    const name = fields[index] as string;
    if (name.charCodeAt(0) !== COLON) break;
    const value = fields[index + 1] as string;
    switch (name) {
      case ":method":
        if (method !== undefined) return "two :method";
        method = value;
        break;
      case ":scheme":
        if (scheme !== undefined) return "two :scheme";
        scheme = value;
        break;
      case ":path":
        if (path !== undefined) return "two :path";
        path = value;
        break;
      case ":authority":
        if (authority !== undefined) return "two :authority";
        authority = value;
        break;
      default:
        return "an unknown pseudo-field";
    }
  }
  if (method === undefined || method === "") return "no :method";
  if (method === "CONNECT") {
    if (scheme !== undefined || path !== undefined || authority === undefined)
      return "a CONNECT that is none";
  } else if (scheme === undefined || scheme === "") return "no :scheme";
  else if (path === undefined || !isPath(path, method)) return "no :path";
  return faultOfRegular(fields, index);
}

/** The same of trailers, which hold no pseudo-fields. */
export function faultOfTrailers({ fields, isSound }: CheckedFields): string | undefined {
  return isSound ? faultOfRegular(fields, 0) : UNSOUND;
}

/** Whether a request or its trailers may hold such a field at all: RFC 9113 8.2. */
export function isSoundField(name: string, value: string): boolean {
  return isName(name) && isValue(value) && !isOfConnection(name, value);
}

/** The declared length of the body; undefined: none is declared. NaN: it is no number, or there are two that differ. */
export function contentLengthOf(fields: Fields): number | undefined {
  let length: number | undefined;
  for (let index = 0; index < fields.length; index += 2) {
    if (fields[index] !== "content-length") continue;
    const value = fields[index + 1] as string;
    if (!/^\d{1,15}$/.test(value)) return Number.NaN;
    if (length !== undefined && length !== Number(value)) return Number.NaN;
    length = Number(value);
  }
  return length;
}

const COLON = 0x3a;
const UNSOUND = "a field that none may hold";

function faultOfRegular(fields: Fields, from: number): string | undefined {
  for (let index = from; index < fields.length; index += 2) {
    if ((fields[index] as string).charCodeAt(0) === COLON) return "a pseudo-field out of place";
  }
  return undefined;
}

/** RFC 9113 8.3.1. */
function isPath(path: string, method: string): boolean {
  return path.startsWith("/") || (path === "*" && method === "OPTIONS");
}

/** RFC 9113 8.2.2. */
function isOfConnection(name: string, value: string): boolean {
  switch (name) {
    case "connection":
    case "proxy-connection":
    case "keep-alive":
    case "transfer-encoding":
    case "upgrade":
      return true;
    case "te":
      return value.toLowerCase() !== "trailers";
    default:
      return false;
  }
}

/** RFC 9110 5.6.2's token, without upper case, which a pseudo-field has a colon before. 1 where the byte may stand in a name. */
const NAME_BYTES = (() => {
  const bytes = new Uint8Array(256);
  for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
    bytes[character.charCodeAt(0)] = 1;
  return bytes;
})();

function isName(name: string): boolean {
  const from = name.charCodeAt(0) === COLON ? 1 : 0;
  for (let index = from; index < name.length; index++) {
    if (NAME_BYTES[name.charCodeAt(index)] !== 1) return false;
  }
  return name.length > from;
}

/** RFC 9113 8.2.1: no NUL, CR or LF, and no space at either end. */
function isValue(value: string): boolean {
  const { length } = value;
  if (length === 0) return true;
  for (let index = 0; index < length; index++) {
    const code = value.charCodeAt(index);
    if (code <= 0x0d && (code === 0 || code === 0x0a || code === 0x0d)) return false;
  }
  return !isSpace(value.charCodeAt(0)) && !isSpace(value.charCodeAt(length - 1));
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
