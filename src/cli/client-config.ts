import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Environment, type Flags, fromEnvironment, settings } from "../config.ts";
import {
  ConfigError,
  hasPassword,
  isLoopback,
  readSecretFile,
  withoutPassword,
  wrong,
} from "../config-value.ts";

/** What the command line's own calls need: which server, and how to be let in. */
export interface ClientConfig {
  readonly server:
    | { readonly kind: "http"; readonly baseUrl: string }
    | { readonly kind: "unix"; readonly path: string };
  /** As given, for messages. */
  readonly url: string;
  readonly token: string | undefined;
}

/**
 * Which server the command line calls: `--url`, TOLLGATE_URL, or the default address. The token is the
 * first of `--token-file`, TOLLGATE_TOKEN, TOLLGATE_TOKEN_FILE, and, for a server on this machine, the
 * embedded store's `admin-token` file. Throws ConfigError.
 */
export function readClientConfig(env: Environment, flags: Flags): ClientConfig {
  const source = flags.url === undefined ? "TOLLGATE_URL" : "--url";
  const url = flags.url ?? (env.TOLLGATE_URL || "http://127.0.0.1:8080");
  const server = parseServer(url, source);
  return { server, url: withoutPassword(url), token: readToken(env, flags, isLocal(server)) };
}

function parseServer(url: string, source: string): ClientConfig["server"] {
  if (url.startsWith("unix:")) {
    const path = url.slice("unix:".length).replace(/^\/\/(?=\/)/, "");
    if (path !== "") return { kind: "unix", path };
  } else if (/^https?:\/\//.test(url) && URL.canParse(url)) {
    if (hasPassword(url))
      throw new ConfigError(`${source} holds a password: tokens go into a file or TOLLGATE_TOKEN`);
    return { kind: "http", baseUrl: url.replace(/\/+$/, "") };
  }
  throw wrong(source, withoutPassword(url), "http://host:port, https://host or unix:/path");
}

function readToken(env: Environment, flags: Flags, serverIsLocal: boolean): string | undefined {
  const file = flags["token-file"];
  if (file !== undefined) return readSecretFile(file, "--token-file");
  const found = fromEnvironment(tokenSetting, env);
  if (found !== undefined) return found.value;
  const embedded = join(env.TOLLGATE_DATA_DIR || settings.dataDir.fallback, "admin-token");
  return serverIsLocal && existsSync(embedded)
    ? readSecretFile(embedded, "the embedded store's token")
    : undefined;
}

const tokenSetting = { variable: "TOLLGATE_TOKEN", secret: "whole" } as const;

function isLocal(server: ClientConfig["server"]): boolean {
  return server.kind === "unix" || isLoopback(new URL(server.baseUrl).hostname.replace(/^\[|\]$/g, ""));
}
