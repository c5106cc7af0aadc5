import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** What a gateway answered, as it stood on the wire. */
export interface RawAnswer {
  /** 0: the connection was closed without an answer. */
  readonly status: number;
  /** Names in lower case, in order, duplicates too. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

export interface RawRequest {
  /** Such as `GET /items`, written as it is. */
  readonly line: string;
  /** Header lines, written as they are; `Host`, `Connection` and a length are added where there are none. */
  readonly headers?: readonly string[];
  readonly body?: string;
  readonly host?: string;
}

export interface GatewayAddress {
  readonly port: number;
  readonly isTls: boolean;
}

/** One HTTP/1.1 request over a socket of its own, byte by byte as told: no client library tidies it up. */
export async function sendRaw(address: GatewayAddress, request: RawRequest): Promise<RawAnswer> {
  return parse(await exchange(address, Buffer.from(bytesOf(request), "latin1")));
}

/** All values of a header. */
export function valuesOf(answer: Pick<RawAnswer, "headers">, name: string): string[] {
  return answer.headers.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
}

function bytesOf({ line, headers = [], body = "", host = "retool.example.com" }: RawRequest): string {
  const lines = [`${line} HTTP/1.1`];
  const has = (name: string) => headers.some((header) => header.toLowerCase().startsWith(`${name}:`));
  if (!has("host")) lines.push(`Host: ${host}`);
  lines.push(...headers);
  if (!has("connection")) lines.push("Connection: close");
  if (body !== "" && !has("transfer-encoding"))
    lines.push(`Content-Length: ${Buffer.byteLength(body, "latin1")}`);
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** All bytes until the other side closes. */
function exchange({ port, isTls }: GatewayAddress, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket: Socket = isTls
      ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false })
      : connectTcp({ port, host: "127.0.0.1" });
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (isWhole(Buffer.concat(chunks))) socket.destroy();
    });
    // A reset after the answer, because the gateway did not read all of the request, does not undo it.
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(chunks)));
    socket.write(bytes);
  });
}

/** Whether a keep-alive answer with a length is all there: only the others are ended by a close. */
function isWhole(bytes: Buffer): boolean {
  const end = bytes.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = /^content-length: *(\d+)/im.exec(bytes.subarray(0, end).toString("latin1"));
  return length !== null && bytes.length >= end + 4 + Number(length[1]);
}

function parse(bytes: Buffer): RawAnswer {
  const end = bytes.indexOf("\r\n\r\n");
  if (end === -1) return { status: 0, headers: [], body: "" };
  const [statusLine = "", ...lines] = bytes.subarray(0, end).toString("latin1").split("\r\n");
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const rest = bytes.subarray(end + 4);
  const isChunked = headers.some(([name, value]) => name === "transfer-encoding" && value === "chunked");
  const body = isChunked ? unchunked(rest) : rest;
  return { status: Number(statusLine.split(" ")[1]), headers, body: body.toString("utf8") };
}

function unchunked(bytes: Buffer): Buffer {
  const chunks: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const lineEnd = bytes.indexOf("\r\n", start);
    const size = Number.parseInt(bytes.subarray(start, lineEnd).toString("latin1"), 16);
    if (!(size > 0)) break;
    chunks.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    start = lineEnd + 2 + size + 2;
  }
  return Buffer.concat(chunks);
}
