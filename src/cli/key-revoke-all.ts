import type { Command } from "commander";
import { RevokeKeysResponseSchema } from "../gen/tollgate/v1/authorization_service_pb.ts";
import type { AddCommand } from "./context.ts";
import { UsageError } from "./exit.ts";
import { messageJson, openSession } from "./session.ts";

interface Options {
  api: string;
  user: string;
  workspace: string;
  reason: string;
  actor: string;
}

/** Goes on until no key is left, and tells of each call's keys when it has answered: a later one may fail. */
export const addKeyRevokeAll: AddCommand = (group, { terminal }) => {
  group
    .command("revoke-all")
    .description("end all keys of a user, of a workspace, or of a user in a workspace, for good")
    .option("--user <id>", "that this user made", "")
    .option("--workspace <id>", "bound to this workspace", "")
    .option("--api <name>", "of this api; needed where there are several", "")
    .option("--reason <text>", "for the audit log", "")
    .option("--actor <user>", "the user on whose behalf; without one it is done as an administrator", "")
    .addHelpText("after", "\nAsks nothing. Prints the id of each key that it has ended.")
    .action(async (options: Options, command: Command) => {
      const { api, user, workspace, reason, actor } = options;
      if (user === "" && workspace === "") {
        throw new UsageError("which keys? Give --user, --workspace, or both");
      }
      const session = openSession(command, terminal);
      let revoked = 0;
      for (let more = true; more; ) {
        const answer = await session.keys.revokeKeys({
          api,
          userId: user,
          workspaceId: workspace,
          reason,
          actorUserId: actor,
        });
        if (session.asJson) terminal.print(messageJson(RevokeKeysResponseSchema, answer));
        else for (const id of answer.keyIds) terminal.print(id);
        revoked += answer.keyIds.length;
        more = answer.more;
      }
      terminal.note(`revoked ${revoked} ${revoked === 1 ? "key" : "keys"}`);
    });
};
