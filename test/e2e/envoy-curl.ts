import { execFile } from "node:child_process";
import { type HttpAnswer, parseAnswer, valuesOf } from "./envoy-answer.ts";

/** Asks with curl, as a stranger would: these arguments, after those that make it quiet and tell the headers. */
export async function curl(...args: readonly string[]): Promise<HttpAnswer> {
  const text = await runCurl("--include", ...args);
  const answer = parseAnswer(text);
  if (answer === undefined) throw new Error(`no answer: ${text}`);
  return answer;
}

/** The same to several URLs, by one process; all of the answers must tell their length. */
export async function curlEach(urls: readonly string[], ...args: readonly string[]): Promise<HttpAnswer[]> {
  let rest = Buffer.from(await runCurl("--include", ...args, ...urls)).toString("latin1");
  return urls.map(() => {
    const answer = parseAnswer(rest);
    if (answer === undefined) throw new Error(`no answer: ${rest}`);
    const length = Number(valuesOf(answer, "content-length")[0]);
    const body = Buffer.from(answer.body.slice(0, length), "latin1").toString();
    rest = answer.body.slice(length);
    return { ...answer, body };
  });
}

/** What curl writes. */
export function runCurl(...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("/usr/bin/curl", ["--silent", "--show-error", "--path-as-is", ...args], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}
