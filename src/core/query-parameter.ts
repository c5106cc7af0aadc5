/** Stands for a value that cannot be told, and is no id. */
const UNCLEAR = "\0";

/**
 * The values of one query parameter, in order; empty when it is not there. `query` is what follows the
 * "?", as sent. `name[]` and `name[x]` count as `name`.
 *
 * Servers differ in how they read a query, and what one of them could take for the parameter must not
 * reach it unseen. So a spelling that only some read so (another case, a bad escape, a leading "[" or
 * space, what follows a ";") has the value "\0", which is no id; and so has a value that does not decode.
 */
export function queryParameter(query: string, name: string): string[] {
  const values: string[] = [];
  if (query === "") return values;
  for (const pair of query.split("&")) {
    const [first = "", ...afterSemicolons] = pair.split(";");
    const equals = first.indexOf("=");
    const spelled = equals === -1 ? first : first.slice(0, equals);
    const decoded = decode(spelled);
    if (decoded === name || decoded?.startsWith(`${name}[`) === true) {
      const value = equals === -1 ? "" : decode(first.slice(equals + 1));
      values.push(value === undefined || afterSemicolons.length > 0 ? UNCLEAR : value);
    } else if ([spelled, ...afterSemicolons].some((text) => resembles(text, name))) {
      values.push(UNCLEAR);
    }
  }
  return values;
}

/** Whether some server would read a parameter that is spelled so as `name`. */
function resembles(text: string, name: string): boolean {
  const equals = text.indexOf("=");
  const spelled = equals === -1 ? text : text.slice(0, equals);
  // Too short even where each of its characters is one of the name.
  if (spelled.length < name.length) return false;
  const read = decodeLeniently(spelled)
    .replace(/^[\s[]+/, "")
    .toLowerCase();
  const wanted = name.toLowerCase();
  return read.startsWith(wanted) && !/^[\w-]/.test(read.slice(wanted.length));
}

/** Undefined when it does not decode. */
function decode(text: string): string | undefined {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    // URIError: a bad escape, which is the client's and is told as such.
    return undefined;
  }
}

/** As byte-wise parsers do: bad escapes stay as they are. */
function decodeLeniently(text: string): string {
  return text
    .replaceAll("+", " ")
    .replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
