import { once } from "node:events";
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { connect, sensitiveHeaders } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Flag, FRAME_HEADER_BYTES, FrameType, PREFACE, Setting } from "../../src/http2/frames.ts";
import { HpackDecoder } from "../../src/http2/hpack-decoder.ts";
import { HpackEncoder, maxEncodedBytes } from "../../src/http2/hpack-encoder.ts";
import { STATIC_NAMES, STATIC_VALUES } from "../../src/http2/hpack-table.ts";

/**
 * As much of an HTTP/2 server as a peer's own compressor and decompressor ask for: takes the lists of
 * requests into `requests`, and answers each with the next of `answers`.
 */
function serve(socket: Socket, requests: (readonly string[])[], answers: Iterator<readonly string[]>): void {
  const decoder = new HpackDecoder({ maxListBytes: 65_536 });
  const encoder = new HpackEncoder();
  let unread = Buffer.alloc(0);
  let toSkip = PREFACE.length;
  socket.write(frame({ type: FrameType.SETTINGS, flags: 0, stream: 0, payload: Buffer.alloc(0) }));
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    unread = Buffer.concat([unread, chunk]);
    if (unread.length < toSkip) return;
    unread = unread.subarray(toSkip);
    toSkip = 0;
    while (unread.length >= FRAME_HEADER_BYTES) {
      const end = FRAME_HEADER_BYTES + unread.readUIntBE(0, 3);
      if (unread.length < end) return;
      const [type, flags] = [unread.readUInt8(3), unread.readUInt8(4)];
      const stream = unread.readUInt32BE(5);
      const payload = unread.subarray(FRAME_HEADER_BYTES, end);
      unread = unread.subarray(end);
      if (type === FrameType.SETTINGS && (flags & Flag.ACK) === 0) {
        for (let at = 0; at < payload.length; at += 6) {
          if (payload.readUInt16BE(at) === Setting.HEADER_TABLE_SIZE) {
            encoder.setMaxTableBytes(payload.readUInt32BE(at + 2));
          }
        }
        socket.write(frame({ type, flags: Flag.ACK, stream: 0, payload: Buffer.alloc(0) }));
      } else if (type === FrameType.HEADERS) {
        const start = (flags & Flag.PRIORITY) === 0 ? 0 : 5;
        requests.push(decoder.decode(payload, start, payload.length).fields);
        const fields = answers.next().value as readonly string[];
        const block = Buffer.alloc(maxEncodedBytes(fields));
        const written = block.subarray(0, encoder.encode(fields, block, 0));
        const ends = Flag.END_HEADERS | Flag.END_STREAM;
        socket.write(frame({ type, flags: ends, stream, payload: written }));
      }
    }
  });
}

function frame(parts: { type: number; flags: number; stream: number; payload: Buffer }): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUIntBE(parts.payload.length, 0, 3);
  header.writeUInt8(parts.type, 3);
  header.writeUInt8(parts.flags, 4);
  header.writeUInt32BE(parts.stream, 5);
  return Buffer.concat([header, parts.payload]);
}

type Field = readonly [name: string, value: string];

interface Exchange {
  readonly status: string;
  /** Beside the pseudo fields. */
  readonly sent: readonly Field[];
  readonly answered: readonly Field[];
}

