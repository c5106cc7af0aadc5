import type { Command } from "commander";
import { KeySchema, KeyStatus } from "../gen/tollgate/v1/key_pb.ts";
import type { AddCommand } from "./context.ts";
import { addKeyChanges } from "./key-change.ts";
import { addKeyCreate } from "./key-create.ts";
import { oldSecretUse, printKey, statusOf, toStatus } from "./key-facts.ts";
import { addKeyRevokeAll } from "./key-revoke-all.ts";
import { present, printList } from "./listing.ts";
import { formatTime, toPoints } from "./option-value.ts";
import { openSession } from "./session.ts";

interface ListOptions {
  api: string;
  workspace: string;
  user: string;
  status: KeyStatus;
  limit: number;
}

export const addKey: AddCommand = (parent, context) => {
  const { terminal } = context;
  const group = parent.command("key").description("API keys");
  addKeyCreate(group, context);

  group
    .command("get <id>")
    .description("show a key; never its secret")
    .action(async (id: string, _options: object, command: Command) => {
      const session = openSession(command, terminal);
      printKey(session, present((await session.keys.getKey({ keyId: id })).key));
    });

  group
    .command("list")
    .description("list keys, newest first")
    .option("--api <name>", "of this api", "")
    .option("--workspace <id>", "bound to this workspace", "")
    .option("--user <id>", "that this user made", "")
    .option("--status <status>", "active, disabled, expired or revoked", toStatus, KeyStatus.UNSPECIFIED)
    .option("--limit <number>", "how many at most; 0: all", toPoints, 100)
    .action(async (options: ListOptions, command: Command) => {
      const session = openSession(command, terminal);
      await printList(
        session,
        {
          schema: KeySchema,
          limit: options.limit,
          head: [
            "id",
            "name",
            "api",
            "type",
            "workspace",
            "made by",
            "status",
            "last used",
            "old secret last used",
          ],
          row: (it) => [
            it.id,
            it.name,
            it.api,
            it.type,
            it.workspaceId,
            it.createdBy,
            statusOf(it),
            formatTime(it.lastUseTime) || "never",
            oldSecretUse(it),
          ],
        },
        async (page) => {
          const { api, workspace, user, status } = options;
          const answer = await session.keys.listKeys({
            api,
            workspaceId: workspace,
            userId: user,
            status,
            ...page,
          });
          return { items: answer.keys, nextPageToken: answer.nextPageToken };
        },
      );
    });

  addKeyChanges(group, context);
  addKeyRevokeAll(group, context);
};
