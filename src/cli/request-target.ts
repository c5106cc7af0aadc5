import { UsageError } from "./exit.ts";

export interface RequestTarget {
  readonly method: string;
  /** With its query, as written. */
  readonly path: string;
  /** Empty: not said. */
  readonly scheme: string;
  readonly host: string;
}

/** `GET /items?x=1` or `GET https://host/items`; undefined for a text without a space: a permission. */
export function parseRequest(text: string): RequestTarget | undefined {
  const space = text.indexOf(" ");
  if (space < 0) return undefined;
  const method = text.slice(0, space).toUpperCase();
  const rest = text.slice(space + 1);
  const url = /^(https?):\/\/([^/?#\s]+)([^\s]*)$/.exec(rest);
  const path = url === null ? rest : url[3] || "/";
  if (!/^[A-Z]+$/.test(method) || !path.startsWith("/")) {
    throw new UsageError(
      `${JSON.stringify(text)} is no request: it must be a method and a path, such as "GET /items"`,
    );
  }
  return { method, path, scheme: url?.[1] ?? "", host: url?.[2] ?? "" };
}
