import { Code, ConnectError } from "@connectrpc/connect";
import { CommanderError } from "commander";
import { ConfigError } from "../config-value.ts";
import { TollgateError } from "../core/errors.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { printable, type Terminal } from "./terminal.ts";

/** What the program's exit status says; docs/cli.md lists them. */
export const exitStatus = {
  ok: 0,
  /** Refused by the server, or a policy is wrong, or a test failed. */
  failed: 1,
  /** The command line or the configuration is wrong; nothing was tried. */
  usage: 2,
  /** `check`: the request is denied. */
  denied: 3,
  /** The server or its store did not answer; what a write was to do may have happened. */
  unavailable: 4,
} as const;
export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus];

/** The command line asks for something that makes no sense. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What was asked for failed, and the message says all there is to know. */
export class FailedError extends Error {
  override readonly name = "FailedError";
}

interface Problem {
  readonly code: string;
  readonly reason: string;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly { readonly field: string; readonly description: string }[];
  readonly status: ExitStatus;
}

/** Tells of an error on stderr, as one line or with `asJson` as one JSON object, and answers the exit status. */
export function reportError(error: unknown, terminal: Terminal, options: { asJson: boolean }): ExitStatus {
  // Commander has printed its own message; status 0 is --help and --version.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitStatus.ok : exitStatus.usage;
  const problem = describe(error);
  if (options.asJson) {
    const { status: _, ...rest } = problem;
    terminal.note(JSON.stringify({ error: rest }));
  } else {
    const reason = problem.reason === "" ? "" : ` (${problem.reason})`;
    const message = oneLine(problem).split("\n").map(printable).join("\n");
    terminal.note(`${terminal.noteStyle("red", "tollgate:")} ${message}${reason}`);
    if (problem.code === "bug" && error instanceof Error) terminal.note(error.stack ?? "");
  }
  return problem.status;
}

function describe(error: unknown): Problem {
  if (error instanceof UsageError || error instanceof ConfigError) {
    return { ...nothing, code: "usage", message: error.message, status: exitStatus.usage };
  }
  if (error instanceof TollgateError) {
    const { code, reason, metadata, violations } = error;
    const message = `${error.message}${rootCause(error)}`;
    return { code, reason, message, metadata, violations, status: statusOf(code) };
  }
  if (error instanceof ConnectError) {
    const info = error.findDetails(ErrorInfoSchema)[0];
    const code = Code[error.code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
    return {
      code,
      reason: info?.reason ?? "",
      message: info === undefined ? error.rawMessage : `${error.rawMessage}${hints[info.reason] ?? ""}`,
      metadata: info?.metadata ?? {},
      violations: error
        .findDetails(BadRequestSchema)
        .flatMap((detail) => detail.fieldViolations)
        .map(({ field, description }) => ({ field, description })),
      status: statusOf(code),
    };
  }
  if (error instanceof FailedError || (error instanceof Error && isExpected(error))) {
    return { ...nothing, code: "failed", message: error.message, status: exitStatus.failed };
  }
  const message = error instanceof Error ? error.message : String(error);
  return { ...nothing, code: "bug", message, status: exitStatus.failed };
}

/**
 * What a store's driver said, for the operator at his own machine; empty where there is nothing new. Only
 * the innermost message: those around it may quote whole queries.
 */
function rootCause(error: TollgateError): string {
  let root = error.cause;
  while (root instanceof Error && root.cause !== undefined) root = root.cause;
  if (!(root instanceof Error) || error.message.includes(root.message)) return "";
  return ` It said: ${root.message}`;
}

/** What only the command line knows to say about a reason. */
const hints: Readonly<Record<string, string>> = {
  CALLER_TOKEN_MISSING: " Give one by --token-file or TOLLGATE_TOKEN.",
  CALLER_TOKEN_INVALID:
    " It is the one of --token-file, TOLLGATE_TOKEN or TOLLGATE_TOKEN_FILE, or where none is given the one in .tollgate/admin-token.",
};

const nothing = { reason: "", metadata: {}, violations: [] } as const;

function statusOf(code: string): ExitStatus {
  return code === "unavailable" || code === "deadline_exceeded" ? exitStatus.unavailable : exitStatus.failed;
}

/** Errors of the system and of drivers carry a code; those without one are programming errors. */
function isExpected(error: Error): boolean {
  return (
    "code" in error || !/^(Type|Reference|Range|Syntax)?Error$/.test(error.name) || error.name === "Error"
  );
}

function oneLine(problem: Problem): string {
  const fields = problem.violations
    .map(({ field, description }) => `${field}: ${description}`)
    .filter((violation) => !problem.message.includes(violation));
  return [problem.message, ...fields].join("; ");
}
