import { createPrivateKey, X509Certificate } from "node:crypto";
import {
  ConfigError,
  closest,
  formatTcp,
  hasPassword,
  isLoopback,
  type ListenAddress,
  type LogLevel,
  logLevels,
  parseAddressRanges,
  parseDuration,
  parseInteger,
  parseListen,
  parseLogLevel,
  parseLongSecret,
  parseSwitch,
  parseTcp,
  parseUrl,
  parseWireBounds,
  parseWord,
  readSecretFile,
  type TcpAddress,
  type WireBounds,
} from "./config-value.ts";
import type { AddressRange } from "./core/address-range.ts";

/** The service's configuration, checked. Times are milliseconds. */
export interface Config {
  readonly listen: ListenAddress;
  /** Undefined: off. */
  readonly metricsListen: TcpAddress | undefined;
  /** The folder of policy files. */
  readonly policies: string;
  /** The embedded store's folder; used without `databaseUrl`. */
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  /** Of the same database, past a pooler; used with `databaseUrl`. */
  readonly databaseDirectUrl: string | undefined;
  readonly redisUrl: string | undefined;
  /** Of the authorities that sign Redis's certificates: PEM. */
  readonly redisTlsCa: string | undefined;
  /** Of this process, for Redis: PEM. There with its key, or not at all. */
  readonly redisTlsCert: string | undefined;
  readonly redisTlsKey: string | undefined;
  readonly redisSentinelUser: string | undefined;
  readonly redisSentinelPassword: string | undefined;
  readonly adminToken: string | undefined;
  /** Undefined: no leak reports are taken. */
  readonly leakReportSecret: string | undefined;
  readonly logLevel: LogLevel;
  readonly maxInFlight: number;
  readonly graceMs: number;
  readonly reflection: boolean;
  readonly pointsBudgetMs: number;
  readonly redisShards: number;
  readonly databaseConnections: number;
  /** What cached keys, workspaces, members and caller tokens may take, by estimate. */
  readonly cacheMegabytes: number;
  /** Gateways whose X-Forwarded-* are believed. */
  readonly trustedProxies: readonly AddressRange[];
  readonly rateLimitHeaders: (typeof rateLimitHeaders)[number];
  /** Of this server: PEM. There with its key, or not at all: in the clear. */
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
  /** Of the authorities that sign clients' certificates: PEM. Undefined: clients show none. */
  readonly tlsClientCa: string | undefined;
  /** Whose HTTP/2 it speaks: our own engine, or Node's. */
  readonly http2: (typeof engines)[number];
  readonly connectionMaxAgeMs: number;
  /** What clients may hold and do, where it is not as by default. */
  readonly wireBounds: WireBounds;
  /** Processes that serve; more than one have a supervisor. */
  readonly workers: number;
}

/** What the clients of gateways are told of their points. */
const rateLimitHeaders = ["draft-10", "legacy", "both", "off"] as const;

const engines = ["tollgate", "node"] as const;

export type Environment = Readonly<Record<string, string | undefined>>;
/** Flags by their long name, such as `metrics-listen`; undefined: not given. */
export type Flags = Readonly<Record<string, string | undefined>>;

/** This process's environment. Nothing else in src touches it. */
export const processEnvironment: Environment = process.env;

/** One setting of `tollgate serve`: an environment variable and a flag, of which the flag wins. */
export interface Setting {
  readonly variable: string;
  readonly flag: string;
  /** Of the flag, for help: `<host:port>`. */
  readonly placeholder: string;
  readonly description: string;
  /** As a user would write it; undefined: not set. */
  readonly fallback: string | undefined;
  /** May hold a secret: it can be read from a file too, and a password is refused on the command line. */
  readonly secret?: "url" | "whole";
}

