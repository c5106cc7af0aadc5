import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import type { AddCommand } from "./context.ts";
import { tellRetool } from "./demo-retool.ts";
import { tellRetrac } from "./demo-retrac.ts";
import { createStage, type Stage } from "./demo-stage.ts";
import { createWorld, type World } from "./demo-world.ts";
import { exitStatus } from "./exit.ts";
import { openSession, type Session } from "./session.ts";

export const addDemo: AddCommand = (parent, { terminal, finish }) => {
  parent
    .command("demo")
    .description("play both shipped policies' stories against a running server")
    .option("--verbose", "tell ids too, on stderr")
    .option("--keep", "leave the workspaces and keys that it made")
    .addHelpText("after", demoNotes)
    .action(async (options: { verbose?: true; keep?: true }, command: Command) => {
      const session = openSession(command, terminal);
      const stage = createStage(terminal, { asJson: session.asJson, verbose: options.verbose ?? false });
      const run = randomBytes(5).toString("hex");
      for (const { api, host, tell } of stories) {
        const world = createWorld(session, { api, host, run, stage });
        try {
          await tell(session, stage, world);
        } finally {
          if (!options.keep) await world.cleanUp();
        }
      }
      finish(stage.finish() ? exitStatus.ok : exitStatus.failed);
    });
};

interface Story {
  readonly api: string;
  readonly host: string;
  readonly tell: (session: Session, stage: Stage, world: World) => Promise<void>;
}

const stories: readonly Story[] = [
  { api: "retool", host: "retool.example.com", tell: tellRetool },
  { api: "retrac", host: "api.retrac.co", tell: tellRetrac },
];

const demoNotes = `
It needs the policies retool and retrac and an admin caller token. It makes workspaces, members and keys of
its own, deletes and revokes them at its end, and touches no others; it can be repeated. Each line: the rule,
what is done → what came back. Exit status 1 when anything came back differently.`;
