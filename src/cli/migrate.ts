import { settings } from "../config.ts";
import type { AddCommand } from "./context.ts";
import { addSettings, configOf } from "./serve.ts";
import { isJson } from "./session.ts";

export const addMigrate: AddCommand = (parent, context) => {
  const command = parent
    .command("migrate")
    .description("bring the database's schema up to date")
    .addHelpText(
      "after",
      "\nRun it before the servers of a new version. It takes a lock: several at once do the work once.",
    )
    .action(async () => {
      const result = await context.actions.migrate(configOf(command, context));
      if (isJson(command)) context.terminal.print(JSON.stringify(result));
      else if (result.applied === 0) context.terminal.print(`the schema is up to date: ${result.to}`);
      else {
        const migrations = result.applied === 1 ? "1 migration" : `${result.applied} migrations`;
        context.terminal.print(`applied ${migrations}: ${result.from} → ${result.to}`);
      }
    });
  addSettings(command, [settings.dataDir, settings.databaseUrl]);
};
