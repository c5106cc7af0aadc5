import { createHash } from "node:crypto";
import { TollgateError } from "../core/errors.ts";
import type { Leak, LeakLabel, LeakReports } from "../core/leak-reports.ts";
import { answerJson, answerProblem } from "./http-answer.ts";
import { isSigned, isTimely, type SignedReport } from "./leak-report-signature.ts";
import { bounded, type Exchange, type RequestBody } from "./request-bodies.ts";
import type { RequestLogger } from "./request-log.ts";

export const LEAK_REPORTS_PATH = "/leak-reports";

const MAX_BODY_BYTES = 64 * 1024;
const MAX_LEAKS = 100;
const MAX_TOKEN_CHARACTERS = 4096;
const MAX_TYPE_CHARACTERS = 200;
/** Of a report, whose sender waits: revoking waits for the other replicas, a second where one has died. */
const TIMEOUT_MS = 10_000;

export interface LeakReportEndpointDependencies {
  readonly leakReports: LeakReports;
  /** Shared with those who report. */
  readonly secret: string;
  readonly nowMs: () => number;
  readonly log: Pick<RequestLogger, "info" | "warn">;
}

export type LeakReportEndpoint = (exchange: Exchange, body: RequestBody) => Promise<void>;

type Reported = Leak & { readonly type: string };

/**
 * `POST /leak-reports`: takes the reports of secret scanners in the form of GitHub's secret scanning partner
 * program, a JSON array of {token, type, url, source}, and answers one {token_hash, token_type, label} each.
 * https://docs.github.com/en/code-security/secret-scanning/secret-scanning-partnership-program
 */
export function createLeakReportEndpoint(dependencies: LeakReportEndpointDependencies): LeakReportEndpoint {
  const { leakReports, secret, nowMs, log } = dependencies;

  /** Throws an HttpProblem, and what the core throws. */
  async function serve(exchange: Exchange, body: RequestBody): Promise<readonly object[]> {
    const { request } = exchange;
    if (request.method !== "POST") throw new HttpProblem(405, "unimplemented", "Use POST.");
    const signed = signedBy(request);
    if (!isTimely(signed, nowMs())) throw unsigned();
    const raw = await readBody(exchange, body);
    if (!isSigned(signed, raw, secret)) throw unsigned();
    const leaks = leaksIn(raw);
    const labels = await leakReports.report(leaks, performance.now() + TIMEOUT_MS);
    const revoked = labels.filter((label) => label === "true_positive").length;
    log.info({ reported: leaks.length, revoked }, "leak report");
    return leaks.map((leak, index) => ({
      token_hash: createHash("sha256").update(leak.token).digest("base64"),
      token_type: leak.type,
      label: labels[index] as LeakLabel,
    }));
  }

  return async (exchange, body) => {
    const { response } = exchange;
    try {
      answerJson(response, 200, await serve(exchange, body));
    } catch (error) {
      const problem = problemOf(error);
      log.warn({ status: problem.status, err: error }, "leak report refused");
      answerProblem(response, problem);
    } finally {
      body.end();
    }
  };
}

class HttpProblem extends Error {
  override readonly name = "HttpProblem";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

function problemOf(error: unknown): { status: number; code: string; message: string } {
  if (error instanceof HttpProblem) return error;
  const isKnown = error instanceof TollgateError && error.code !== "internal";
  return {
    status: 503,
    code: "unavailable",
    message: isKnown ? error.message : "The report could not be dealt with; send it again.",
  };
}

function unsigned(): HttpProblem {
  return new HttpProblem(401, "unauthenticated", "The report is not signed, or was signed too long ago.");
}

function malformed(message: string): HttpProblem {
  return new HttpProblem(400, "invalid_argument", message);
}

function signedBy({ headers }: Exchange["request"]): SignedReport {
  const one = (value: string | string[] | undefined) => (typeof value === "string" ? value : null);
  return {
    timestamp: one(headers["x-tollgate-timestamp"]),
    signature: one(headers["x-tollgate-signature"]),
  };
}

/** Its length is asked for first: reading no further than this far would cut the connection before the answer. */
async function readBody(exchange: Exchange, body: RequestBody): Promise<Buffer> {
  const length = exchange.request.headers["content-length"];
  if (length === undefined) throw new HttpProblem(411, "invalid_argument", "Name the content-length.");
  if (Number(length) > MAX_BODY_BYTES) {
    throw new HttpProblem(413, "resource_exhausted", `A report has at most ${MAX_BODY_BYTES} bytes.`);
  }
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of bounded(exchange.request, { exchange, body })) {
    bytes += chunk.length;
    // Node holds HTTP/1.1 to its length; on HTTP/2 this does.
    if (bytes > Number(length)) throw malformed("The body is longer than its content-length.");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function leaksIn(raw: Buffer): readonly Reported[] {
  let report: unknown;
  try {
    report = JSON.parse(raw.toString("utf8"));
  } catch {
    throw malformed("The body is no JSON.");
  }
  if (!Array.isArray(report) || report.length === 0 || report.length > MAX_LEAKS) {
    throw malformed(`A report is an array of 1 to ${MAX_LEAKS} objects.`);
  }
  return report.map((each: unknown) => {
    const { token, type, url, source } = Object(each) as Record<string, unknown>;
    if (typeof token !== "string" || token === "" || token.length > MAX_TOKEN_CHARACTERS) {
      throw malformed(`Each object has a token of 1 to ${MAX_TOKEN_CHARACTERS} characters.`);
    }
    return {
      token,
      type: textOf(type).slice(0, MAX_TYPE_CHARACTERS),
      url: textOf(url),
      source: textOf(source),
    };
  });
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
