import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { type AddressRange, parseAddressRange } from "./core/address-range.ts";

/** A variable, flag or file holds what it must not. The message names it and what would be right. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

export interface TcpAddress {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}

export type ListenAddress =
  | ({ readonly kind: "tcp" } & TcpAddress)
  | { readonly kind: "unix"; readonly path: string };

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/** `host:port`, IPv6 in brackets. */
export function formatTcp(address: TcpAddress): string {
  return `${isIP(address.host) === 6 ? `[${address.host}]` : address.host}:${address.port}`;
}

/** The URL as it may be shown: whatever could be a password is replaced, and the query is left out. */
export function withoutPassword(url: string): string {
  const { scheme, user, rest } = splitUrl(url);
  return `${scheme}${user === undefined ? "" : `${user.split(":")[0]}${user.includes(":") ? ":***" : ""}@`}${rest.replace(/[?#].*$/s, "")}`;
}

/** The name in `candidates` that `name` is most likely a misspelling of. */
export function closest(name: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.floor(name.length / 4)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Milliseconds of `500ms`, `10s`, `5m`, `24h` or `30d`; undefined when it is none of these. */
export function durationMs(text: string): number | undefined {
  const match = /^(\d{1,12})(ms|s|m|h|d)$/.exec(text);
  if (match === null) return undefined;
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[
    match[2] as "ms" | "s" | "m" | "h" | "d"
  ];
  return Number(match[1]) * unit;
}

/** The file's content without the newline at its end. */
export function readSecretFile(path: string, source: string): string {
  let content: string;
  try {
    content = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new ConfigError(`${source}: cannot read the file ${path}: ${reasonOf(error)}`);
  }
  if (content === "") throw new ConfigError(`${source}: the file ${path} is empty`);
  return content;
}

function reasonOf(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  const reasons: Record<string, string> = {
    ENOENT: "it does not exist",
    EACCES: "permission denied",
    EISDIR: "it is a folder",
  };
  return code === undefined ? "it cannot be read" : (reasons[code] ?? code);
}

export function wrong(source: string, value: string, right: string): ConfigError {
  return new ConfigError(`${source} is ${JSON.stringify(value)}: it must be ${right}`);
}

export function parseListen(value: string, source: string): ListenAddress {
  if (value.startsWith("unix:")) {
    const path = value.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (path === "") throw wrong(source, value, "unix:/path");
    return { kind: "unix", path };
  }
  return { kind: "tcp", ...parseTcp(value, source, "host:port or unix:/path") };
}

export function parseTcp(value: string, source: string, right: string): TcpAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9_.-]+)):(\d{1,5})$/.exec(value);
  const [, v6, name, digits] = match ?? [];
  const port = Number(digits);
  if (match === null || port > 65_535 || (v6 !== undefined && isIP(v6) !== 6)) {
    const hint = /^:?\d+$/.test(value) ? " (for every address of this machine: 0.0.0.0:port)" : "";
    throw wrong(source, value, `${right}, such as 127.0.0.1:8080${hint}`);
  }
  return { host: (v6 ?? name) as string, port };
}

