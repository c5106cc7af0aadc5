import { describe, expect, test } from "vitest";
import {
  type CheckedFields,
  contentLengthOf,
  faultOfRequest,
  faultOfTrailers,
  isSoundField,
  PreparedFields,
} from "../../src/http2/fields.ts";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";

const METHOD = [":method", "POST"];
const SCHEME = [":scheme", "https"];
const PATH = [":path", "/a"];
const AUTHORITY = [":authority", "x"];
/** As the decoder of a connection has it. */
function checked(fields: readonly string[]): CheckedFields {
  const names = fields.filter((_, index) => index % 2 === 0);
  return { fields, isSound: names.every((name, at) => isSoundField(name, fields[2 * at + 1] as string)) };
}
const request = (...more: readonly string[]) => [...METHOD, ...SCHEME, ...PATH, ...AUTHORITY, ...more];

describe("RFC 9113 8.3.1: a request", () => {
  test.each([
    ["of all pseudo-fields", request()],
    ["of these in another order", [...PATH, ...METHOD, ...SCHEME]],
    ["for no path at all", [":method", "OPTIONS", ...SCHEME, ":path", "*"]],
    ["for a tunnel", [":method", "CONNECT", ...AUTHORITY]],
    ["with an empty value", request("x", "")],
    ["with te: trailers", request("te", "Trailers")],
    ["with spaces and tabs inside of a value", request("x", "a b\tc")],
    ["with each character that a name may have", request("!#$%&'*+-.^_`|~0123456789abcxyz", "1")],
    ["with bytes above 0x7f in a value", request("x", "\u00e9")],
  ])("%s is sound", (_name, fields) => {
    expect(faultOfRequest(checked(fields))).toBe(undefined);
  });

  test.each([
    ["no method", [...SCHEME, ...PATH]],
    ["no scheme", [...METHOD, ...PATH]],
    ["no path", [...METHOD, ...SCHEME]],
    ["an empty method", [":method", "", ...SCHEME, ...PATH]],
    ["an empty scheme", [...METHOD, ":scheme", "", ...PATH]],
    ["an empty path", [...METHOD, ...SCHEME, ":path", ""]],
    ["a path without its slash", [...METHOD, ...SCHEME, ":path", "a"]],
    ["* for other than OPTIONS", [...METHOD, ...SCHEME, ":path", "*"]],
    ["two methods", [...METHOD, ...request()]],
    ["two schemes", [...SCHEME, ...request()]],
    ["two paths", [...PATH, ...request()]],
    ["two authorities", [...AUTHORITY, ...request()]],
    ["a pseudo-field of answers", [...request(), ":status", "200"]],
    ["a pseudo-field that is none", [":protocol", "x", ...request()]],
    ["a pseudo-field after others", [...METHOD, ...SCHEME, "x", "y", ...PATH]],
    ["a tunnel with a path", [":method", "CONNECT", ...AUTHORITY, ...PATH]],
    ["a tunnel to nowhere", [":method", "CONNECT"]],
    ["a line break in a pseudo-field", [...METHOD, ...SCHEME, ":path", "/a\r\nx: y"]],
    ["a space after a pseudo-field", [...METHOD, ...SCHEME, ":path", "/a "]],
  ])("with %s is malformed", (_name, fields) => {
    expect(faultOfRequest(checked(fields))).toEqual(expect.any(String));
  });
});

describe("RFC 9113 8.2: in requests and trailers", () => {
  test.each([
    ["an empty name", "", "x"],
    ["a name in upper case", "X-a", "x"],
    ["a name with a space", "a b", "x"],
    ["a name with a colon", "a:b", "x"],
    ["a name beyond ASCII", "\u00e9", "x"],
    ["a name with NUL", "a\0", "x"],
    ["a value with NUL", "a", "x\0y"],
    ["a value with CR", "a", "x\ry"],
    ["a value with LF", "a", "x\ny"],
    ["a value that begins with a space", "a", " x"],
    ["a value that ends with a tab", "a", "x\t"],
    ["a value of a space", "a", " "],
    ["connection", "connection", "close"],
    ["keep-alive", "keep-alive", "1"],
    ["proxy-connection", "proxy-connection", "close"],
    ["transfer-encoding", "transfer-encoding", "chunked"],
    ["upgrade", "upgrade", "h2c"],
    ["te of more than trailers", "te", "trailers, gzip"],
  ])("%s is malformed", (_name, field, value) => {
    expect(faultOfRequest(checked(request(field, value)))).toEqual(expect.any(String));
    expect(faultOfTrailers(checked([field, value]))).toEqual(expect.any(String));
  });

  test("a pseudo-field is none of trailers", () => {
    expect(faultOfTrailers(checked(["a", "b"]))).toBe(undefined);
    expect(faultOfTrailers(checked(["a", "b", ":status", "200"]))).toEqual(expect.any(String));
  });
});

describe("RFC 9110 8.6: content-length", () => {
  test.each([
    ["none", [], undefined],
    ["one", ["content-length", "12"], 12],
    ["two that are the same", ["content-length", "12", "content-length", "12"], 12],
    ["two that differ", ["content-length", "12", "content-length", "13"], Number.NaN],
    ["a list", ["content-length", "12, 12"], Number.NaN],
    ["a sign", ["content-length", "+1"], Number.NaN],
    ["nothing", ["content-length", ""], Number.NaN],
    ["hexadecimal", ["content-length", "0x1"], Number.NaN],
    ["more than can be counted", ["content-length", "9".repeat(16)], Number.NaN],
  ])("%s", (_name, fields, expected) => {
    expect(contentLengthOf(fields)).toBe(expected);
  });
});

test("prepared fields need no table, however often they are sent", () => {
  const fields = [
    ":status",
    "200",
    "content-type",
    "application/grpc",
    "grpc-status",
    "0",
    "x-custom",
    "y".repeat(60),
  ];
  const { bytes } = new PreparedFields(fields);
  const decoder = new HpackDecoder({ maxTableBytes: 0, maxListBytes: 1000 });
  for (let time = 0; time < 3; time++) expect(decoder.decode(bytes, 0, bytes.length).fields).toEqual(fields);
});
