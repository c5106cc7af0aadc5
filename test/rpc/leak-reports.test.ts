import { createHash, createHmac } from "node:crypto";
import { connect, constants } from "node:http2";
import { createConnection } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { TollgateError } from "../../src/core/errors.ts";
import type { Leak, LeakLabel } from "../../src/core/leak-reports.ts";
import { createLeakReportEndpoint } from "../../src/rpc/leak-report-endpoint.ts";
import { NOW_MS, startTestServer, type TestServer } from "./test-server.ts";

const SECRET = "a-secret-of-the-scanners-that-is-long-enough";
const LEAKED = "retrac_a-secret-that-was-found";
const MAX_BYTES = 64 * 1024;

const logLines: string[] = [];
const log = {
  info: (fields: object, message: string) => void logLines.push(JSON.stringify([fields, message])),
  warn: (fields: object, message: string) => void logLines.push(JSON.stringify([fields, message])),
};
let server: TestServer;
let asked: (readonly Leak[])[];
let answer: () => Promise<readonly LeakLabel[]>;

beforeAll(async () => {
  const report = (leaks: readonly Leak[]) => {
    asked.push(leaks);
    return answer();
  };
  server = await startTestServer({
    leakReports: createLeakReportEndpoint({
      leakReports: { report },
      secret: SECRET,
      nowMs: () => NOW_MS,
      log,
    }),
  });
});
beforeEach(() => {
  asked = [];
  answer = async () => asked.flat().map(() => "false_positive" as const);
});
afterAll(() => server.stop());

const nowSeconds = String(NOW_MS / 1000);
const secondsFromNow = (seconds: number) => String(NOW_MS / 1000 + seconds);
const leaks = (...tokens: readonly string[]) => JSON.stringify(tokens.map((token) => ({ token })));

function signed(body: string, { timestamp = nowSeconds, secret = SECRET } = {}): Record<string, string> {
  const digest = createHmac("sha256", secret).update(`${timestamp}.${body}`).digest("hex");
  return { "x-tollgate-timestamp": timestamp, "x-tollgate-signature": `sha256=${digest}` };
}

async function send(body: string, headers: Record<string, string> = signed(body), method = "POST") {
  const request = method === "GET" ? { method, headers } : { method, headers, body };
  const response = await fetch(`${server.url}/leak-reports`, request);
  return { status: response.status, body: await response.json() };
}

test("each token is told of by its hash, its type and a label, in order, and never by itself", async () => {
  answer = async () => ["true_positive", "false_positive"];
  const report = [
    { token: LEAKED, type: "retrac_key", url: "https://example.com/a", source: "content", more: 1 },
    { token: "other" },
  ];
  const { status, body } = await send(JSON.stringify(report));
  const hash = (token: string) => createHash("sha256").update(token).digest("base64");
  expect({ status, body }).toEqual({
    status: 200,
    body: [
      { token_hash: hash(LEAKED), token_type: "retrac_key", label: "true_positive" },
      { token_hash: hash("other"), token_type: "", label: "false_positive" },
    ],
  });
  expect(asked).toMatchObject([
    [
      { token: LEAKED, url: "https://example.com/a", source: "content" },
      { token: "other", url: "", source: "" },
    ],
  ]);
  expect(logLines.join()).toContain('{"reported":2,"revoked":1}');
  expect(logLines.join()).not.toContain(LEAKED);
});

test.each([
  ["five minutes old", secondsFromNow(-300)],
  ["five minutes ahead", secondsFromNow(300)],
])("a report that is %s is taken", async (_, timestamp) => {
  const body = leaks("a");
  expect((await send(body, signed(body, { timestamp }))).status).toBe(200);
});

const body = leaks(LEAKED);
const good = signed(body);
test.each<[string, Record<string, string>]>([
  ["no headers", {}],
  ["no signature", { "x-tollgate-timestamp": nowSeconds }],
  ["no timestamp", { "x-tollgate-signature": good["x-tollgate-signature"] as string }],
  ["another secret", signed(body, { secret: `${SECRET}x` })],
  ["another body's signature", signed(`${body} `)],
  [
    "a signature without its prefix",
    { ...good, "x-tollgate-signature": (good["x-tollgate-signature"] as string).slice(7) },
  ],
  [
    "a signature that is cut",
    { ...good, "x-tollgate-signature": (good["x-tollgate-signature"] as string).slice(0, -2) },
  ],
  ["another time than was signed", { ...good, "x-tollgate-timestamp": secondsFromNow(1) }],
  ["a time of 301 seconds ago", signed(body, { timestamp: secondsFromNow(-301) })],
  ["a time 301 seconds ahead", signed(body, { timestamp: secondsFromNow(301) })],
  ["a time that is no number", signed(body, { timestamp: "now" })],
  ["an admin's caller token instead", { authorization: "Bearer admin" }],
])("a report with %s is refused, and nothing is done", async (_, headers) => {
  expect(await send(body, headers)).toMatchObject({ status: 401, body: { code: "unauthenticated" } });
  expect(asked).toEqual([]);
});