export function parseUrl(schemes: readonly string[], example: string) {
  return (value: string, source: string): string => {
    const scheme = /^([a-z]+):\/\/[^/?#\s]/.exec(value)?.[1] ?? "";
    if (!schemes.includes(scheme)) throw wrong(source, shownUrl(value), `a URL such as ${example}`);
    if (/\s/.test(value)) throw wrong(source, shownUrl(value), `a URL without spaces, such as ${example}`);
    return value;
  };
}

/** What is no URL at all might be a bare password: only its length is told. */
function shownUrl(value: string): string {
  return value.includes("://") ? withoutPassword(value) : `(${value.length} characters)`;
}

export function parseLongSecret(value: string, source: string): string {
  if (/^[!-~]{32,1024}$/.test(value)) return value;
  const problem =
    value.length < 32 ? `has ${value.length} characters` : "has spaces, or characters beyond ASCII";
  throw new ConfigError(
    `${source} ${problem}: it must be at least 32 printable ASCII characters, hard to guess`,
  );
}

export function parseLogLevel(value: string, source: string): LogLevel {
  const level = logLevels.find((candidate) => candidate === value.toLowerCase());
  if (level === undefined) throw wrong(source, value, `one of ${logLevels.join(", ")}`);
  return level;
}

export function parseSwitch(value: string, source: string): boolean {
  if (value === "on") return true;
  if (value === "off") return false;
  throw wrong(source, value, "on or off");
}

/** Address ranges with commas between them; "none" for none. */
export function parseAddressRanges(value: string, source: string): readonly AddressRange[] {
  if (value === "none") return [];
  return value.split(",").map((text) => {
    const range = parseAddressRange(text.trim());
    if (range === undefined) {
      throw new ConfigError(
        `${source}: ${JSON.stringify(text.trim())} is no address range; write 10.0.0.0/8,2001:db8::/32, or none`,
      );
    }
    return range;
  });
}

/** One of the words. */
export function parseWord<Word extends string>(words: readonly Word[]) {
  return (value: string, source: string): Word => {
    const word = words.find((each) => each === value);
    if (word === undefined)
      throw new ConfigError(`${source} is one of ${words.join(", ")}, not ${JSON.stringify(value)}`);
    return word;
  };
}

export function parseInteger(least: number, most: number) {
  return (value: string, source: string): number => {
    const number = /^\d{1,12}$/.test(value) ? Number(value) : -1;
    if (number < least || number > most)
      throw wrong(source, value, `a whole number from ${least} to ${most}`);
    return number;
  };
}

export function parseDuration(leastMs: number, mostMs: number) {
  return (value: string, source: string): number => {
    const ms = durationMs(value);
    if (ms === undefined || ms < leastMs || ms > mostMs) {
      throw wrong(
        source,
        value,
        `a duration from ${leastMs}ms to ${mostMs / 1000}s, such as 500ms, 10s or 1m`,
      );
    }
    return ms;
  };
}

/** Bounds of the wire by name: the least and the most of each, in milliseconds where it is a time. */
const wireBounds = {
  connections: [1, 1_000_000],
  handshakes: [1, 100_000],
  streams: [1, 100_000],
  "header-bytes": [1024, 1_000_000],
  "queued-bytes": [65_536, 1_000_000_000],
  "queued-bytes-in-all": [65_536, 100_000_000_000],
  "unfinished-bytes": [65_536, 100_000_000_000],
  resets: [1, 1_000_000],
  "resets-per-second": [1, 1_000_000],
  "control-frames": [100, 100_000_000],
  "control-frames-per-second": [1, 100_000_000],
  "header-timeout": [10, 3_600_000],
  "body-timeout": [10, 3_600_000],
  "idle-timeout": [10, 86_400_000],
} as const satisfies Readonly<Record<string, readonly [least: number, most: number]>>;

/** Those that were set. */
export type WireBounds = Readonly<Partial<Record<keyof typeof wireBounds, number>>>;

/** `streams=200,idle-timeout=1m`; empty: none. */
export function parseWireBounds(value: string, source: string): WireBounds {
  const pairs = value.split(",").filter((pair) => pair.trim() !== "");
  return Object.fromEntries(pairs.map((pair) => wireBoundOf(pair.trim(), source)));
}

function wireBoundOf(pair: string, source: string): readonly [name: keyof WireBounds, value: number] {
  const [, name = "", text = ""] = /^([a-z-]+)=(\w+)$/.exec(pair) ?? [];
  if (!Object.hasOwn(wireBounds, name)) {
    const names = Object.keys(wireBounds).join(", ");
    throw new ConfigError(
      `${source} is a list of name=value, of ${names}, and ${JSON.stringify(pair)} is none`,
    );
  }
  const [least, most] = wireBounds[name as keyof typeof wireBounds];
  const parse = name.endsWith("-timeout") ? parseDuration(least, most) : parseInteger(least, most);
  return [name as keyof WireBounds, parse(text, `${name} of ${source}`)];
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

/** A password may hold "/", "?" and "@" unescaped, so all up to the last "@" counts as user information. */
function splitUrl(url: string): { scheme: string; user: string | undefined; rest: string } {
  const [, scheme = "", all = url] = /^([^:]*:\/\/)(.*)$/s.exec(url) ?? [];
  const at = all.lastIndexOf("@");
  return { scheme, user: at < 0 ? undefined : all.slice(0, at), rest: all.slice(at + 1) };
}

/** Whether a URL holds one, before its host or in its query. */
export function hasPassword(url: string): boolean {
  const { user } = splitUrl(url);
  return (user !== undefined && /:./s.test(user)) || /[?&](ssl)?password=./i.test(url);
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[j] as number) + 1, (current[j - 1] as number) + 1));
    }
    previous = current;
  }
  return previous[b.length] as number;
}
