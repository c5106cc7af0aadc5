import type { Command } from "commander";
import type { Config } from "../config.ts";
import type { ExitStatus } from "./exit.ts";
import type { Terminal } from "./terminal.ts";

/** What the program cannot do by itself: it needs the stores. */
export interface ProgramActions {
  /** Serves until it is told to stop; prints the ready line with `terminal.print`. Answers how it ended. */
  serve(config: Config, terminal: Terminal): Promise<ExitStatus>;
  /** Makes an admin caller token in the store. */
  init(config: Config): Promise<{ tokenId: string; secret: string }>;
  /** Brings the store's schema up to date; `from` and `to` are schema versions for people. */
  migrate(config: Config): Promise<{ from: string; to: string; applied: number }>;
}

/** What each command's file is given to build on. */
export interface CommandContext {
  readonly terminal: Terminal;
  readonly actions: ProgramActions;
  /** The program's exit status when the command ends without an error; 0 unless it is called. */
  finish(status: ExitStatus): void;
}

/** Adds a command, or a group of them, to its parent. */
export type AddCommand = (parent: Command, context: CommandContext) => void;
