import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ErrorCode } from "../../../src/http2/frames.ts";
import { ATTACKED_BOUNDS } from "./attacked-bounds.ts";
import { type AttackedServer, startAttackedServer } from "./attacked-server.ts";
import { connectRaw, type RawClient } from "./raw-client.ts";
import { block, data, headers, lastData, request, requestTo } from "./raw-frames.ts";

const PROTOCOL_ERROR = `reset ${ErrorCode.PROTOCOL_ERROR}`;

let server: AttackedServer;
let client: RawClient;
let next = 0;

beforeAll(async () => {
  server = await startAttackedServer();
  client = await connectRaw({ port: server.port });
});

afterAll(async () => {
  await client?.close();
  await server?.stop();
});

/** On a new connection before the old one has used up its resets. */
async function nextId(): Promise<number> {
  if (next >= 2 * (ATTACKED_BOUNDS.resets.burst - 10)) {
    await client.close();
    client = await connectRaw({ port: server.port });
    next = 0;
  }
  next += 2;
  return next - 1;
}

/** The fields as a handler got them, or how the stream was reset. */
async function fateOf(fields: readonly string[]): Promise<readonly string[] | string> {
  const id = await nextId();
  await client.send(request(id, block(...fields)));
  return fate(id);
}

/** The same of a request with a body. */
async function fateWithBody(fields: readonly string[], body: string): Promise<readonly string[] | string> {
  const id = await nextId();
  await client.send(headers(id, block(...fields)), lastData(id, Buffer.from(body)));
  return fate(id);
}

async function fate(id: number): Promise<readonly string[] | string> {
  const { resetCode, body } = await client.answered(id);
  if (resetCode !== undefined) return `reset ${resetCode}`;
  return JSON.parse(body.toString()) as string[];
}

function fieldsWith(...more: readonly string[]): string[] {
  return [":method", "POST", ":scheme", "http", ":path", "/echo", ":authority", "attacked", ...more];
}

const BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));