test.each([
  ["no JSON", "{"],
  ["no array", "{}"],
  ["none", "[]"],
  ["101 tokens", leaks(...Array.from({ length: 101 }, () => "a"))],
  ["an object without a token", '[{"token":"a"},{}]'],
  ["null", "[null]"],
  ["an empty token", leaks("")],
  ["a token of 4097 characters", leaks("x".repeat(4097))],
  ["a token that is a number", '[{"token":1}]'],
])("a signed body with %s is refused as a whole", async (_, text) => {
  expect(await send(text)).toMatchObject({ status: 400, body: { code: "invalid_argument" } });
  expect(asked).toEqual([]);
});

test("100 tokens and 64 KB are taken, a byte more is not", async () => {
  expect((await send(leaks(...Array.from({ length: 100 }, (_, index) => `k${index}`)))).status).toBe(200);
  const full = leaks("a").padEnd(MAX_BYTES, " ");
  expect((await send(full)).status).toBe(200);
  expect((await send(`${full} `)).status).toBe(413);
  expect(asked).toHaveLength(2);
});

test("a long type is cut, and what is no text is left out", async () => {
  const report = [{ token: "a", type: "t".repeat(5000), url: 1, source: { toString: 1 } }];
  expect((await send(JSON.stringify(report))).body).toMatchObject([{ token_type: "t".repeat(200) }]);
  expect(asked).toMatchObject([[{ url: "", source: "" }]]);
});

test("only POST is taken", async () => {
  expect((await send("", {}, "GET")).status).toBe(405);
});

test("a body of unknown length is refused, and not taken for the next request", async () => {
  const { port } = new URL(server.url);
  const socket = createConnection({ host: "127.0.0.1", port: Number(port) });
  const head = Object.entries(good).map(([name, value]) => `${name}: ${value}`);
  const chunk = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const chunked = [
    "POST /leak-reports HTTP/1.1",
    "host: x",
    ...head,
    "transfer-encoding: chunked",
    "",
    chunk,
  ];
  const next = ["GET /healthz HTTP/1.1", "host: x", "connection: close", "", ""];
  socket.write(chunked.join("\r\n") + next.join("\r\n"));
  const told = await text(socket);
  expect([...told.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(["411", "200"]);
  expect(asked).toEqual([]);
});

test("over HTTP/2 it is the same", async () => {
  const session = connect(server.url);
  const ask = async (headers: Record<string, string | number>, sent: string) => {
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: "/leak-reports",
      ...headers,
    });
    const status = new Promise((resolve) => stream.once("response", (got) => resolve(got[":status"])));
    stream.end(sent);
    return [await status, (await text(stream)).includes("false_positive")];
  };
  expect(await ask({ ...good, "content-length": body.length }, body)).toEqual([200, true]);
  expect(await ask({ ...good }, body)).toEqual([411, false]);
  expect(await ask({ "content-length": body.length }, body)).toEqual([401, false]);
  expect(asked).toHaveLength(1);
  session.close();
});

test("what could not be stored is 503, to be sent again, and tells nothing of the inside", async () => {
  answer = () => Promise.reject(new TollgateError("unavailable", "Not yet.", { reason: "NOT_ACKNOWLEDGED" }));
  expect(await send(body)).toEqual({ status: 503, body: { code: "unavailable", message: "Not yet." } });
  answer = () => Promise.reject(new Error(`a bug with ${LEAKED}`));
  const failed = await send(body);
  expect(failed.status).toBe(503);
  expect(JSON.stringify(failed.body)).not.toContain("bug");
});

test("a server without the secret has no such page", async () => {
  const other = await startTestServer();
  const response = await fetch(`${other.url}/leak-reports`, { method: "POST", headers: good, body });
  expect(response.status).toBe(404);
  await other.stop();
});

test("bodies that were refused or taken hold nothing", async () => {
  await send(body);
  await send(body, {});
  await expect.poll(() => server.unfinishedBytes()).toBe(0);
});
