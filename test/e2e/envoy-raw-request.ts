import { connect } from "node:net";
import { connect as connectTls } from "node:tls";
import { type HttpAnswer, parseAnswer, valuesOf } from "./envoy-answer.ts";

/** Where Envoy listens on 127.0.0.1. */
export interface Target {
  readonly port: number;
  readonly scheme: "http" | "https";
}

export interface RawRequest {
  /** All of the first line; each character is one byte. */
  readonly line: string;
  /** Whole lines, likewise. */
  readonly headers?: readonly string[];
  readonly body?: string;
}

/** Sends exactly these bytes over HTTP/1.1, so that no client puts anything right. Not for HEAD. */
export async function sendRaw(
  target: Target,
  { line, headers = [], body = "" }: RawRequest,
): Promise<HttpAnswer> {
  const length = body === "" ? [] : [`content-length: ${body.length}`];
  const bytes = [line, ...headers, ...length, "connection: close", "", body].join("\r\n");
  const text = await exchange(target, { bytes, isWhole });
  const answer = parseAnswer(text);
  if (answer === undefined) throw new Error(`no answer: ${JSON.stringify(text)}`);
  return answer;
}

/** Whether an answer that tells its length has come: Envoy keeps the connection open for a second after a 400. */
function isWhole(text: string): boolean {
  const answer = parseAnswer(text);
  return (
    answer !== undefined &&
    valuesOf(answer, "content-length").some((length) => Number(length) <= answer.body.length)
  );
}

/** All that came until it was whole, or until the other end closed. */
export function exchange(
  { port, scheme }: Target,
  { bytes, isWhole = () => false }: { bytes: string; isWhole?: (text: string) => boolean },
): Promise<string> {
  return new Promise((resolve, reject) => {
    const place = { port, host: "127.0.0.1" };
    const socket = scheme === "https" ? connectTls({ ...place, rejectUnauthorized: false }) : connect(place);
    let text = "";
    function finish(): void {
      socket.destroy();
      resolve(text);
    }
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (isWhole(text)) finish();
    });
    socket.once("end", finish);
    // Envoy may close while the rest is still on its way; what it answered before counts.
    socket.once("error", (error) => (text === "" ? reject(error) : finish()));
    socket.write(bytes, "latin1");
  });
}
