import { durationFromMs } from "@bufbuild/protobuf/wkt";
import type { Command } from "commander";
import { RotateKeyResponseSchema } from "../gen/tollgate/v1/authorization_service_pb.ts";
import type { KeyStatus } from "../gen/tollgate/v1/key_pb.ts";
import type { AddCommand } from "./context.ts";
import { UsageError } from "./exit.ts";
import { printSecret } from "./key-create.ts";
import { printKey, toStatus } from "./key-facts.ts";
import { present } from "./listing.ts";
import { toDurationMs, toList, toMetadata, toTime } from "./option-value.ts";
import { looksLikeSecret, readSecret, type SecretSource } from "./secret-input.ts";
import { messageJson, openSession } from "./session.ts";
import { maskOf } from "./workspace.ts";

interface RevokeOptions extends SecretSource {
  reason: string;
  actor: string;
}

interface RotateOptions {
  overlap?: number;
  actor: string;
  requestId: string;
  secretOnly?: true;
}

interface UpdateOptions {
  name?: string;
  description?: string;
  scopes?: string[];
  status?: KeyStatus;
  expires?: ReturnType<typeof toTime>;
  metadata?: Record<string, string>;
  clearMetadata?: true;
  cidrs?: string[];
  actor: string;
}

/** revoke, rotate and update. */
export const addKeyChanges: AddCommand = (group, { terminal }) => {
  withActor(group.command("revoke [id]"))
    .description("end a key for good, by its id or by its secret")
    .option("--secret-stdin", "read the key itself from stdin, for a leak report")
    .option("--key-file <file>", "read the key itself from a file")
    .option("--reason <text>", "for the audit log", "")
    .addHelpText("after", "\nWithout an id, a file or --secret-stdin the key is read from TOLLGATE_KEY.")
    .action(async (id: string | undefined, options: RevokeOptions, command: Command) => {
      const target = id === undefined ? await secretTarget(options) : idTarget(id, options);
      const session = openSession(command, terminal);
      const { reason, actor } = options;
      printKey(session, present((await session.keys.revokeKey({ target, reason, actorUserId: actor })).key));
    });

  withActor(group.command("rotate <id>"))
    .description("give a key a new secret; the old one works until the overlap ends")
    .option("--overlap <duration>", "how long the old secret still works; 0s: it dies now", toDurationMs)
    .option("--request-id <id>", "makes a repeat safe: the same id rotates once", "")
    .option("--secret-only", "print nothing but the new secret")
    .action(async (id: string, options: RotateOptions, command: Command) => {
      const session = openSession(command, terminal);
      const answer = await session.keys.rotateKey({
        keyId: id,
        actorUserId: options.actor,
        requestId: options.requestId,
        ...(options.overlap !== undefined && { overlap: durationFromMs(options.overlap) }),
      });
      if (session.asJson) terminal.print(messageJson(RotateKeyResponseSchema, answer));
      else printSecret(session, { key: present(answer.key), secret: answer.secret }, options);
    });

  withActor(group.command("update <id>"))
    .description("change a key; what is not given stays")
    .option("--name <text>", "for people")
    .option("--description <text>", "for people")
    .option("--scopes <list>", "all scopes or presets that it shall have", toList)
    .option("--status <status>", "active or disabled", toStatus)
    .option("--expires <when>", "30d from now, a time (2027-01-31T12:00:00Z), or never", toTime)
    .option("--metadata <name=value>", "all metadata that it shall have; may be repeated", toMetadata)
    .option("--clear-metadata", "leave it no metadata")
    .option("--cidrs <list>", 'address ranges that it may be used from; "": any', toList)
    .action(async (id: string, options: UpdateOptions, command: Command) => {
      const changes = changesOf(options);
      const paths = maskOf(changes);
      if (paths.length === 0) throw new UsageError("nothing to change: give at least one of the options");
      const session = openSession(command, terminal);
      const { expireTime, ...fields } = changes;
      const answer = await session.keys.updateKey({
        key: { id, ...fields, ...(expireTime !== undefined && { expireTime }) },
        updateMask: { paths },
        actorUserId: options.actor,
      });
      printKey(session, present(answer.key));
    });

  async function secretTarget(options: RevokeOptions) {
    const secret = await readSecret(options, terminal);
    if (secret === undefined) {
      throw new UsageError("which key? Give its id, --secret-stdin, --key-file or TOLLGATE_KEY");
    }
    return { case: "key", value: secret } as const;
  }
};

function withActor(command: Command): Command {
  return command.option(
    "--actor <user>",
    "the user on whose behalf; without one it is done as an administrator",
    "",
  );
}

function idTarget(id: string, options: RevokeOptions) {
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

/** The given fields. `expireTime` is there and undefined for "never". */
function changesOf(options: UpdateOptions) {
  const { name, description, scopes, status, expires, metadata, clearMetadata, cidrs } = options;
  return {
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    ...(scopes !== undefined && { scopes }),
    ...(status !== undefined && { status }),
    ...(expires !== undefined && { expireTime: expires === "never" ? undefined : expires }),
    ...((metadata !== undefined || clearMetadata) && { metadata: metadata ?? {} }),
    ...(cidrs !== undefined && { allowedCidrs: cidrs }),
  };
}
