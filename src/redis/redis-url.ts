import { TollgateError } from "../core/errors.ts";

/** What REDIS_URL names. */
export interface RedisAddress {
  /** The URL without user and password. */
  readonly shown: string;
  /** The server, or a node of the cluster; with `masterName` the Sentinels. At least one. */
  readonly hosts: readonly HostPort[];
  /** What the Sentinels call the master; undefined: there are none. */
  readonly masterName: string | undefined;
  readonly db: number;
  readonly tls: boolean;
  readonly user: RedisUser;
}

export interface HostPort {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

/** Each left out where it is not given. */
export interface RedisUser {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * Reads `redis://[user:password@]host[:port][/database]`, and of Sentinels
 * `redis+sentinel://[user:password@]host[:port][,host[:port]…]/master[/database]`; `rediss` for TLS.
 * Throws TollgateError `invalid_argument` REDIS_URL_INVALID, which says what is wrong and shows no password.
 */
export function parseRedisUrl(text: string): RedisAddress {
  const match = /^(rediss?)(\+sentinel)?:\/\/(?:([^/?#]*)@)?([^/?#@]+)(\/[^?#]*)?(.*)$/s.exec(text);
  const [, scheme, sentinel, user = "", hosts = "", path = "", rest] = match ?? [];
  if (match === null || (sentinel === undefined && hosts.includes(","))) throw badUrl(FORMS);
  if (rest !== "") throw badUrl("nothing may follow the database");
  const [masterName, database = ""] =
    sentinel === undefined ? [undefined, path.slice(1)] : masterOf(path.slice(1));
  if (!/^\d{0,6}$/.test(database)) {
    const before = sentinel === undefined ? "host" : "master's name";
    throw badUrl(`what follows the ${before} is not the number of a database`);
  }
  return {
    shown: `${scheme}${sentinel ?? ""}://${hosts}${path}`,
    hosts: hosts.split(",").map((host) => hostOf(host, sentinel === undefined ? 6379 : 26379)),
    masterName,
    db: Number(database),
    tls: scheme === "rediss",
    user: userOf(user),
  };
}

const FORMS =
  "it is not of the form redis://[user:password@]host[:port][/database], or of Sentinels " +
  "redis+sentinel://[user:password@]host[:port],host[:port]/master[/database] (rediss for TLS)";

/** Sentinels allow no other names. With an "@" it is the rest of a password that holds a "/". */
function masterOf(path: string): [name: string, database?: string] {
  const [name = "", ...database] = path.split("/");
  if (!/^[A-Za-z0-9._-]+$/.test(name)) {
    throw badUrl(
      "after the Sentinels comes what they call the master, such as /mymaster: letters, digits and . _ -; " +
        "a / in a user or password is written %2F",
    );
  }
  return [name, database.join("/")];
}

function hostOf(text: string, defaultPort: number): HostPort {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (match === null || port < 1 || port > 65_535) throw badUrl(FORMS);
  return { host: (match[1] ?? match[2]) as string, port };
}

function userOf(text: string): RedisUser {
  const [username = "", ...rest] = text.split(":");
  const password = rest.join(":");
  return {
    ...(username === "" ? {} : { username: decoded(username) }),
    ...(password === "" ? {} : { password: decoded(password) }),
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badUrl("a % in a user or password is written %25");
  }
}

function badUrl(problem: string): TollgateError {
  return new TollgateError("invalid_argument", `REDIS_URL: ${problem}.`, { reason: "REDIS_URL_INVALID" });
}
