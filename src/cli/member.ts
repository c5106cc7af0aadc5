import type { Command } from "commander";
import { type Member, MemberSchema } from "../gen/tollgate/v1/directory_pb.ts";
import type { AddCommand } from "./context.ts";
import { UsageError } from "./exit.ts";
import { present, printList, printMessage } from "./listing.ts";
import { toList, toPoints, toVersion } from "./option-value.ts";
import { openSession, type Session } from "./session.ts";
import { maskOf, withDirectory } from "./workspace.ts";

interface PutOptions {
  directory: string;
  role?: string;
  allLocations?: true;
  locations?: string[];
  sourceVersion?: bigint;
  update?: true;
}

export const addMember: AddCommand = (parent, { terminal }) => {
  const group = parent.command("member").description("members: users in a workspace, with a role");

  withDirectory(group.command("put <workspace> <user>"))
    .description("make a user a member, or replace his role and locations")
    .option("--role <role>", "one of the policy's roles")
    .option("--all-locations", "access to every location")
    .option("--locations <list>", "access to these locations only", toList)
    .option("--update", "change only what is given here; the member must exist")
    .option(
      "--source-version <number>",
      "your own version of it; an older one than stored is refused",
      toVersion,
    )
    .action(async (workspaceId: string, userId: string, options: PutOptions, command: Command) => {
      const session = openSession(command, terminal);
      const fields = memberFields(options);
      const answer = await session.directory.putMember({
        member: { directory: options.directory, workspaceId, userId, ...fields },
        sourceVersion: options.sourceVersion ?? 0n,
        ...(options.update && { updateMask: { paths: maskOf(fields) } }),
      });
      printMember(session, present(answer.member));
    });

  withDirectory(group.command("get <workspace> <user>"))
    .description("show a member")
    .action(
      async (workspaceId: string, userId: string, { directory }: { directory: string }, command: Command) => {
        const session = openSession(command, terminal);
        const answer = await session.directory.getMember({ directory, workspaceId, userId });
        printMember(session, present(answer.member));
      },
    );

  withDirectory(group.command("list <workspace>"))
    .description("list a workspace's members")
    .option("--limit <number>", "how many at most; 0: all", toPoints, 100)
    .action(
      async (
        workspaceId: string,
        { directory, limit }: { directory: string; limit: number },
        command: Command,
      ) => {
        const session = openSession(command, terminal);
        await printList(
          session,
          {
            schema: MemberSchema,
            limit,
            head: ["user", "role", "locations"],
            row: (it) => [it.userId, it.role, locationsOf(it)],
          },
          async (page) => {
            const answer = await session.directory.listMembers({ directory, workspaceId, ...page });
            return { items: answer.members, nextPageToken: answer.nextPageToken };
          },
        );
      },
    );

  withDirectory(group.command("remove <workspace> <user>"))
    .description("take a user out of a workspace; his keys there are refused at once")
    .option(
      "--source-version <number>",
      "your own version of it; an older one than stored is refused",
      toVersion,
    )
    .action(
      async (
        workspaceId: string,
        userId: string,
        options: { directory: string; sourceVersion?: bigint },
        command: Command,
      ) => {
        const session = openSession(command, terminal);
        await session.directory.removeMember({
          directory: options.directory,
          workspaceId,
          userId,
          sourceVersion: options.sourceVersion ?? 0n,
        });
        if (session.asJson) terminal.print("{}");
        else terminal.note(`removed ${userId} from ${workspaceId}`);
      },
    );
};

function memberFields(options: PutOptions) {
  if (options.allLocations && options.locations !== undefined) {
    throw new UsageError("--all-locations and --locations are both given: keep one");
  }
  const chosen = options.allLocations ?? options.locations !== undefined;
  return {
    ...(options.role !== undefined && { role: options.role }),
    ...(chosen && { allLocations: options.allLocations ?? false, locationIds: options.locations ?? [] }),
  };
}

function printMember(session: Session, it: Member): void {
  printMessage(session, MemberSchema, it, [
    ["user", it.userId],
    ["workspace", it.workspaceId],
    ["directory", it.directory],
    ["role", it.role],
    ["locations", locationsOf(it)],
  ]);
}

function locationsOf(member: Member): string {
  return member.allLocations ? "all" : member.locationIds.join(" ");
}
