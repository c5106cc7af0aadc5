import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Command, InvalidArgumentError } from "commander";
import { type CheckRequestSchema, CheckResponseSchema } from "../gen/tollgate/v1/authorization_service_pb.ts";
import { Mode } from "../gen/tollgate/v1/decision_pb.ts";
import type { AddCommand } from "./context.ts";
import { decisionLines } from "./decision-lines.ts";
import { exitStatus, UsageError } from "./exit.ts";
import { toList, toPoints } from "./option-value.ts";
import { parseRequest } from "./request-target.ts";
import { readSecret, type SecretSource } from "./secret-input.ts";
import { messageJson, openSession } from "./session.ts";

interface CheckOptions extends SecretSource {
  withoutKey?: true;
  api: string;
  workspace: string;
  locations?: string[];
  host?: string;
  scheme?: string;
  points?: number;
  requestId: string;
  mode: Mode;
  clientIp: string;
  explain?: true;
}

export const addCheck: AddCommand = (parent, { terminal, finish }) => {
  parent
    .command("check <target>")
    .description('decide one request: a permission, or a request such as "GET /items?workspaceId=w1"')
    .option("--secret-stdin", "read the key from stdin")
    .option("--key-file <file>", "read the key from a file")
    .option("--without-key", "as a client that sends no key")
    .option("--api <name>", "the policy; needed where neither the host nor being the only one tells it", "")
    .option("--workspace <id>", "the workspace, where the request does not name it", "")
    .option("--locations <list>", "locations that the request is about", toList)
    .option("--host <name>", "the request's host")
    .option("--scheme <scheme>", "http or https")
    .option("--points <number>", "charge so many points instead of the policy's cost", toPoints)
    .option("--request-id <id>", "charge it at most once", "")
    .option("--mode <mode>", "enforce, peek (charge nothing) or record", toMode, Mode.ENFORCE)
    .option("--client-ip <address>", "the client's address", "")
    .option("--explain", "show each step of the decision")
    .addHelpText("after", checkNotes)
    .action(async (target: string, options: CheckOptions, command: Command) => {
      const session = openSession(command, terminal);
      const request = toRequest(target, options);
      const key = options.withoutKey ? "" : await findKey(options);
      const answer = await session.keys.check({ ...request, key });
      if (session.asJson) terminal.print(messageJson(CheckResponseSchema, answer));
      else for (const line of decisionLines(answer, terminal)) terminal.print(line);
      finish(answer.allowed ? exitStatus.ok : exitStatus.denied);
    });

  async function findKey(options: CheckOptions): Promise<string> {
    const secret = await readSecret(options, terminal);
    if (secret !== undefined) return secret;
    if (!terminal.stdinIsTerminal) return (await readSecret({ secretStdin: true }, terminal)) as string;
    throw new UsageError(
      "whose key? Give it on stdin, by --key-file or in TOLLGATE_KEY; or ask --without-key",
    );
  }
};

function toRequest(target: string, options: CheckOptions): MessageInitShape<typeof CheckRequestSchema> {
  const http = parseRequest(target);
  if (http === undefined && (options.host !== undefined || options.scheme !== undefined)) {
    throw new UsageError(
      '--host and --scheme belong to a request, such as "GET /items"; this is a permission',
    );
  }
  return {
    target:
      http === undefined
        ? { case: "permission", value: target }
        : {
            case: "http",
            value: { ...http, scheme: options.scheme ?? http.scheme, host: options.host ?? http.host },
          },
    api: options.api,
    workspaceId: options.workspace,
    locationIds: options.locations ?? [],
    requestId: options.requestId,
    mode: options.mode,
    clientIp: options.clientIp,
    explain: options.explain ?? false,
    ...(options.points !== undefined && { points: options.points }),
  };
}

function toMode(text: string): Mode {
  const modes: Record<string, Mode> = { enforce: Mode.ENFORCE, peek: Mode.PEEK, record: Mode.RECORD };
  const mode = modes[text];
  if (mode === undefined) throw new InvalidArgumentError("It must be enforce, peek or record.");
  return mode;
}

const checkNotes = `
The key is read from --key-file, --secret-stdin or TOLLGATE_KEY, else from stdin; never from the command line.
A request may be a whole URL: "GET https://api.retrac.co/items?workspaceId=w1".
It charges points as any other check; --mode peek does not. Exit status: 0 allowed, 3 denied.

Examples:
  tollgate check items.read --api retrac --workspace demo --key-file key.txt
  tollgate check "GET /api/v2/users" --api retool --explain < key.txt`;
