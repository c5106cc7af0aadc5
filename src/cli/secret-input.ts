import { readFileSync } from "node:fs";
import { ConfigError } from "../config-value.ts";
import { UsageError } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

export interface SecretSource {
  /** --secret-stdin */
  readonly secretStdin?: true;
  /** --key-file; "-" is stdin. */
  readonly keyFile?: string;
}

/**
 * A key's secret from --key-file, --secret-stdin or TOLLGATE_KEY; undefined when none of them is there.
 * Never from the command line, which other users of the machine can read. Throws UsageError, ConfigError.
 */
export async function readSecret(source: SecretSource, terminal: Terminal): Promise<string | undefined> {
  if (source.secretStdin && source.keyFile !== undefined) {
    throw new UsageError("--secret-stdin and --key-file are both given: keep one");
  }
  if (source.secretStdin || source.keyFile === "-") {
    if (terminal.stdinIsTerminal) terminal.note("Paste the key, then Enter and Ctrl-D:");
    return firstLine(await terminal.readStdin(), "stdin");
  }
  if (source.keyFile !== undefined) return firstLine(readKeyFile(source.keyFile), source.keyFile);
  return terminal.env.TOLLGATE_KEY || undefined;
}

/** Whether a text that was given as an id is rather a secret: those end in 49 letters and digits. */
export function looksLikeSecret(text: string): boolean {
  return /[0-9A-Za-z]{49}$/.test(text);
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(`--key-file: cannot read the file ${path} (${code})`);
  }
}

function firstLine(text: string, from: string): string {
  const secret = text.replace(/\r?\n$/, "");
  if (secret === "") throw new UsageError(`no key in ${from}`);
  if (/[\r\n]/.test(secret)) throw new UsageError(`more than one line in ${from}: give one key`);
  return secret;
}