describe("each byte in a request's fields", () => {
  test("is in a name only where it is of a token in lower case", async () => {
    for (const byte of BYTES) {
      const fields = fieldsWith(`x${byte}y`, "value");
      const isOfName = /[!#$%&'*+\-.^_`|~0-9a-z]/.test(byte);
      expect([byte, await fateOf(fields)]).toEqual([byte, isOfName ? fields : PROTOCOL_ERROR]);
    }
  });

  test.each(["x-value", ":path", ":authority", "cookie"])(
    "is in the middle of %s unless it is NUL, LF or CR",
    async (name) => {
      for (const byte of BYTES) {
        const fields = fieldsWith("x-value", "a");
        if (name === "cookie") fields.push("cookie", "a");
        const at = fields.indexOf(name) + 1;
        fields[at] = `${name === ":path" ? "/" : ""}a${byte}b`;
        const isOfValue = !["\0", "\n", "\r"].includes(byte);
        expect([byte, await fateOf(fields)]).toEqual([byte, isOfValue ? fields : PROTOCOL_ERROR]);
      }
    },
  );

  test.each(["first", "last"])("is the %s of a value unless it is a space as well", async (place) => {
    for (const byte of BYTES) {
      const fields = fieldsWith("x-value", place === "first" ? `${byte}a` : `a${byte}`);
      const isOfValue = !["\0", "\n", "\r", " ", "\t"].includes(byte);
      expect([byte, await fateOf(fields)]).toEqual([byte, isOfValue ? fields : PROTOCOL_ERROR]);
    }
  });
});

describe("a request that another server might read as something else", () => {
  test.each<[name: string, fields: string[]]>([
    ["two methods", [":method", "GET", ...fieldsWith()]],
    ["two schemes", [":scheme", "http", ...fieldsWith()]],
    ["two paths", [":path", "/", ...fieldsWith()]],
    ["two authorities", [":authority", "other", ...fieldsWith()]],
    ["an empty method", [":method", "", ...fieldsWith().slice(2)]],
    ["no method", fieldsWith().slice(2)],
    ["no scheme", [":method", "GET", ":path", "/"]],
    ["an empty path", [":method", "GET", ":scheme", "http", ":path", ""]],
    ["a path that is a whole URL", [...fieldsWith().slice(0, 5), "http://other/path"]],
    ["a path that begins with no slash", [...fieldsWith().slice(0, 5), "path"]],
    ["the path of OPTIONS in another method", [...fieldsWith().slice(0, 5), "*"]],
    ["a pseudo-field after another field", fieldsWith("x", "y", ":path", "/")],
    ["a pseudo-field of an answer", fieldsWith(":status", "200")],
    ["a pseudo-field that nobody knows", fieldsWith(":other", "x")],
    ["a :protocol, which was not offered", fieldsWith(":protocol", "websocket")],
    ["CONNECT with a path", [":method", "CONNECT", ":path", "/", ":authority", "other"]],
    ["CONNECT without an authority", [":method", "CONNECT"]],
    ["a name that is empty", fieldsWith("", "x")],
    ["transfer-encoding", fieldsWith("transfer-encoding", "chunked")],
    ["connection", fieldsWith("connection", "close")],
    ["keep-alive", fieldsWith("keep-alive", "timeout=5")],
    ["proxy-connection", fieldsWith("proxy-connection", "close")],
    ["upgrade", fieldsWith("upgrade", "h2c")],
    ["te of other than trailers", fieldsWith("te", "gzip")],
    ["te of trailers and more", fieldsWith("te", "trailers, gzip")],
    ["a content-length without a body", fieldsWith("content-length", "1")],
    ["a field that ends its line", fieldsWith("x", "y\r\nhost: other")],
  ])("%s: is reset", async (_, fields) => {
    expect(await fateOf(fields)).toBe(PROTOCOL_ERROR);
  });

  test.each<[name: string, lengths: string[]]>([
    ["two that differ", ["3", "4"]],
    ["a list", ["3, 3"]],
    ["a sign", ["+3"]],
    ["a minus", ["-3"]],
    ["hexadecimal", ["0x3"]],
    ["an exponent", ["3e0"]],
    ["a fraction", ["3.0"]],
    ["none", [""]],
    ["one too large for a number", ["99999999999999999999"]],
    ["one more than the body", ["4"]],
    ["one less than the body", ["2"]],
  ])("content-length, %s: is reset", async (_, lengths) => {
    const fields = fieldsWith(...lengths.flatMap((length) => ["content-length", length]));
    expect(await fateWithBody(fields, "abc")).toBe(PROTOCOL_ERROR);
  });

  test("two content-lengths that agree are one", async () => {
    const fields = fieldsWith("content-length", "3", "content-length", "3");
    expect(await fateWithBody(fields, "abc")).toEqual(fields);
  });

  test.each([
    [":path", "/"],
    ["X-Upper", "x"],
    ["x", "a\nb"],
    ["transfer-encoding", "chunked"],
  ])("trailers with %s: are reset", async (name, value) => {
    const id = await nextId();
    await client.send(
      headers(id, requestTo("/echo")),
      data(id, Buffer.alloc(300)),
      request(id, block(name, value)),
    );
    expect(await fate(id)).toBe(PROTOCOL_ERROR);
  });
});

describe("what is odd but clear comes as it was sent", () => {
  test.each([
    "/../../etc/passwd",
    "/./a/../b",
    "//host/path",
    "/%2e%2e/%2f",
    "/a\\..\\b",
    "/a;b=c/../d",
    "/%00",
    "/\u00e9\u00ff",
    "/a?b#c",
    "/a b",
  ])("the path %s", async (path) => {
    const fields = fieldsWith();
    fields[5] = path;
    expect(await fateOf(fields)).toEqual(fields);
  });

  test.each(["", "user:password@host", "host:99999", "[::1]:80", "a b", "%00", "host/path", "\u00ff"])(
    "the authority %j",
    async (authority) => {
      const fields = fieldsWith();
      fields[7] = authority;
      expect(await fateOf(fields)).toEqual(fields);
    },
  );

  test("OPTIONS of all", async () => {
    const fields = [":method", "OPTIONS", ":scheme", "http", ":path", "*"];
    expect(await fateOf(fields)).toEqual(fields);
  });

  test("fields that are there twice, and have the names of objects' members", async () => {
    const fields = fieldsWith("x", "1", "x", "2", "__proto__", "a", "constructor", "b", "te", "Trailers");
    expect(await fateOf(fields)).toEqual(fields);
  });
});
