import { invalidField } from "./errors.ts";
import { secretDigest } from "./secret.ts";

/** Rows of a page when the request names no number. */
const DEFAULT_PAGE_SIZE = 50;

export function pageSizeOf(requested: number): number {
  return requested === 0 ? DEFAULT_PAGE_SIZE : requested;
}

/**
 * A page token is a store's position, and a check that ties it to the query that it continues:
 * `filter` is everything of the request but the page. Not a secret, and no protection against forgery:
 * a forged position shows nothing that the filter does not.
 */
export function pageTokenOf(next: string | undefined, filter: readonly unknown[]): string {
  if (next === undefined) return "";
  return `${Buffer.from(next).toString("base64url")}.${check(next, filter)}`;
}

/** The position in a token; undefined for the first page. Throws INVALID_ARGUMENT for another query's token. */
export function positionOf(token: string, filter: readonly unknown[]): string | undefined {
  if (token === "") return undefined;
  const [encoded = "", given] = token.split(".");
  const position = Buffer.from(encoded, "base64url").toString();
  if (given !== check(position, filter)) {
    throw invalidField("page_token", "is not of this query; start again without one");
  }
  return position;
}

function check(position: string, filter: readonly unknown[]): string {
  return secretDigest(JSON.stringify([position, ...filter])).slice(0, 16);
}