export const settings = {
  listen: {
    variable: "TOLLGATE_LISTEN",
    flag: "listen",
    placeholder: "<address>",
    description: "where to serve: host:port (port 0 picks a free one) or unix:/path",
    fallback: "127.0.0.1:8080",
  },
  metricsListen: {
    variable: "TOLLGATE_METRICS_LISTEN",
    flag: "metrics-listen",
    placeholder: "<address>",
    description: "where to serve Prometheus metrics: host:port, or off",
    fallback: "127.0.0.1:9464",
  },
  policies: {
    variable: "TOLLGATE_POLICIES",
    flag: "policies",
    placeholder: "<folder>",
    description: "the folder of policy files, one an api",
    fallback: "policies",
  },
  dataDir: {
    variable: "TOLLGATE_DATA_DIR",
    flag: "data-dir",
    placeholder: "<folder>",
    description: "the embedded store's folder; used when there is no DATABASE_URL",
    fallback: ".tollgate",
  },
  databaseUrl: {
    variable: "DATABASE_URL",
    flag: "database-url",
    placeholder: "<url>",
    description: "Postgres: postgres://user@host:5432/name; not set: embedded, in the data folder",
    fallback: undefined,
    secret: "url",
  },
  databaseDirectUrl: {
    variable: "DATABASE_DIRECT_URL",
    flag: "database-direct-url",
    placeholder: "<url>",
    description: "the same Postgres past a pooler, to hear of changes; not set: the database URL",
    fallback: undefined,
    secret: "url",
  },
  redisUrl: {
    variable: "REDIS_URL",
    flag: "redis-url",
    placeholder: "<url>",
    description:
      "Redis or Valkey: redis://host:6379 or rediss://…; redis+sentinel://host:26379,…/master; not set: points are counted in this process",
    fallback: undefined,
    secret: "url",
  },
  redisTlsCa: {
    variable: "REDIS_TLS_CA_FILE",
    flag: "redis-tls-ca-file",
    placeholder: "<file>",
    description: "PEM: who signs the certificates of Redis; not set: the authorities that Node.js knows",
    fallback: undefined,
  },
  redisTlsCert: {
    variable: "REDIS_TLS_CERT_FILE",
    flag: "redis-tls-cert-file",
    placeholder: "<file>",
    description: "PEM: the certificate that this process shows to Redis",
    fallback: undefined,
  },
  redisTlsKey: {
    variable: "REDIS_TLS_KEY_FILE",
    flag: "redis-tls-key-file",
    placeholder: "<file>",
    description: "PEM: the key of that certificate",
    fallback: undefined,
  },
  redisSentinelUser: {
    variable: "REDIS_SENTINEL_USER",
    flag: "redis-sentinel-user",
    placeholder: "<name>",
    description: "the user at the Sentinels; not set: their default user",
    fallback: undefined,
  },
  redisSentinelPassword: {
    variable: "REDIS_SENTINEL_PASSWORD",
    flag: "redis-sentinel-password",
    placeholder: "<password>",
    description: "the password at the Sentinels, which is not that of Redis",
    fallback: undefined,
    secret: "whole",
  },
  adminToken: {
    variable: "TOLLGATE_ADMIN_TOKEN",
    flag: "admin-token",
    placeholder: "<token>",
    description: "a caller token with all grants that is not stored; at least 32 characters",
    fallback: undefined,
    secret: "whole",
  },
  leakReportSecret: {
    variable: "TOLLGATE_LEAK_REPORT_SECRET",
    flag: "leak-report-secret",
    placeholder: "<secret>",
    description:
      "takes leak reports that are signed with it, at POST /leak-reports; at least 32 characters; not set: takes none",
    fallback: undefined,
    secret: "whole",
  },
  logLevel: {
    variable: "LOG_LEVEL",
    flag: "log-level",
    placeholder: "<level>",
    description: `how much to log: ${logLevels.join(", ")}`,
    fallback: "info",
  },
  maxInFlight: {
    variable: "TOLLGATE_MAX_IN_FLIGHT",
    flag: "max-in-flight",
    placeholder: "<number>",
    description: "calls at work at once; one more is refused with RESOURCE_EXHAUSTED",
    fallback: "10000",
  },
  graceMs: {
    variable: "TOLLGATE_GRACE",
    flag: "grace",
    placeholder: "<duration>",
    description: "how long calls in flight may take after SIGTERM",
    fallback: "10s",
  },
  reflection: {
    variable: "TOLLGATE_REFLECTION",
    flag: "reflection",
    placeholder: "<on|off>",
    description: "gRPC server reflection",
    fallback: "on",
  },
  pointsBudgetMs: {
    variable: "TOLLGATE_POINTS_BUDGET",
    flag: "points-budget",
    placeholder: "<duration>",
    description: "how long a decision waits for Redis at most; then the policy's on_outage applies",
    fallback: "25ms",
  },
  redisShards: {
    variable: "TOLLGATE_REDIS_SHARDS",
    flag: "redis-shards",
    placeholder: "<number>",
    description: "how many hash tags buckets are spread over; the same on every replica, and for good",
    fallback: "64",
  },
  databaseConnections: {
    variable: "TOLLGATE_DATABASE_CONNECTIONS",
    flag: "database-connections",
    placeholder: "<number>",
    description: "connections to Postgres at most, besides one for the replica's lease",
    fallback: "10",
  },
  cacheMegabytes: {
    variable: "TOLLGATE_CACHE_MEGABYTES",
    flag: "cache-megabytes",
    placeholder: "<number>",
    description: "memory for cached keys, workspaces, members and caller tokens at most, by estimate",
    fallback: "512",
  },
  trustedProxies: {
    variable: "TOLLGATE_TRUSTED_PROXIES",
    flag: "trusted-proxies",
    placeholder: "<ranges>",
    description: "gateways whose X-Forwarded-* forward auth believes: address ranges with commas, or none",
    fallback: "127.0.0.0/8,::1/128",
  },
  rateLimitHeaders: {
    variable: "TOLLGATE_RATELIMIT_HEADERS",
    flag: "ratelimit-headers",
    placeholder: "<version>",
    description: `what clients of gateways are told of their points: ${rateLimitHeaders.join(", ")}`,
    fallback: "draft-10",
  },
  tlsCert: {
    variable: "TOLLGATE_TLS_CERT_FILE",
    flag: "tls-cert-file",
    placeholder: "<file>",
    description:
      "PEM: the certificate to serve with, and those between it and its authority; not set: no TLS",
    fallback: undefined,
  },
  tlsKey: {
    variable: "TOLLGATE_TLS_KEY_FILE",
    flag: "tls-key-file",
    placeholder: "<file>",
    description: "PEM: the key of that certificate",
    fallback: undefined,
  },
  tlsClientCa: {
    variable: "TOLLGATE_TLS_CLIENT_CA_FILE",
    flag: "tls-client-ca-file",
    placeholder: "<file>",
    description: "PEM: authorities; clients must show a certificate that one of them signed",
    fallback: undefined,
  },
  http2: {
    variable: "TOLLGATE_HTTP2",
    flag: "http2",
    placeholder: "<engine>",
    description: `whose HTTP/2 it speaks, Tollgate's own or Node's: ${engines.join(", ")}`,
    fallback: "tollgate",
  },
  workers: {
    variable: "TOLLGATE_WORKERS",
    flag: "workers",
    placeholder: "<number>",
    description: "processes that serve, one a core; more than one need Postgres and Redis",
    fallback: "1",
  },
  connectionMaxAgeMs: {
    variable: "TOLLGATE_CONNECTION_MAX_AGE",
    flag: "connection-max-age",
    placeholder: "<duration>",
    description:
      "an HTTP/2 connection older than this, less up to a quarter, is told to go elsewhere: new replicas get load",
    fallback: "30m",
  },
  wireBounds: {
    variable: "TOLLGATE_WIRE_BOUNDS",
    flag: "wire-bounds",
    placeholder: "<list>",
    description: "what clients may hold and do, as name=value with commas: see docs/wire.md",
    fallback: undefined,
  },
} as const satisfies Record<keyof Config, Setting>;

