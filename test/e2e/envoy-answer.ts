import type { Arrived } from "./envoy-upstream.ts";

/** An HTTP answer as it came over the wire. */
export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case, in order; one that came twice stands twice. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: string;
}

/** Of `HTTP/1.1 200 OK` and what follows; undefined where it is none. */
export function parseAnswer(text: string): HttpAnswer | undefined {
  const end = text.indexOf("\r\n\r\n");
  const [first = "", ...lines] = text.slice(0, end).split("\r\n");
  const status = /^HTTP\/[\d.]+ (\d{3})/.exec(first)?.[1];
  if (end === -1 || status === undefined) return undefined;
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(status), headers, body: text.slice(end + 4) };
}

/** All values of a header. */
export function valuesOf({ headers }: Pick<HttpAnswer, "headers">, name: string): string[] {
  return headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
}

/** What arrived at the API, which is what it answers. Throws where the answer is not the API's. */
export function arrivedIn({ status, body }: HttpAnswer): Arrived {
  if (status !== 200) throw new Error(`not admitted: ${status} ${body}`);
  return JSON.parse(body) as Arrived;
}

/** The reason in a problem's body; the body itself where it is none of ours. */
export function reasonIn({ body }: HttpAnswer): string {
  try {
    return (JSON.parse(body) as { reason?: string }).reason ?? body;
  } catch {
    // Not JSON: Envoy's own.
    return body;
  }
}

/** The identity that the API was told. */
export function identityIn({ headers }: Pick<Arrived, "headers">): Record<string, string[]> {
  const identity: Record<string, string[]> = {};
  for (const [name, value] of headers) {
    const plain = name.toLowerCase().replaceAll("_", "-");
    if (plain.startsWith("x-tollgate-")) (identity[plain] ??= []).push(value);
  }
  return identity;
}
