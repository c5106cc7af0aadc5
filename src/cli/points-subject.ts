import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Command } from "commander";
import type { PointsState } from "../gen/tollgate/v1/decision_pb.ts";
import type { PointsSubjectSchema, ShowPointsResponse } from "../gen/tollgate/v1/points_service_pb.ts";
import { UsageError } from "./exit.ts";
import { looksLikeSecret, readSecret, type SecretSource } from "./secret-input.ts";
import { formatFacts, formatTable, type Terminal } from "./terminal.ts";

export interface SubjectOptions extends SecretSource {
  workspace: string;
  limit: string;
}

export interface OrderOptions extends SubjectOptions {
  reason: string;
  actor: string;
}

/** Whose points: a command's argument and options. */
export function withSubject(command: Command): Command {
  return command
    .option("--secret-stdin", "read the key itself from stdin")
    .option("--key-file <file>", "read the key itself from a file")
    .option("--workspace <id>", "the workspace, for keys that are not bound to one", "")
    .option("--limit <name>", "of this limit only", "")
    .addHelpText("after", "\nWithout an id, a file or --secret-stdin the key is read from TOLLGATE_KEY.");
}

/** What the audit log is told. */
export function withOrder(command: Command): Command {
  return withSubject(command)
    .option("--reason <text>", "for the audit log", "")
    .option("--actor <user>", "for the audit log: the user on whose behalf", "");
}

export async function subjectOf(
  id: string | undefined,
  options: SubjectOptions,
  terminal: Terminal,
): Promise<MessageInitShape<typeof PointsSubjectSchema>> {
  return { key: await keyOf(id, options, terminal), workspaceId: options.workspace };
}

async function keyOf(id: string | undefined, options: SubjectOptions, terminal: Terminal) {
  if (id === undefined) {
    const secret = await readSecret(options, terminal);
    if (secret === undefined) {
      throw new UsageError("which key? Give its id, --secret-stdin, --key-file or TOLLGATE_KEY");
    }
    return { case: "secret", value: secret } as const;
  }
  if (options.secretStdin || options.keyFile !== undefined) {
    throw new UsageError("an id and a secret are both given: keep one");
  }
  if (looksLikeSecret(id)) {
    throw new UsageError(
      "this is a secret and no id, and other users of this machine can read a command line: use --secret-stdin",
    );
  }
  return { case: "keyId", value: id } as const;
}

/** Whose points, and a line a limit; `given` of a grant, by the limits' order. */
export function pointsLines(
  { api, keyId, workspaceId, limits }: Omit<ShowPointsResponse, "$typeName" | "$unknown">,
  given?: readonly number[],
): string {
  const subject = formatFacts([
    ["api", api],
    ["key", keyId],
    ["workspace", workspaceId],
  ]);
  if (limits.length === 0) return `${subject}\nno limit applies`;
  const head = [
    "limit",
    ...(given === undefined ? [] : ["given back"]),
    "left",
    "of",
    "window",
    "all back in",
  ];
  const rows = limits.map((state, index) => [
    state.shadow ? `${state.limitName} (in shadow)` : state.limitName,
    ...(given === undefined ? [] : [String(given[index] ?? 0)]),
    String(state.remaining),
    String(state.limit),
    `${state.windowSeconds} s`,
    backText(state),
  ]);
  return `${subject}\n\n${formatTable(head, rows)}`;
}

function backText({ resetMs, blockedMs }: PointsState): string {
  const reset = resetMs === 0 ? "-" : `${Math.ceil(resetMs / 1000)} s`;
  return blockedMs === 0 ? reset : `${reset}, blocked for ${Math.ceil(blockedMs / 1000)} s`;
}
