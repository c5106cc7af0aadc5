import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Command } from "commander";
import { type Workspace, WorkspaceSchema } from "../gen/tollgate/v1/directory_pb.ts";
import type { AddCommand } from "./context.ts";
import { present, printList, printMessage } from "./listing.ts";
import { toBoolean, toList, toPoints, toVersion } from "./option-value.ts";
import { openSession, type Session } from "./session.ts";

interface PutOptions {
  directory: string;
  name?: string;
  plan?: string;
  features?: string[];
  withheldScopes?: string[];
  suspended?: boolean;
  sourceVersion?: bigint;
  update?: true;
}

export const addWorkspace: AddCommand = (parent, { terminal }) => {
  const group = parent.command("workspace").description("workspaces: the tenants of your product");

  withDirectory(group.command("put <id>"))
    .description("make a workspace, or replace it")
    .option("--name <text>", "for people")
    .option("--plan <plan>", "one of the policy's plans")
    .option("--features <list>", "features given to it, such as api", toList)
    .option("--withheld-scopes <list>", "scopes that it can neither select nor use", toList)
    .option("--suspended <true|false>", "refuse every request in it", toBoolean)
    .option("--update", "change only what is given here; it must exist")
    .option(
      "--source-version <number>",
      "your own version of it; an older one than stored is refused",
      toVersion,
    )
    .action(async (id: string, options: PutOptions, command: Command) => {
      const session = openSession(command, terminal);
      const fields = workspaceFields(options);
      const answer = await session.directory.putWorkspace({
        workspace: { directory: options.directory, id, ...fields },
        sourceVersion: options.sourceVersion ?? 0n,
        ...(options.update && { updateMask: { paths: maskOf(fields) } }),
      });
      printWorkspace(session, present(answer.workspace));
    });

  withDirectory(group.command("get <id>"))
    .description("show a workspace")
    .action(async (id: string, { directory }: { directory: string }, command: Command) => {
      const session = openSession(command, terminal);
      const answer = await session.directory.getWorkspace({ directory, workspaceId: id });
      printWorkspace(session, present(answer.workspace));
    });

  withDirectory(group.command("list"))
    .description("list workspaces")
    .option("--limit <number>", "how many at most; 0: all", toPoints, 100)
    .action(async ({ directory, limit }: { directory: string; limit: number }, command: Command) => {
      const session = openSession(command, terminal);
      await printList(
        session,
        {
          schema: WorkspaceSchema,
          limit,
          head: ["id", "name", "plan", "features", "state"],
          row: (it) => [it.id, it.name, it.plan, it.features.join(" "), stateOf(it)],
        },
        async (page) => {
          const answer = await session.directory.listWorkspaces({ directory, ...page });
          return { items: answer.workspaces, nextPageToken: answer.nextPageToken };
        },
      );
    });

  withDirectory(group.command("delete <id>"))
    .description("delete a workspace and its members, and revoke the keys bound to it, for good")
    .action(async (id: string, { directory }: { directory: string }, command: Command) => {
      const session = openSession(command, terminal);
      await session.directory.deleteWorkspace({ directory, workspaceId: id });
      if (session.asJson) terminal.print("{}");
      else terminal.note(`deleted ${id}`);
    });
};

/** The directory that a command acts in. */
export function withDirectory(command: Command): Command {
  return command.option("--directory <name>", "the directory; needed where the policies have several", "");
}

/** The mask's paths for the fields that are given. */
export function maskOf(fields: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(fields).map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`));
}

/** The options without those that were not given. */
function workspaceFields(options: PutOptions): Omit<MessageInitShape<typeof WorkspaceSchema>, "$typeName"> {
  const { name, plan, features, withheldScopes, suspended } = options;
  return {
    ...(name !== undefined && { name }),
    ...(plan !== undefined && { plan }),
    ...(features !== undefined && { features }),
    ...(withheldScopes !== undefined && { withheldScopes }),
    ...(suspended !== undefined && { suspended }),
  };
}

function printWorkspace(session: Session, it: Workspace): void {
  printMessage(session, WorkspaceSchema, it, [
    ["id", it.id],
    ["directory", it.directory],
    ["name", it.name],
    ["plan", it.plan],
    ["features", it.features.join(" ")],
    ["withheld scopes", it.withheldScopes.join(" ")],
    ["state", stateOf(it)],
  ]);
}

function stateOf(workspace: Workspace): string {
  return workspace.suspended ? "suspended" : "active";
}
