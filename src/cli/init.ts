import { closeSync, openSync, unlinkSync, writeSync } from "node:fs";
import { settings } from "../config.ts";
import { ConfigError } from "../config-value.ts";
import type { AddCommand } from "./context.ts";
import { addSettings, configOf } from "./serve.ts";
import { isJson } from "./session.ts";

export const addInit: AddCommand = (parent, context) => {
  const { terminal, actions } = context;
  const command = parent
    .command("init")
    .description("make an admin caller token, straight in the store")
    .option("--out <file>", "write the token into a new file that only you can read, instead of printing it")
    .addHelpText("after", initNotes)
    .action(async (options: { out?: string }) => {
      const config = configOf(command, context);
      // The file comes first: a token that cannot be written down would be lost.
      const file = options.out === undefined ? undefined : createFile(options.out);
      const { tokenId, secret } = await actions.init(config).catch((error: unknown) => {
        file?.discard();
        throw error;
      });
      file?.write(`${secret}\n`);
      if (isJson(command)) {
        terminal.print(
          JSON.stringify(file === undefined ? { tokenId, secret } : { tokenId, file: options.out }),
        );
        return;
      }
      terminal.note(`made the admin caller token ${tokenId}`);
      if (file === undefined) {
        terminal.note("It is shown once; keep it in a file and name that in TOLLGATE_TOKEN_FILE:");
        terminal.print(secret);
      } else {
        terminal.note(`It is in ${options.out}; name that file in TOLLGATE_TOKEN_FILE.`);
      }
    });
  addSettings(command, [settings.dataDir, settings.databaseUrl]);
};

interface NewFile {
  write(text: string): void;
  discard(): void;
}

/** A file that was not there, with mode 0600. Throws ConfigError. */
function createFile(path: string): NewFile {
  let descriptor: number;
  try {
    descriptor = openSync(path, "wx", 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ConfigError(
      code === "EEXIST"
        ? `--out: ${path} is there already; it is not overwritten`
        : `--out: cannot make the file ${path} (${code})`,
    );
  }
  return {
    write(text) {
      writeSync(descriptor, text);
      closeSync(descriptor);
    },
    discard() {
      closeSync(descriptor);
      unlinkSync(path);
    },
  };
}

const initNotes = `
With DATABASE_URL the token is made in Postgres, else in the embedded store of the data folder, which no
server may have open meanwhile. \`tollgate serve\` makes one by itself for a new data folder.`;
