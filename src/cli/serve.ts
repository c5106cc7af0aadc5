import { type Command, Option } from "commander";
import {
  type Config,
  exposureWarning,
  readConfig,
  requireSharedStores,
  type Setting,
  settings,
  unknownVariables,
} from "../config.ts";
import type { AddCommand, CommandContext } from "./context.ts";
import { flagsOf } from "./session.ts";

export const addServe: AddCommand = (parent, context) => {
  const command = parent
    .command("serve")
    .description("run the service")
    .configureHelp({ showGlobalOptions: false })
    .addHelpText("after", serveNotes)
    .action(async () => {
      const config = configOf(command, context);
      const warning = exposureWarning(config);
      if (warning !== undefined) warn(warning, context);
      requireSharedStores(config);
      context.finish(await context.actions.serve(config, context.terminal));
    });
  addSettings(command, Object.values(settings));
};

/** The flags of these settings. What may hold a password can be read from a file. */
export function addSettings(command: Command, which: readonly Setting[]): void {
  for (const setting of which) {
    const names =
      setting.secret === undefined ? setting.variable : `${setting.variable}, ${setting.variable}_FILE`;
    const fallback = setting.fallback === undefined ? "" : `; default ${setting.fallback}`;
    const note = `(${names}${fallback})`;
    if (setting.secret !== "whole") {
      command.addOption(
        new Option(`--${setting.flag} ${setting.placeholder}`, `${setting.description} ${note}`),
      );
    }
    if (setting.secret !== undefined) {
      const description =
        setting.secret === "whole"
          ? `a file that holds ${setting.description} ${note}`
          : "a file that holds it";
      command.addOption(new Option(`--${setting.flag}-file <file>`, description));
    }
  }
}

/** The configuration from flags and environment; warnings go to stderr. Throws ConfigError. */
export function configOf(command: Command, context: CommandContext): Config {
  const { terminal } = context;
  const config = readConfig(terminal.env, flagsOf(command));
  for (const warning of unknownVariables(terminal.env)) warn(warning, context);
  return config;
}

function warn(warning: string, { terminal }: CommandContext): void {
  terminal.note(`${terminal.noteStyle("yellow", "warning:")} ${warning}`);
}

const serveNotes = `
A flag wins over its environment variable. Durations are 500ms, 10s, 5m or 1h. A URL with a password is
refused on the command line, which other users can read: use the variable, or a file.
When it serves, it prints one line that begins with "tollgate ready" and carries the address.
SIGTERM lets calls in flight end; SIGHUP reads the policies again.`;
