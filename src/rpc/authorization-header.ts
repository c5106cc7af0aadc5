const NAME = "authorization";

/**
 * Every authorization value of a request, joined by commas as any list of header values is (RFC 9110
 * 5.3); null: none. Node's own header objects keep the first and drop the others, so that nobody would
 * see that there were several. `rawHeaders` has names and values in turn.
 */
export function authorizationOf(rawHeaders: readonly string[]): string | null {
  let joined: string | null = null;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    if (name.length !== NAME.length || name.toLowerCase() !== NAME) continue;
    const value = rawHeaders[index + 1] as string;
    joined = joined === null ? value : `${joined}, ${value}`;
  }
  return joined;
}
