/**
 * Whether a path is spelt in the one way that gateway, Tollgate and service all read alike. Refused is
 * all that some server normalises, decodes twice or cuts off: dot segments, empty segments, encodings
 * of what needs none (RFC 3986, 2.3), of "%", of slashes, of "?" and "#", where a server that decodes and reads
 * again ends the path, and of controls, encodings that are not UTF-8,
 * a backslash, ";" parameters, and every character that RFC 3986 does not allow in a path, and "*".
 *
 * `path` is as sent, without its query string.
 */
export function isCanonicalPath(path: string): boolean {
  const { length } = path;
  if (length === 0 || length > MAX_PATH_BYTES || path.charCodeAt(0) !== SLASH) return false;
  let needsDecoding = false;
  let segmentStart = 1;
  for (let index = 1; index < length; index++) {
    const code = path.charCodeAt(index);
    if (code === SLASH) {
      if (isForbiddenSegment(path, segmentStart, index)) return false;
      segmentStart = index + 1;
    } else if (code === PERCENT) {
      const byte = encodedByte(path, index);
      if (byte < 0 || FORBIDDEN_ENCODED[byte] === 1) return false;
      if (byte >= 0x80) needsDecoding = true;
      index += 2;
    } else if (code > 0x7f || RAW[code] !== 1) {
      return false;
    }
  }
  // The last segment may be empty: a trailing slash is another path, which has routes of its own.
  if (segmentStart < length && isForbiddenSegment(path, segmentStart, length)) return false;
  return !needsDecoding || isUtf8(path);
}

const MAX_PATH_BYTES = 8 * 1024;
const SLASH = 0x2f;
const PERCENT = 0x25;
const DOT = 0x2e;

const UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
/** Of RFC 3986's sub-delims and pchar without ";" and "*". */
const RAW = charactersOf(`${UNRESERVED}!$&'()+,=:@`);
const FORBIDDEN_ENCODED = charactersOf(`${UNRESERVED}%/\\?#`);
for (let code = 0; code < 0x20; code++) FORBIDDEN_ENCODED[code] = 1;
FORBIDDEN_ENCODED[0x7f] = 1;

function charactersOf(characters: string): Uint8Array {
  const set = new Uint8Array(256);
  for (let index = 0; index < characters.length; index++) set[characters.charCodeAt(index)] = 1;
  return set;
}

/** Empty, "." or "..". */
function isForbiddenSegment(path: string, start: number, end: number): boolean {
  const length = end - start;
  if (length === 0) return true;
  if (length > 2 || path.charCodeAt(start) !== DOT) return false;
  return length === 1 || path.charCodeAt(start + 1) === DOT;
}

/** The byte that the escape at `index` stands for; negative when it is none. */
function encodedByte(path: string, index: number): number {
  const high = hexDigit(path.charCodeAt(index + 1));
  const low = hexDigit(path.charCodeAt(index + 2));
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/** NaN, beyond the end, is no digit either. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    // URIError is its way to say no.
    return false;
  }
}