/** Read by the other commands, so that they are known to `unknownVariables`. */
const clientVariables = ["TOLLGATE_URL", "TOLLGATE_TOKEN", "TOLLGATE_TOKEN_FILE", "TOLLGATE_KEY"] as const;

/** Reads and checks everything; throws ConfigError at the first setting that is wrong. */
export function readConfig(env: Environment, flags: Flags): Config {
  const read = <T>(setting: Setting, parse: (value: string, source: string) => T) => {
    const found = lookUp(setting, env, flags);
    return found === undefined ? undefined : parse(found.value, found.source);
  };
  const need = <T>(setting: Setting, parse: (value: string, source: string) => T) =>
    read(setting, parse) as T;
  const parsePostgresUrl = parseUrl(["postgres", "postgresql"], "postgres://user@host:5432/name");
  const redisUrl = read(settings.redisUrl, parseRedisUrl);
  const redisParts = {
    redisTlsCa: read(settings.redisTlsCa, readCertificate),
    redisTlsCert: read(settings.redisTlsCert, readCertificate),
    redisTlsKey: read(settings.redisTlsKey, readPrivateKey),
    redisSentinelUser: read(settings.redisSentinelUser, asIs),
    redisSentinelPassword: read(settings.redisSentinelPassword, asIs),
  };
  requireRedisParts(redisUrl ?? "", redisParts);
  const tlsParts = {
    tlsCert: read(settings.tlsCert, readCertificate),
    tlsKey: read(settings.tlsKey, readPrivateKey),
    tlsClientCa: read(settings.tlsClientCa, readCertificate),
  };
  requireTlsParts(tlsParts);
  return {
    listen: need(settings.listen, parseListen),
    metricsListen: need(settings.metricsListen, (value, source) =>
      value === "off" ? undefined : parseTcp(value, source, "host:port or off"),
    ),
    policies: need(settings.policies, asIs),
    dataDir: need(settings.dataDir, asIs),
    databaseUrl: read(settings.databaseUrl, parsePostgresUrl),
    databaseDirectUrl: read(settings.databaseDirectUrl, parsePostgresUrl),
    redisUrl,
    ...redisParts,
    adminToken: read(settings.adminToken, parseLongSecret),
    leakReportSecret: read(settings.leakReportSecret, parseLongSecret),
    logLevel: need(settings.logLevel, parseLogLevel),
    maxInFlight: need(settings.maxInFlight, parseInteger(1, 1_000_000)),
    graceMs: need(settings.graceMs, parseDuration(0, 3_600_000)),
    reflection: need(settings.reflection, parseSwitch),
    pointsBudgetMs: need(settings.pointsBudgetMs, parseDuration(1, 10_000)),
    redisShards: need(settings.redisShards, parseInteger(1, 16_384)),
    databaseConnections: need(settings.databaseConnections, parseInteger(1, 1000)),
    cacheMegabytes: need(settings.cacheMegabytes, parseInteger(1, 1_000_000)),
    trustedProxies: need(settings.trustedProxies, parseAddressRanges),
    rateLimitHeaders: need(settings.rateLimitHeaders, parseWord(rateLimitHeaders)),
    ...tlsParts,
    http2: need(settings.http2, parseWord(engines)),
    workers: need(settings.workers, parseInteger(1, 256)),
    connectionMaxAgeMs: need(settings.connectionMaxAgeMs, parseDuration(1000, 30 * 86_400_000)),
    wireBounds: read(settings.wireBounds, parseWireBounds) ?? {},
  };
}

