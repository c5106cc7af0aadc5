import { Command } from "commander";
import { addCheck } from "./check.ts";
import type { CommandContext } from "./context.ts";
import { addDemo } from "./demo.ts";
import { addInit } from "./init.ts";
import { addKey } from "./key.ts";
import { addMember } from "./member.ts";
import { addMigrate } from "./migrate.ts";
import { packageVersion } from "./package-version.ts";
import { addPoints } from "./points.ts";
import { addPolicy } from "./policy.ts";
import { addReplicas } from "./replicas.ts";
import { addServe } from "./serve.ts";
import { addToken } from "./token.ts";
import { addWorkspace } from "./workspace.ts";

/** The whole command line. It throws CommanderError where Commander would end the process. */
export function createProgram(context: CommandContext): Command {
  const { terminal } = context;
  const program = new Command("tollgate")
    .description("Whose key is this, may it do that, has it the points left: one hop that answers all three.")
    .version(packageVersion(), "-V, --version", "print the version")
    .option("--json", "print results as JSON, one object a line, and errors as one object on stderr")
    .option(
      "--url <url>",
      "the server: http://host:port or unix:/path (TOLLGATE_URL; default http://127.0.0.1:8080)",
    )
    .option("--token-file <file>", "a file that holds the caller token (TOLLGATE_TOKEN, TOLLGATE_TOKEN_FILE)")
    .configureHelp({ showGlobalOptions: true, optionDescription: (option) => option.description })
    .configureOutput({
      writeOut: (text) => terminal.print(text.replace(/\n$/, "")),
      writeErr: (text) => terminal.note(text.replace(/\n$/, "")),
    })
    .showSuggestionAfterError()
    .exitOverride()
    .addHelpText("after", programNotes);
  program.commandsGroup("Run it:");
  addServe(program, context);
  addInit(program, context);
  addMigrate(program, context);
  addDemo(program, context);
  program.commandsGroup("Policies:");
  addPolicy(program, context);
  program.commandsGroup("Ask and manage a running server:");
  addCheck(program, context);
  addKey(program, context);
  addPoints(program, context);
  addWorkspace(program, context);
  addMember(program, context);
  addToken(program, context);
  addReplicas(program, context);
  return program;
}

const programNotes = `
The commands that talk to a server need a caller token: --token-file, TOLLGATE_TOKEN, or, for an embedded
server on this machine, the one that it left in .tollgate/admin-token.
Exit status: 0 done, 1 failed or refused by the server, 2 wrong usage, 3 denied (check), 4 no answer.

Examples:
  tollgate serve
  tollgate key create --api retrac --type restricted --workspace demo --user demo --name ci --scopes apis.read
  tollgate check "GET /items" --api retrac --explain --key-file key.txt
  tollgate key revoke --secret-stdin --reason leaked < key.txt`;
