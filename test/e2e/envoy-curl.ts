import { execFile } from "node:child_process";
import { type HttpAnswer, parseAnswer } from "./envoy-answer.ts";

/** Asks with curl, as a stranger would: these arguments, after those that make it quiet and tell the headers. */
export async function curl(...args: readonly string[]): Promise<HttpAnswer> {
  const text = await runCurl("--include", ...args);
  const answer = parseAnswer(text);
  if (answer === undefined) throw new Error(`no answer: ${text}`);
  return answer;
}

/** What curl writes. */
export function runCurl(...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile("/usr/bin/curl", ["--silent", "--show-error", "--path-as-is", ...args], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}
