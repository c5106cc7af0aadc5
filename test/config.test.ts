import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import {
  type Environment,
  exposureWarning,
  type Flags,
  readConfig,
  type Setting,
  settings,
  unknownVariables,
  variablesOf,
} from "../src/config.ts";
import { ConfigError, withoutPassword } from "../src/config-value.ts";
import { inRepository } from "./support/repository.ts";

const folder = mkdtempSync(join(tmpdir(), "tollgate-config-"));
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

test("without any setting the service is embedded, on loopback, with the documented defaults", () => {
  expect(readConfig({}, {})).toEqual({
    listen: { kind: "tcp", host: "127.0.0.1", port: 8080 },
    metricsListen: { host: "127.0.0.1", port: 9464 },
    policies: "policies",
    dataDir: ".tollgate",
    databaseUrl: undefined,
    redisUrl: undefined,
    redisTlsCa: undefined,
    redisTlsCert: undefined,
    redisTlsKey: undefined,
    redisSentinelUser: undefined,
    redisSentinelPassword: undefined,
    adminToken: undefined,
    leakReportSecret: undefined,
    logLevel: "info",
    maxInFlight: 10_000,
    graceMs: 10_000,
    reflection: true,
    pointsBudgetMs: 25,
    redisShards: 64,
    databaseConnections: 10,
    cacheMegabytes: 512,
    tlsCert: undefined,
    tlsKey: undefined,
    tlsClientCa: undefined,
    http2: "tollgate",
    connectionMaxAgeMs: 1_800_000,
    wireBounds: {},
    workers: 1,
    trustedProxies: [
      { first: 0xffff_7f00_0000n, prefixLength: 104 },
      { first: 1n, prefixLength: 128 },
    ],
    rateLimitHeaders: "draft-10",
  });
});

const token = "0123456789abcdef0123456789abcdef";

const sentinels = "rediss+sentinel://u:p@h1:26379,[::1]:1,h3/name/2";
const pem = makePem();
const tls = {
  REDIS_TLS_CA_FILE: file("ca.pem", `${pem.cert}\n`),
  REDIS_TLS_CERT_FILE: file("cert.pem", pem.cert),
  REDIS_TLS_KEY_FILE: file("key.pem", pem.key),
};

/** A key, and a certificate that it has signed itself. */
function makePem(): { cert: string; key: string } {
  const [cert, key] = [join(folder, "made-cert.pem"), join(folder, "made-key.pem")];
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  execFileSync("openssl", ["req", "-x509", ...kind, "-subj", "/CN=x", "-keyout", key, "-out", cert], {
    stdio: "ignore",
  });
  return { cert: readFileSync(cert, "utf8").trim(), key: readFileSync(key, "utf8").trim() };
}

test.each<[setting: string, env: Environment, flags: Flags, expected: object]>([
  [
    "an address",
    { TOLLGATE_LISTEN: "0.0.0.0:1234" },
    {},
    { listen: { kind: "tcp", host: "0.0.0.0", port: 1234 } },
  ],
  [
    "any port",
    { TOLLGATE_LISTEN: "localhost:0" },
    {},
    { listen: { kind: "tcp", host: "localhost", port: 0 } },
  ],
  ["IPv6", { TOLLGATE_LISTEN: "[::1]:80" }, {}, { listen: { kind: "tcp", host: "::1", port: 80 } }],
  [
    "a socket",
    { TOLLGATE_LISTEN: "unix:/run/t.sock" },
    {},
    { listen: { kind: "unix", path: "/run/t.sock" } },
  ],
  [
    "a socket's URL",
    { TOLLGATE_LISTEN: "unix:///run/t.sock" },
    {},
    { listen: { kind: "unix", path: "/run/t.sock" } },
  ],
  ["no metrics", { TOLLGATE_METRICS_LISTEN: "off" }, {}, { metricsListen: undefined }],
  ["a flag over its variable", { TOLLGATE_GRACE: "1m" }, { grace: "500ms" }, { graceMs: 500 }],
  [
    "an empty variable as none",
    { TOLLGATE_GRACE: "", DATABASE_URL: "" },
    {},
    { graceMs: 10_000, databaseUrl: undefined },
  ],
  ["Postgres", { DATABASE_URL: "postgresql://u:p@h/db" }, {}, { databaseUrl: "postgresql://u:p@h/db" }],
  ["Redis with TLS", { REDIS_URL: "rediss://:p@h:1" }, {}, { redisUrl: "rediss://:p@h:1" }],
  [
    "Sentinels, and their own user",
    { REDIS_URL: sentinels, REDIS_SENTINEL_USER: "watcher", REDIS_SENTINEL_PASSWORD: "word" },
    {},
    { redisUrl: sentinels, redisSentinelUser: "watcher", redisSentinelPassword: "word" },
  ],
  [
    "the Sentinels' password from a file",
    { REDIS_URL: sentinels, REDIS_SENTINEL_PASSWORD_FILE: file("word", "word\n") },
    {},
    { redisSentinelUser: undefined, redisSentinelPassword: "word" },
  ],
  [
    "certificates for Redis",
    { REDIS_URL: "rediss://h", ...tls },
    {},
    { redisTlsCa: pem.cert, redisTlsCert: pem.cert, redisTlsKey: pem.key },
  ],
  [
    "a certificate's file as a flag, for Sentinels",
    { REDIS_URL: sentinels },
    { "redis-tls-ca-file": tls.REDIS_TLS_CA_FILE },
    { redisTlsCa: pem.cert, redisTlsCert: undefined },
  ],
  [
    "a URL without a password as a flag",
    {},
    { "database-url": "postgres://u@h/db" },
    { databaseUrl: "postgres://u@h/db" },
  ],
  [
    "a file over a variable",
    { REDIS_URL: "redis://a" },
    { "redis-url-file": file("redis", "redis://b\n") },
    { redisUrl: "redis://b" },
  ],
  [
    "a variable that names a file",
    { TOLLGATE_ADMIN_TOKEN_FILE: file("token", `${token}\n`) },
    {},
    { adminToken: token },
  ],
  ["no reflection", { TOLLGATE_REFLECTION: "off" }, {}, { reflection: false }],
  ["a level in capitals", { LOG_LEVEL: "WARN" }, {}, { logLevel: "warn" }],
])("it reads %s", (_setting, env, flags, expected) => {
  expect(readConfig(env, flags)).toMatchObject(expected);
});

