/**
 * The values of one query parameter, in order; empty when it is not there. `query` is what follows the
 * "?", as sent. Names are compared as servers read them: percent-decoded, "+" as a space, and
 * `name[]` or `name[x]` count as `name`, so that none reaches the service unseen. A value that does not
 * decode is "\0", which is no id.
 */
export function queryParameter(query: string, name: string): string[] {
  const values: string[] = [];
  // Whatever spells the name contains its first character, or an escape.
  if (query === "" || !(query.includes(name.charAt(0)) || query.includes("%"))) return values;
  for (const pair of query.split("&")) {
    const equals = pair.indexOf("=");
    const decoded = decode(equals === -1 ? pair : pair.slice(0, equals));
    if (decoded !== name && !decoded.startsWith(`${name}[`)) continue;
    values.push(equals === -1 ? "" : decode(pair.slice(equals + 1)));
  }
  return values;
}

function decode(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    // URIError: a bad escape. Not an error of ours: the text stands for no name and no id.
    return "\0";
  }
}