/** With Sentinels the scheme differs by a word, and is checked without it; the rest when it is connected to. */
function parseRedisUrl(value: string, source: string): string {
  parseUrl(["redis", "rediss"], "redis://host:6379")(value.replace(/^(rediss?)\+sentinel:/, "$1:"), source);
  return value;
}

/** Of a file with several the first is looked at. */
function readCertificate(path: string, source: string): string {
  const pem = readSecretFile(path, source);
  try {
    void new X509Certificate(pem);
  } catch {
    throw new ConfigError(`${source}: the file ${path} holds no certificate in PEM`);
  }
  return pem;
}

function readPrivateKey(path: string, source: string): string {
  const pem = readSecretFile(path, source);
  try {
    createPrivateKey(pem);
  } catch {
    throw new ConfigError(`${source}: the file ${path} holds no private key in PEM, without a passphrase`);
  }
  return pem;
}

type RedisParts = Pick<
  Config,
  "redisTlsCa" | "redisTlsCert" | "redisTlsKey" | "redisSentinelUser" | "redisSentinelPassword"
>;

function requireTlsParts({
  tlsCert,
  tlsKey,
  tlsClientCa,
}: Pick<Config, "tlsCert" | "tlsKey" | "tlsClientCa">): void {
  requirePair([settings.tlsCert, tlsCert], [settings.tlsKey, tlsKey]);
  if (tlsClientCa !== undefined && tlsCert === undefined) {
    const { tlsClientCa: authorities, tlsCert: own } = settings;
    throw new ConfigError(
      `${authorities.variable} is set, and ${own.variable} is not: without TLS nobody shows a certificate`,
    );
  }
}

type ReadFile = readonly [setting: Setting, pem: string | undefined];

/** A certificate and its key. */
function requirePair([certSetting, cert]: ReadFile, [keySetting, key]: ReadFile): void {
  if ((cert === undefined) !== (key === undefined)) {
    throw new ConfigError(
      `${certSetting.variable} and ${keySetting.variable} belong together: set both, or neither`,
    );
  }
  if (cert === undefined || key === undefined) return;
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) {
    throw new ConfigError(
      `${keySetting.variable}: the key is not that of the certificate in ${certSetting.variable}`,
    );
  }
}

/** What the URL has no use for is a mistake: who gives certificates believes that there is TLS. */
function requireRedisParts(url: string, parts: RedisParts): void {
  for (const name of ["redisTlsCa", "redisTlsCert", "redisTlsKey"] as const) {
    if (parts[name] === undefined || /^rediss[:+]/.test(url)) continue;
    throw new ConfigError(
      `${settings[name].variable} is set, and REDIS_URL does not ask for TLS: it must begin with rediss`,
    );
  }
  requirePair([settings.redisTlsCert, parts.redisTlsCert], [settings.redisTlsKey, parts.redisTlsKey]);
  for (const name of ["redisSentinelUser", "redisSentinelPassword"] as const) {
    if (parts[name] === undefined || url.includes("+sentinel://")) continue;
    throw new ConfigError(
      `${settings[name].variable} is set, and REDIS_URL names no Sentinels: redis+sentinel://host:26379/master`,
    );
  }
  if (parts.redisSentinelUser !== undefined && parts.redisSentinelPassword === undefined) {
    throw new ConfigError("REDIS_SENTINEL_USER is set without REDIS_SENTINEL_PASSWORD");
  }
}

