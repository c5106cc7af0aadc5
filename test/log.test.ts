import { expect, test } from "vitest";
import { createLog, type Log } from "../src/log.ts";

function capture(level = "info"): { log: Log; lines: () => Record<string, unknown>[]; text: () => string } {
  const written: string[] = [];
  const log = createLog({ level, destination: { write: (line) => void written.push(line) } });
  return {
    log,
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
    text: () => written.join(""),
  };
}

const secret = `retrac_${"k".repeat(49)}`;

test("a line is JSON with level, time and message; below the level nothing is written", () => {
  const { log, lines } = capture();
  log.debug("hidden");
  log.info({ api: "retrac" }, "shown");
  expect(lines()).toEqual([
    {
      level: "info",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      name: "tollgate",
      api: "retrac",
      msg: "shown",
    },
  ]);
});

test.each([
  "authorization",
  "cookie",
  "secret",
  "key",
  "token",
  "password",
  "adminToken",
  "databaseUrl",
  "redisUrl",
  "redisTlsKey",
  "redisSentinelPassword",
])("a field named %s is never written, up to three levels deep", (name) => {
  const { log, text } = capture();
  log.info({ [name]: "hush-hush", a: { [name]: "hush-hush", b: { [name]: "hush-hush" } } }, "x");
  expect(text()).not.toContain("hush-hush");
  expect(text().match(/\[redacted\]/g)).toHaveLength(3);
});

test("what looks like a key, a caller token or a URL's password is cut out of any text", () => {
  const { log, text } = capture();
  log.info(`key ${secret} token tgc_${"t".repeat(49)} bare ${"b".repeat(49)}`);
  log.info({ where: "postgres://me:hush@db:5432/x rediss://:hush@cache" }, "y");
  log.error({ err: new Error(`cannot use ${secret} at redis://default:hush@host`) }, "z");
  expect(text()).not.toMatch(/k{10}|t{10}|b{10}|hush/);
  expect(text()).toContain("postgres://me:[redacted]@db:5432/x");
});

test("digests, ids and addresses stay readable", () => {
  const { log, text } = capture();
  const kept = { digest: "a".repeat(64), id: "key_0123456789ABCDEFGHIJKL", url: "http://127.0.0.1:8080" };
  log.info(kept, "x");
  for (const value of Object.values(kept)) expect(text()).toContain(value);
});

test("an error is its type, message, stack, code and causes, and nothing that a driver hung onto it", () => {
  const { log, lines, text } = capture();
  const inner = Object.assign(new TypeError("inner"), { code: "ECONNREFUSED", parameters: ["hush"] });
  log.error({ err: Object.assign(new Error("outer", { cause: inner }), { query: "hush" }) }, "x");
  expect(lines()[0]?.["err"]).toMatchObject({
    type: "Error",
    message: "outer",
    stack: expect.stringContaining("log.test"),
    cause: { type: "TypeError", message: "inner", code: "ECONNREFUSED" },
  });
  expect(text()).not.toContain("hush");
});

test("errors that cause each other in a circle are written", () => {
  const { log, lines } = capture();
  const error = new Error("round");
  error.cause = error;
  log.error({ err: error }, "x");
  log.error({ err: "a string" }, "y");
  expect(lines().map(({ err }) => (err as { message: string }).message)).toEqual(["round", "a string"]);
});
