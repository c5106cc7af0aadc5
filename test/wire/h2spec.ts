import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { goProgram } from "../support/go-programs.ts";
import { reapFolder } from "../support/reaper.ts";
import { runProgram } from "../support/run-program.ts";

/** All that h2spec has, the strict ones among them. */
const CASES = 146;

/** It takes seconds; a case that fails by silence takes two of them. */
const RUN_TIMEOUT_MS = 60_000;
/** Of a test that runs it. */
export const H2SPEC_TIMEOUT_MS = RUN_TIMEOUT_MS + 10_000;

export interface H2specOptions {
  readonly port: number;
  /** "tls": certificates are not verified. */
  readonly transport: "cleartext" | "tls";
}

/**
 * What h2spec, strict, finds wrong with the server on 127.0.0.1, as `http2/5.1 #8: what was sent`: the part
 * and the section of the RFC, and the number within. Throws unless every case was run.
 */
export async function h2specFailures({ port, transport }: H2specOptions): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "tollgate-h2spec-"));
  reapFolder(folder);
  const report = join(folder, "report.xml");
  // A path that is answered over HTTP, without RPC.
  const args = [
    "--host",
    "127.0.0.1",
    "--port",
    String(port),
    "--path",
    "/healthz",
    "--junit-report",
    report,
  ];
  if (transport === "tls") args.push("--tls", "--insecure");
  const { stdout, stderr } = await runProgram(await goProgram.h2spec(), ["--strict", ...args], {
    timeoutMs: RUN_TIMEOUT_MS,
  });
  const cases = casesIn(readFileSync(report, "latin1"));
  if (cases.length !== CASES) throw new Error(`h2spec ran ${cases.length} cases:\n${stdout}${stderr}`);
  return cases.filter(({ hasFailed }) => hasFailed).map(({ name }) => name);
}

interface Case {
  readonly name: string;
  readonly hasFailed: boolean;
}

/** Of a JUnit report. It is no XML proper: bytes of frames stand in it as they were. */
function casesIn(report: string): Case[] {
  return report.split("<testsuite ").flatMap((suite) =>
    [...suite.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*>([^]*?)<\/testcase>/g)].map(
      ([, section = "", sent = "", outcome = ""], index) => ({
        name: `${section} #${index + 1}: ${sent}`,
        hasFailed: /<(?:failure|error|skipped)\b/.test(outcome),
      }),
    ),
  );
}
