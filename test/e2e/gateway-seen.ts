import type { RawAnswer } from "../support/gateway-client.ts";

/** What reached the API, as examples/upstream tells it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly bodyBytes: number;
  /** By name, all that some server would read as a header of Tollgate's: in any case, whatever stands for "-". */
  readonly identity: Readonly<Record<string, readonly string[]>>;
}

/** Throws, with the answer, where the request did not get so far. */
export function seenBy(answer: RawAnswer): Seen {
  if (answer.status !== 200) throw new Error(`refused: ${JSON.stringify(answer)}`);
  const seen: Omit<Seen, "identity"> = JSON.parse(answer.body);
  const identity: Record<string, string[]> = {};
  for (const [name, value] of seen.headers) {
    const read = name.toLowerCase().replace(/[^a-z0-9]/g, "-");
    if (read.startsWith("x-tollgate")) (identity[read] ??= []).push(value);
  }
  return { ...seen, identity };
}

/** "refused", or the path that reached the API, as the laxest of servers reads it. */
export function outcomeOf(answer: RawAnswer): string {
  return answer.status === 200 ? laxPath(seenBy(answer).url) : "refused";
}

/** Decoded (twice), with every separator that some server knows, dots resolved, parameters cut, in lower case. */
function laxPath(url: string): string {
  const path = decoded(decoded(url.split("?")[0] ?? ""))
    .replace(/[?#\0].*$/s, "")
    .replaceAll("\\", "/")
    .replace(/;[^/]*/g, "")
    .toLowerCase();
  const segments: string[] = [];
  for (const segment of path.split("/")) {
    if (segment === "..") segments.pop();
    else if (segment !== "." && segment !== "") segments.push(segment);
  }
  return `/${segments.join("/")}`;
}

function decoded(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