/** Has node:http2 make these exchanges one after the other on one connection, and expects them to arrive. */
async function expectExchanges(exchanges: readonly Exchange[], headerTableSize: number): Promise<void> {
  const requests: (readonly string[])[] = [];
  const answers = exchanges.map(({ status, answered }) => [":status", status, ...answered.flat()]);
  const server = createServer((socket) => serve(socket, requests, answers.values()));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const session = connect(`http://127.0.0.1:${port}`, { settings: { headerTableSize } });
  try {
    for (const [index, { status, sent, answered }] of exchanges.entries()) {
      expect(await request(session, sent)).toEqual([[":status", status], ...answered]);
      expect(requests[index]).toEqual([...PSEUDO_FIELDS.flat(), ...sent.flat()]);
    }
  } finally {
    session.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

const PSEUDO_FIELDS: readonly Field[] = [
  [":method", "POST"],
  [":path", "/"],
  [":scheme", "https"],
  [":authority", "localhost"],
];

async function request(session: ClientHttp2Session, fields: readonly Field[]): Promise<Field[]> {
  const stream = session.request({
    ...Object.fromEntries([...PSEUDO_FIELDS, ...fields]),
    [sensitiveHeaders]: ["authorization"],
  });
  stream.resume().end();
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
  // Of set-cookie it makes an array, of the status a number.
  return Object.entries(headers).map(([name, value]) => [name, String(value)]);
}

function charactersOf(first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, index) => String.fromCharCode(first + index));
}

/** Values as node:http2 takes and gives them: latin1 without controls, no blank at an end. */
const value = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom(...charactersOf(0x20, 0x7e)),
      fc.constantFrom(...charactersOf(0x80, 0xff)),
      fc.constantFrom("0", "1", "a", "e", "/"),
    ),
    maxLength: 150,
  })
  .map((text) => text.trim());
const name = fc
  .string({ unit: fc.constantFrom(..."abcxyz059-_.~"), minLength: 1, maxLength: 40 })
  .map((text) => `x-${text}`);

function fieldsOf(names: readonly string[], values: readonly string[]) {
  const field = fc.tuple(
    fc.oneof(fc.constantFrom(...names), name),
    fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: value }),
  );
  return fc.uniqueArray(field, { maxLength: 10, selector: ([name]) => name });
}

test("the static table is node:http2's", async () => {
  // A request has none of the statuses, and neither protocol nor client has this field on HTTP/2.
  const names = STATIC_NAMES.slice(15).filter((name) => name !== "transfer-encoding");
  const statuses = STATIC_VALUES.slice(8, 15);
  const exchanges = [
    ...names.map((name): Exchange => ({ status: "200", sent: [[name, "0"]], answered: [[name, "0"]] })),
    ...statuses.map(
      (status): Exchange => ({ status, sent: [["accept-encoding", "gzip, deflate"]], answered: [] }),
    ),
  ];
  expect(exchanges).toHaveLength(46 + 7);
  await expectExchanges(exchanges, 0);
});

test("the Huffman code is node:http2's, of all bytes that it lets into a value", async () => {
  const allowed = ["\t", ...charactersOf(0x20, 0x7e), ...charactersOf(0x80, 0xff)];
  // Among short codes, so that Huffman coding is worth it to both sides.
  const fields = allowed.map((byte): Field => [`x-${byte.charCodeAt(0)}`, `${"0".repeat(30)}${byte}0`]);
  const exchanges = fields.map((field): Exchange => ({ status: "200", sent: [field], answered: [field] }));
  expect(exchanges).toHaveLength(1 + 95 + 128);
  await expectExchanges(exchanges, 0);
});

test("node:http2 sends lists that are decoded, and decodes lists that are sent, over whole connections", async () => {
  const sent = fieldsOf(
    ["content-type", "user-agent", "grpc-timeout", "authorization", "x-request-id", "accept-encoding"],
    ["application/grpc", "99m", "Bearer abcdefghijklmnop", "gzip", "grpc-go/1.70.0"],
  );
  const answered = fieldsOf(
    ["content-type", "grpc-status", "grpc-encoding", "grpc-accept-encoding", "server", "etag", "vary"],
    ["application/grpc", "0", "7", "identity,gzip", "application/problem+json; charset=utf-8"],
  );
  const exchange = fc.record({ status: fc.constantFrom("200", "404", "429", "503"), sent, answered });
  const exchanges = fc.array(exchange, { minLength: 1, maxLength: 20 });
  const tableBytes = fc.constantFrom(0, 60, 200, 4096, 65_536);

  await fc.assert(fc.asyncProperty(exchanges, tableBytes, expectExchanges), { numRuns: 30 });
});
