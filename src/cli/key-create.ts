import type { Command } from "commander";
import { CreateKeyResponseSchema } from "../gen/tollgate/v1/authorization_service_pb.ts";
import type { Key } from "../gen/tollgate/v1/key_pb.ts";
import type { AddCommand } from "./context.ts";
import { keyFacts } from "./key-facts.ts";
import { present } from "./listing.ts";
import { toList, toMetadata, toTime } from "./option-value.ts";
import { messageJson, openSession, type Session } from "./session.ts";
import { formatFacts } from "./terminal.ts";

interface CreateOptions {
  api: string;
  type: string;
  workspace: string;
  user: string;
  name: string;
  description: string;
  scopes?: string[];
  expires?: ReturnType<typeof toTime>;
  metadata?: Record<string, string>;
  cidrs?: string[];
  role: string;
  requestId: string;
  secretOnly?: true;
}

export const addKeyCreate: AddCommand = (group, { terminal }) => {
  group
    .command("create")
    .description("make a key for a user; its secret is shown once")
    .requiredOption("--workspace <id>", "the workspace that it is made in")
    .requiredOption("--user <id>", "the member who makes it")
    .requiredOption("--name <text>", "for people")
    .option("--description <text>", "for people", "")
    .option("--api <name>", "the policy; needed where there are several", "")
    .option("--type <type>", "one of the policy's key types; needed where there are several", "")
    .option("--scopes <list>", "scopes or presets, for types that select them", toList)
    .option("--expires <when>", "30d from now, a time (2027-01-31T12:00:00Z), or never", toTime)
    .option("--metadata <name=value>", "your own data; may be repeated", toMetadata)
    .option("--cidrs <list>", "address ranges that it may be used from, such as 10.0.0.0/8", toList)
    .option("--role <role>", "the role of a service account", "")
    .option("--request-id <id>", "makes a repeat safe: the same id never makes a second key", "")
    .option("--secret-only", "print nothing but the secret")
    .addHelpText("after", "\nThe secret goes to stdout, all else to stderr: SECRET=$(tollgate key create …)")
    .action(async (options: CreateOptions, command: Command) => {
      const session = openSession(command, terminal);
      const answer = await session.keys.createKey({
        api: options.api,
        type: options.type,
        workspaceId: options.workspace,
        userId: options.user,
        name: options.name,
        description: options.description,
        scopes: options.scopes ?? [],
        metadata: options.metadata ?? {},
        allowedCidrs: options.cidrs ?? [],
        role: options.role,
        requestId: options.requestId,
        ...(options.expires !== undefined && options.expires !== "never" && { expireTime: options.expires }),
      });
      if (session.asJson) terminal.print(messageJson(CreateKeyResponseSchema, answer));
      else printSecret(session, { key: present(answer.key), secret: answer.secret }, options);
    });
};

/** The secret alone on stdout, the key on stderr. */
export function printSecret(
  { terminal }: Session,
  made: { readonly key: Key; readonly secret: string },
  options: { readonly secretOnly?: true },
): void {
  if (!options.secretOnly) {
    terminal.note(formatFacts(keyFacts(made.key)));
    terminal.note("Its secret, shown this once:");
  }
  terminal.print(made.secret);
}