test.each<[what: string, env: Environment, flags: Flags, message: RegExp]>([
  [
    "a port alone",
    { TOLLGATE_LISTEN: "8080" },
    {},
    /^TOLLGATE_LISTEN is "8080": it must be host:port or unix:\/path, .*0\.0\.0\.0:port/,
  ],
  ["a port that there is not", {}, { listen: "127.0.0.1:70000" }, /^--listen is "127.0.0.1:70000"/],
  ["bad IPv6", { TOLLGATE_METRICS_LISTEN: "[::g]:1" }, {}, /^TOLLGATE_METRICS_LISTEN is .* host:port or off/],
  ["a socket without a path", { TOLLGATE_LISTEN: "unix:" }, {}, /unix:\/path/],
  [
    "another database",
    { DATABASE_URL: "mysql://h/db" },
    {},
    /^DATABASE_URL is "mysql:\/\/h\/db": .*postgres:\/\//,
  ],
  ["a scheme that is none", { REDIS_URL: "redis-sentinel://h" }, {}, /^REDIS_URL is "redis-sentinel:/],
  [
    "a certificate where there is no TLS",
    { REDIS_URL: "redis://h", REDIS_TLS_CA_FILE: tls.REDIS_TLS_CA_FILE },
    {},
    /^REDIS_TLS_CA_FILE is set, and REDIS_URL does not ask for TLS: it must begin with rediss$/,
  ],
  [
    "a certificate without Redis",
    { REDIS_TLS_CA_FILE: tls.REDIS_TLS_CA_FILE },
    {},
    /^REDIS_TLS_CA_FILE is set, and REDIS_URL does not ask for TLS/,
  ],
  [
    "a certificate without its key",
    { REDIS_URL: "rediss://h", REDIS_TLS_CERT_FILE: tls.REDIS_TLS_CERT_FILE },
    {},
    /^REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE belong together/,
  ],
  [
    "a key where a certificate belongs",
    { REDIS_URL: "rediss://h", REDIS_TLS_CA_FILE: tls.REDIS_TLS_KEY_FILE },
    {},
    /^REDIS_TLS_CA_FILE: the file .* holds no certificate in PEM$/,
  ],
  [
    "a certificate where its key belongs",
    { REDIS_URL: "rediss://h", REDIS_TLS_KEY_FILE: tls.REDIS_TLS_CERT_FILE },
    {},
    /^REDIS_TLS_KEY_FILE: the file .* holds no private key in PEM/,
  ],
  [
    "a key of another certificate",
    { REDIS_URL: "rediss://h", ...tls, REDIS_TLS_KEY_FILE: file("other-key.pem", makePem().key) },
    {},
    /^REDIS_TLS_KEY_FILE: the key is not that of the certificate in REDIS_TLS_CERT_FILE$/,
  ],
  [
    "a certificate's file that is missing",
    {},
    { "redis-url": "rediss://h", "redis-tls-ca-file": "/nonexistent/ca" },
    /^--redis-tls-ca-file: cannot read the file \/nonexistent\/ca: it does not exist/,
  ],
  [
    "the Sentinels' password without Sentinels",
    { REDIS_URL: "redis://h", REDIS_SENTINEL_PASSWORD: "s3cret" },
    {},
    /^REDIS_SENTINEL_PASSWORD is set, and REDIS_URL names no Sentinels(?!.*s3cret)/,
  ],
  [
    "the Sentinels' user without a password",
    { REDIS_URL: sentinels, REDIS_SENTINEL_USER: "watcher" },
    {},
    /^REDIS_SENTINEL_USER is set without REDIS_SENTINEL_PASSWORD/,
  ],
  ["a URL without a host", { REDIS_URL: "redis://" }, {}, /^REDIS_URL is "redis:\/\/"/],
  [
    "a short admin token",
    { TOLLGATE_ADMIN_TOKEN: "short" },
    {},
    /^TOLLGATE_ADMIN_TOKEN has 5 characters: .*at least 32/,
  ],
  [
    "an admin token with a space",
    { TOLLGATE_ADMIN_TOKEN: `${token} x` },
    {},
    /^TOLLGATE_ADMIN_TOKEN has spaces/,
  ],
  ["an unknown level", { LOG_LEVEL: "loud" }, {}, /^LOG_LEVEL is "loud": it must be one of trace, debug/],
  [
    "zero in flight",
    { TOLLGATE_MAX_IN_FLIGHT: "0" },
    {},
    /^TOLLGATE_MAX_IN_FLIGHT is "0": .*from 1 to 1000000/,
  ],
  ["a number with letters", {}, { "redis-shards": "64x" }, /^--redis-shards is "64x"/],
  [
    "a duration without a unit",
    { TOLLGATE_GRACE: "10" },
    {},
    /^TOLLGATE_GRACE is "10": .*such as 500ms, 10s or 1m/,
  ],
  [
    "a budget that is too long",
    { TOLLGATE_POINTS_BUDGET: "1m" },
    {},
    /^TOLLGATE_POINTS_BUDGET .*from 1ms to 10s/,
  ],
  [
    "a switch that is neither",
    { TOLLGATE_REFLECTION: "yes" },
    {},
    /^TOLLGATE_REFLECTION is "yes": it must be on or off/,
  ],
  [
    "a file that is missing",
    { DATABASE_URL_FILE: "/nonexistent/url" },
    {},
    /^DATABASE_URL_FILE: cannot read the file \/nonexistent\/url: it does not exist/,
  ],
  [
    "a file that is empty",
    {},
    { "admin-token-file": file("empty", "\n") },
    /^--admin-token-file: the file .* is empty/,
  ],
  [
    "a variable and its file",
    { REDIS_URL: "redis://a", REDIS_URL_FILE: "x" },
    {},
    /^REDIS_URL and REDIS_URL_FILE are both set/,
  ],
  [
    "a flag and its file",
    {},
    { "redis-url": "redis://a", "redis-url-file": "x" },
    /^--redis-url and --redis-url-file are both set/,
  ],
])("it names the setting and what would be right: %s", (_what, env, flags, message) => {
  expect(() => readConfig(env, flags)).toThrow(ConfigError);
  expect(() => readConfig(env, flags)).toThrow(message);
});

describe("passwords", () => {
  test.each([
    ["postgres://user:s3cret@host/db", "postgres://user:***@host/db"],
    ["postgres://user:s3/cr?e@t@host/db", "postgres://user:***@host/db"],
    ["postgres://host/db?password=s3cret", "postgres://host/db"],
    ["redis://:s3cret@host:6379/1", "redis://:***@host:6379/1"],
    ["postgres://user@host/db", "postgres://user@host/db"],
    ["redis+sentinel://u:s3cret@a:1,b:2/name/1", "redis+sentinel://u:***@a:1,b:2/name/1"],
  ])("are left out of what is shown of %s", (url, shown) => {
    expect(withoutPassword(url)).toBe(shown);
  });

  test.each(["mysql://user:s3cret@host/db", "s3cret", "mysql:s3cret"])("are never in an error: %s", (url) => {
    expect(() => readConfig({ DATABASE_URL: url }, {})).toThrow(/^(?!.*s3cret)DATABASE_URL/);
  });

  test.each(["postgres://u:p@h/db", "postgres://h/db?password=p"])(
    "are refused on the command line: %s",
    (url) => {
      expect(() => readConfig({}, { "database-url": url })).toThrow(
        /^--database-url holds a password, .* set DATABASE_URL, or .* --database-url-file$/,
      );
    },
  );
});

describe("warnings", () => {
  test("a misspelt variable is named with the one that is meant; others' variables are not", () => {
    const env = {
      TOLLGATE_LISTN: "x",
      TOLLGATE_SOMETHING_ELSE_ENTIRELY: "x",
      TOLLGATE_PORT: "tcp://10.0.0.1:8080",
      TOLLGATE_PORT_8080_TCP_ADDR: "10.0.0.1",
      TOLLGATE_SERVICE_HOST: "10.0.0.1",
      TOLLGATE_URL: "x",
      TOLLGATE_TOKEN_FILE: "x",
      TOLLGATE_ADMIN_TOKEN_FILE: "x",
      HOME: "x",
    };
    expect(unknownVariables(env)).toEqual([
      "TOLLGATE_LISTN is not a setting; did you mean TOLLGATE_LISTEN?",
      "TOLLGATE_SOMETHING_ELSE_ENTIRELY is not a setting",
    ]);
  });

  test.each([
    ["127.0.0.1:8080", false],
    ["[::1]:8080", false],
    ["localhost:8080", false],
    ["unix:/run/t.sock", false],
    ["0.0.0.0:8080", true],
    ["[::]:8080", true],
    ["10.1.2.3:8080", true],
  ])("serving without TLS on %s", (listen, warned) => {
    const warning = exposureWarning(readConfig({ TOLLGATE_LISTEN: listen }, {}));
    expect(warning?.startsWith(`listening on ${listen} without TLS`) ?? false).toBe(warned);
  });
});

/** It has no flag that takes it as it is. */
function isWholeSecret(setting: Setting): boolean {
  return setting.secret === "whole";
}

test("docs/configuration.md has every variable, flag and default, and no others", () => {
  const page = readFileSync(inRepository("docs", "configuration.md"), "utf8");
  const documented = new Set(page.match(/`(TOLLGATE_[A-Z0-9_]+|DATABASE_\w+|REDIS_\w+|LOG_LEVEL)`/g));
  const client = ["TOLLGATE_URL", "TOLLGATE_TOKEN", "TOLLGATE_TOKEN_FILE", "TOLLGATE_KEY"];
  const all = [...Object.values(settings).flatMap(variablesOf), ...client];
  expect([...documented].sort()).toEqual(all.map((name) => `\`${name}\``).sort());
  for (const setting of Object.values(settings)) {
    const row = page.split("\n").find((line) => line.startsWith(`| \`${setting.variable}\``));
    expect(row, setting.variable).toContain(`\`--${setting.flag}${isWholeSecret(setting) ? "-file" : ""}`);
    expect(row, setting.variable).toContain(
      `| ${setting.fallback === undefined ? "none" : `\`${setting.fallback}\``} |`,
    );
  }
});

describe("TOLLGATE_WIRE_BOUNDS", () => {
  const boundsOf = (value: string) => readConfig({ TOLLGATE_WIRE_BOUNDS: value }, {}).wireBounds;

  test("is a list of names and values, of which times have a unit", () => {
    expect(boundsOf("streams=200, idle-timeout=1m,queued-bytes-in-all=5000000000")).toEqual({
      streams: 200,
      "idle-timeout": 60_000,
      "queued-bytes-in-all": 5_000_000_000,
    });
  });

  test.each([
    ["an unknown name", "steams=200", /list of name=value, of connections, .*"steams=200"/],
    ["no value", "streams", /list of name=value/],
    ["a number that is too small", "streams=0", /streams of TOLLGATE_WIRE_BOUNDS .*1 to 100000/],
    ["a time without a unit", "idle-timeout=60", /idle-timeout of TOLLGATE_WIRE_BOUNDS .*duration/],
    ["a name of every object's", "constructor=1", /list of name=value/],
  ])("%s is told with what would be right", (_what, value, told) => {
    expect(() => boundsOf(value)).toThrow(told);
  });

  test("docs/wire.md has every name, and no others", () => {
    const page = readFileSync(inRepository("docs", "wire.md"), "utf8");
    const [, table = ""] = page.split("## Bounds");
    const documented = [...table.matchAll(/^\| (.*?) \|/gm)].flatMap(([, cell = ""]) =>
      [...cell.matchAll(/`([a-z-]+)`/g)].map(([, name]) => name),
    );
    for (const name of documented) expect(() => boundsOf(`${name}=1000`)).not.toThrow(/list of name=value/);
    const known = /of ((?:[a-z-]+(?:, )?)+), and/
      .exec(messageOf(() => boundsOf("no-such=1")))?.[1]
      ?.split(", ");
    expect(new Set(documented)).toEqual(new Set(known));
  });
});

function messageOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("nothing was thrown");
}