/** One line for each TOLLGATE_ variable that nothing reads. */
export function unknownVariables(env: Environment): string[] {
  const known: string[] = [...Object.values(settings).flatMap(variablesOf), ...clientVariables];
  return Object.keys(env)
    .filter((name) => name.startsWith("TOLLGATE_") && !known.includes(name) && !isServiceLink(name))
    .sort()
    .map((name) => {
      const close = closest(name, known);
      return `${name} is not a setting${close === undefined ? "" : `; did you mean ${close}?`}`;
    });
}

/** Throws ConfigError where several processes are to serve, and cannot know what the others do. */
export function requireSharedStores(config: Config): void {
  if (config.workers === 1) return;
  const { databaseUrl, redisUrl, workers } = settings;
  const [missing, what] =
    config.databaseUrl === undefined
      ? [databaseUrl.variable, "keys are kept in the embedded store, which one process opens at a time"]
      : [redisUrl.variable, "each process counts points by itself"];
  if (config.databaseUrl !== undefined && config.redisUrl !== undefined) return;
  throw new ConfigError(
    `${workers.variable} is ${config.workers}, and without ${missing} ${what}: set ${missing}, or one worker`,
  );
}

/** One line when others than this machine can reach the listener without TLS; undefined: they cannot. */
export function exposureWarning(config: Config): string | undefined {
  if (config.listen.kind === "unix" || isLoopback(config.listen.host)) return undefined;
  return `listening on ${formatTcp(config.listen)} without TLS: caller tokens and keys cross the network unencrypted`;
}

export interface Found {
  readonly value: string;
  /** The variable or flag, for messages. */
  readonly source: string;
}

/** A setting's value: the flag, else the variable, else the default. An empty value counts as not set. */
function lookUp(setting: Setting, env: Environment, flags: Flags): Found | undefined {
  const given = fromFlags(setting, flags) ?? fromEnvironment(setting, env);
  if (given !== undefined) return given;
  return setting.fallback === undefined ? undefined : { value: setting.fallback, source: setting.variable };
}

function fromFlags(setting: Setting, flags: Flags): Found | undefined {
  const value = flags[setting.flag] || undefined;
  const file = flags[`${setting.flag}-file`];
  const source = `--${setting.flag}`;
  if (value !== undefined && file !== undefined) throw both(source, `${source}-file`);
  if (file !== undefined) return { value: readSecretFile(file, `${source}-file`), source: `${source}-file` };
  if (value !== undefined && setting.secret === "url" && hasPassword(value)) {
    throw new ConfigError(
      `${source} holds a password, and other users of this machine can read a command line: ` +
        `set ${setting.variable}, or put the URL into a file and give ${source}-file`,
    );
  }
  return value === undefined ? undefined : { value, source };
}

/** The variable's value, or the content of the file that its `_FILE` twin names. */
export function fromEnvironment(
  setting: Pick<Setting, "variable" | "secret">,
  env: Environment,
): Found | undefined {
  const value = env[setting.variable] || undefined;
  const fileVariable = `${setting.variable}_FILE`;
  const file = setting.secret === undefined ? undefined : env[fileVariable] || undefined;
  if (value !== undefined && file !== undefined) throw both(setting.variable, fileVariable);
  if (file !== undefined) return { value: readSecretFile(file, fileVariable), source: fileVariable };
  return value === undefined ? undefined : { value, source: setting.variable };
}

function both(one: string, other: string): ConfigError {
  return new ConfigError(`${one} and ${other} are both set: keep one`);
}

const asIs = (value: string): string => value;

/** The variable, and its `_FILE` twin where the setting may hold a secret. */
export function variablesOf(setting: Setting): string[] {
  return setting.secret === undefined ? [setting.variable] : [setting.variable, `${setting.variable}_FILE`];
}

/** Kubernetes and Docker put such variables into every container beside a service called "tollgate". */
function isServiceLink(name: string): boolean {
  return /_(SERVICE_(HOST|PORT\w*)|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$/.test(name);
}
